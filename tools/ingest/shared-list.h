/* Lists of candidates that everybody shares, which a strictly isolated run must not look at. */
#ifndef TV_TOOLS_INGEST_SHARED_LIST_H
#define TV_TOOLS_INGEST_SHARED_LIST_H

#include "store/base/err.h"

/*
 * -EACCES when `path`, or a *.json in it when it is a folder, is a file of the lakehouse, by whatever name or link, unless
 * the run has written it itself (its view says so). -ENOENT, with words that say so, when it is a name in the lakehouse
 * that the run has not written.
 */
int tv_shared_list_refuse(const char *lakehouse, const char *path, struct tv_err *err);

#endif
