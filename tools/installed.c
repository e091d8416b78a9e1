#include "tools/installed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"

int tv_installed_path(const char *from_bin, char **out, struct tv_err *err)
{
	tv_autofree char *own = realpath("/proc/self/exe", NULL);
	char *slash = own ? strrchr(own, '/') : NULL;
	if (!slash)
		return tv_err_sys(err, own ? -ENOENT : -errno, "cannot find this program's folder");
	*slash = '\0';
	return asprintf(out, "%s/%s", own, from_bin) < 0 ? tv_err_nomem(err) : 0;
}
