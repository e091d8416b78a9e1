/* The checks of `tvfs doctor`: what each found, and what to do about it. */
#ifndef TV_TOOLS_DOCTOR_H
#define TV_TOOLS_DOCTOR_H

#include "fs/mount.h"
#include "store/base/json.h"
#include "tools/cli.h"

enum tv_doctor_level {
	TV_DOCTOR_OK,
	TV_DOCTOR_WARN, /* works, but slower or not everywhere */
	TV_DOCTOR_FAIL, /* something does not work */
};

struct tv_doctor {
	struct tv_cli *cli;
	struct tv_mount_abilities can;
	int opened; /* 0, or why there is no store (then why_not says it) */
	struct tv_err why_not;
};

struct tv_doctor_result {
	enum tv_doctor_level level;
	char message[512]; /* stays empty when the check does not apply */
	char advice[512];  /* what to do, or "" */
};

typedef void tv_doctor_check(struct tv_doctor *d, struct tv_doctor_result *r);

/* Sets a result; the advice may be NULL. */
void tv_doctor_say(struct tv_doctor_result *r, enum tv_doctor_level level, const char *advice,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* doctor-machine.c */
tv_doctor_check tv_doctor_kernel, tv_doctor_dev_fuse, tv_doctor_libfuse, tv_doctor_passthrough,
	tv_doctor_namespaces, tv_doctor_apparmor, tv_doctor_fusermount, tv_doctor_cgroup;
/* doctor-store.c */
tv_doctor_check tv_doctor_store, tv_doctor_filesystem, tv_doctor_index, tv_doctor_leases,
	tv_doctor_lakehouse;

#endif
