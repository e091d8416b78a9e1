/* What is installed with this program: found beside its own folder, in the build tree as when installed. */
#ifndef TV_TOOLS_INSTALLED_H
#define TV_TOOLS_INSTALLED_H

#include "store/base/err.h"

/* The absolute path of something whose path from this program's folder is known; owned by the caller. Whether
 * it is there is not looked at. */
int tv_installed_path(const char *from_bin, char **out, struct tv_err *err);

#endif
