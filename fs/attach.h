/* Mounting with mount(2), for those who may: libfuse would start /bin/mount besides, to write /etc/mtab. */
#ifndef TV_FS_ATTACH_H
#define TV_FS_ATTACH_H

#include "fs/mount.h"

/* Opens /dev/fuse: a descriptor, -EACCES or -ENODEV with what to do about it. */
int tv_attach_device(struct tv_err *err);

/* Mounts an open /dev/fuse on m->mountpoint. 0 or -errno; no message, since others may be able to. */
int tv_attach_mount(const struct tv_mount *m, int device, bool read_only);

/* Takes the mount away, unless somebody did already. Who is inside keeps what is open. */
void tv_attach_undo(const struct tv_mount *m, int device);

#endif
