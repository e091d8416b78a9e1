#include "ingest/offline.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define OTHER_NUMBERS 0x40000000 /* from here on: those of x32, a second way to every call */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define OTHER_NUMBERS 0x7fffffff
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#define OTHER_NUMBERS 0x7fffffff
#endif

#ifdef ARCH

#define FIELD(name) (offsetof(struct seccomp_data, name))
#define LOAD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(name))
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
/* Refuses one call: on no match it jumps over the answer. */
#define REFUSE_CALL(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), REFUSE

int tv_offline(struct tv_err *err)
{
	/* See docs of the kernel: userspace-api/seccomp_filter. The call's number means something
	 * only together with the architecture. */
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		REFUSE,
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS, 0, 1),
		REFUSE,
		REFUSE_CALL(SYS_socket),
		REFUSE_CALL(SYS_socketpair),
		REFUSE_CALL(SYS_connect),
		REFUSE_CALL(SYS_io_uring_setup),
		REFUSE_CALL(SYS_pidfd_getfd),
		REFUSE_CALL(SYS_recvmsg),
		REFUSE_CALL(SYS_recvmmsg),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return tv_err_sys(err, -errno, "cannot shut the network off");
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (r != 0)
		return tv_err_sys(err, r < 0 ? -errno : -EBUSY, "cannot shut the network off");
	return 0;
}

#else

int tv_offline(struct tv_err *err)
{
	return tv_err_set(err, -EOPNOTSUPP, "cannot shut the network off on this architecture");
}

#endif
