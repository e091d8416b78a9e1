"""Kills commands in front of every system call that writes, and makes every such call fail.

strace injects into the single-threaded build, because it counts the calls of each thread on its own.
A dry run lists the calls; each is one case, or one for each error that it may meet. After each: fsck
finds no damage, main is the old or the new commit, and the command, repeated, leads to what it leads
to undisturbed.
"""

import errno
import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import crashkit
import pytest


DATA = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice",
        "ftruncate", "truncate", "fallocate", "ioctl"}
NAMES = {"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir",
         "mkdirat", "mknod", "mknodat"}
REMOVALS = {"unlink", "unlinkat", "rmdir"}
OPENS = {"open", "openat", "openat2", "creat"}
SYNCS = {"fsync", "fdatasync", "syncfs", "sync", "msync", "sync_file_range"}
ATTRIBUTES = {"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
              "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
              "fremovexattr"}
WRITING = DATA | NAMES | REMOVALS | OPENS | SYNCS | ATTRIBUTES

# Everything else that the commands call: none of it changes a file. A new name in the dry run fails
# the test, so that a new way to write cannot go unnoticed.
HARMLESS = set(
    """
    access arch_prctl brk capget chdir clock_gettime clock_nanosleep clone clone3 close close_range
    connect dup dup2 dup3 epoll_create1 epoll_ctl epoll_wait eventfd2 execve exit exit_group faccessat
    faccessat2 fadvise64 fchdir fcntl fgetxattr flistxattr flock fstat fstatfs futex getcwd getdents64
    getegid geteuid getgid getgroups getpgrp getpid getppid getpriority getrandom getresgid getresuid
    getrlimit getsid gettid gettimeofday getuid getxattr kill lgetxattr listxattr llistxattr lseek
    lstat madvise mincore mlock mmap mprotect mremap munlock munmap name_to_handle_at nanosleep
    newfstatat pidfd_open pipe pipe2 poll ppoll prctl pread64 preadv prlimit64 pselect6 read readahead
    readlink readlinkat readv restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigreturn rt_sigtimedwait sched_getaffinity sched_yield select set_robust_list set_tid_address
    setpriority sigaltstack stat statfs statx sysinfo tgkill time timerfd_create timerfd_settime
    socket umask uname vfork wait4 waitid
    """.split()
)


# --- which calls there are --------------------------------------------------------------------------


class Call:
    def __init__(self, name, number, text):
        self.name, self.number, self.text = name, number, text

    def __str__(self):
        return f"{self.name} #{self.number}: {self.text[:160]}"

    @property
    def writes(self):
        if self.name in OPENS:
            return self.name == "creat" or re.search(r"O_CREAT|O_TRUNC|O_TMPFILE", self.text)
        if self.name == "ioctl":
            return "FICLONE" in self.text
        if self.name == "msync":
            return False
        return True

    @property
    def of_the_system(self):
        """The loader's and libc's own files: what fails there is not the program."""
        return re.search(r'"/(lib|lib64|usr|etc)/', self.text) is not None


def strace(trace, *inject, out="/dev/null"):
    return ["strace", "-f", "-qq", "-y", "-s", "80", "-o", out,
            "-e", "trace=" + trace, *inject, "--"]


def calls_of(stage, out):
    """Every call of the command in a dry run, in order, with its number among those of its name."""
    stage.reset()
    done = stage.project.run([*strace("all", out=out), *stage.argv])
    assert done.returncode == 0, (done.stdout, done.stderr)
    calls, counts, pids = [], {}, set()
    for line in out.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not match:
            continue
        pid, name, text = match.groups()
        pids.add(pid)
        counts[name] = counts.get(name, 0) + 1
        calls.append(Call(name, counts[name], text))
    assert len(pids) == 1, "the single-threaded build has one thread and no child"
    return calls


# --- what must hold afterwards ----------------------------------------------------------------------


def check(stage):
    """The store is sound and says old or new; the command, repeated, finishes. "" or what is wrong."""
    p = stage.project
    if stage.scenario.name == "init":
        p.has_store = (p.folder / ".tvfs/format").exists()
    if damage := p.fsck():
        return damage
    if (view := stage.look()) not in (stage.old_view, stage.new_view):
        return f"it shows {view}, neither {stage.old_view} nor {stage.new_view}"
    head = p.head()
    if stage.scenario.moves:
        moved = head is not None and head != stage.old
        if moved and (head[1] != stage.new[1] or head[2][:1] != ([stage.old[0]] if stage.old else [])):
            return f"main is {head}, not {stage.old} and not what {stage.new} is"
    elif head != stage.old:
        return f"main moved to {head}"
    for name, now in crashkit.tree(p.live).items():
        old, new = stage.old_live.get(name), stage.new_live.get(name)
        if now not in (old, new) and (old or new):
            return f"live {name} is neither old nor new"
    for name in stage.old_live.keys() & stage.new_live.keys():
        if not os.path.lexists(p.live / name):
            return f"live {name} is gone"
    return put_back(stage) or repeat(stage)


def put_back(stage):
    """What gc was about to remove is committed again, on a copy: it comes back whole."""
    p = stage.project
    if stage.scenario.name != "gc":
        return ""
    aside = p.folder.with_suffix(".aside")
    crashkit.Stage.copy(p.folder / ".tvfs", aside)
    done = p.run(["sh", "-ec", stage.scenario.again, p.binary])
    shutil.rmtree(p.folder / ".tvfs")
    aside.rename(p.folder / ".tvfs")
    shutil.rmtree(p.live / "old", ignore_errors=True)
    return "" if done.returncode == 0 else f"put back: {done.returncode} {done.stdout}{done.stderr}"


def repeat(stage):
    p = stage.project
    if not (stage.scenario.once and stage.done_already()):
        done = p.run(stage.argv)
        if done.returncode != 0:
            return f"repeated: {done.returncode} {done.stdout}{done.stderr}"
    p.has_store = True
    if damage := p.fsck():
        return f"repeated: {damage}"
    if (p.head() or ["", ""])[1] != (stage.new or ["", ""])[1]:
        return f"repeated: main is {p.head()}, not {stage.new}"
    if stage.look() != stage.new_view:
        return f"repeated: it shows {stage.look()}, not {stage.new_view}"
    live = crashkit.tree(p.live)
    if live != stage.new_live:
        return f"repeated: live folder differs in {sorted(set(live.items()) ^ set(stage.new_live.items()))[:4]}"
    return check_files(stage)


def check_files(stage):
    """gc, repeated, has left what it leaves undisturbed."""
    if stage.scenario.name != "gc":
        return ""
    now = stored(stage.project)
    return "" if now == stage.new_stored else f"repeated: files differ: {now ^ stage.new_stored}"


def stored(p):
    store = p.folder / ".tvfs"
    return {str(f.relative_to(store)) for d in ("blobs", "tmp") for f in (store / d).rglob("*")
            if f.is_file()}


# --- cases ------------------------------------------------------------------------------------------


def disturb(stage, call, how):
    """Runs the command with this call disturbed. A commit's time decides how its pages fall, so the
    call may not come: then another time."""
    out = stage.project.folder.parent / "injected"
    for _ in range(5):
        stage.reset()
        inject = ["-e", f"inject={call.name}:{how}:when={call.number}"]
        done = stage.project.run([*strace(call.name, *inject, out=out), *stage.argv])
        if done.returncode == -9 or "(INJECTED)" in out.read_text(errors="replace"):
            return done
    raise AssertionError(f"never came to {call}")


def kill(stage, call):
    done = disturb(stage, call, "signal=KILL")
    if done.returncode != -9:
        return f"not killed but {done.returncode}: {done.stderr}"
    return check(stage)


def errors_for(call):
    """The errors that this call may meet."""
    if call.name in OPENS:
        if call.of_the_system:
            return []
        return ["EMFILE", "EIO", "ENOSPC"] if call.writes else ["EMFILE"]
    if not call.writes:
        return []
    return ["EIO", "ENOSPC"] if call.name in DATA | NAMES | SYNCS else ["EIO"]


def without_repetition(calls):
    """gc looks into each of the 256 folders of blobs, init makes them: some of these will do."""
    alike = [c for c in calls if re.search(r'"(blobs/)?[0-9a-f]{2}"', c.text)]
    return [c for c in calls if c not in alike[6:-6]]


def must_fail(call):
    """False for what a program may well do without: a reflink, an attribute, tidying up, a look."""
    if call.name in OPENS:
        return bool(call.writes)
    return call.name not in {"ioctl", "copy_file_range", "sendfile"} | REMOVALS | ATTRIBUTES


def fail(stage, call, error):
    done = disturb(stage, call, f"error={error}")
    if done.returncode < 0 or done.returncode >= 124:
        return f"status {done.returncode}: {done.stderr}"
    if done.returncode == 0 and must_fail(call):
        return "the error was passed over: exit 0"
    if done.returncode == 0 and (
        (stage.project.head() or ["", ""])[1] != (stage.new or ["", ""])[1]
        or stage.look() != stage.new_view
    ):
        return "exit 0, but the result is not what it should be"
    if done.returncode != 0 and (wrong := message_wrong(stage, done.stderr, error)):
        return wrong
    return check(stage)


def message_wrong(stage, text, error):
    """One line that begins with the command and tells the reason and what it hit."""
    lines = text.strip().splitlines()
    reason = os.strerror(getattr(errno, error))
    begin = f"tvfs {stage.scenario.command[0]}: "
    if lines[-1:] == ["tvfs: the output could not be written"]:
        return ""
    if not lines or not lines[-1].startswith(begin):
        return f"no message: {text!r}"
    if reason.lower() not in lines[-1].lower():
        return f"the message does not tell the reason ({reason}): {text!r}"
    if len(lines[-1]) < len(begin) + len(reason) + 6:
        return f"the message does not tell what failed: {text!r}"
    return ""


@contextmanager
def staged(work, name, copies):
    """Copies of a scenario for as many workers: paths are part of the store's identities."""
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        yield [crashkit.Stage(crashkit.SCENARIOS[name], folder / str(i), crashkit.single())
               for i in range(copies)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_cases(work, name, *makers):
    """Each maker's cases in a thread and a copy of the scenario of its own. How many there were."""

    def worker(stage, make_cases):
        stage.finish()
        stage.new_stored = stored(stage.project)
        cases = make_cases(calls_of(stage, stage.project.folder.parent / "calls"))
        wrong = ((what, case(stage)) for what, case in cases)
        return len(cases), [f"{what}\n    {text}" for what, text in wrong if text]

    with staged(work, name, len(makers)) as stages, ThreadPoolExecutor(len(makers)) as pool:
        parts = list(pool.map(worker, stages, makers))
    counts = [count for count, _ in parts]
    found = [line for _, lines in parts for line in lines]
    assert not found, f"{len(found)} of {counts} cases:\n" + "\n".join(found[:20])
    return counts


@pytest.fixture(scope="module")
def can_strace(work):
    done = crashkit.Project(work, "/bin").run(["strace", "-f", "true"])
    if done.returncode != 0:
        pytest.skip(f"machine cannot: strace: {done.stderr.strip()[:100]}")


COMMANDS = ["init", "first-commit", "commit", "commit-path", "sync", "gc", "forget", "tag", "branch",
            "revert", "checkout"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_call_is_known(can_strace, work, name):
    with staged(work, name, 1) as (stage,):
        unknown = {c.name for c in calls_of(stage, work / "known")} - WRITING - HARMLESS
    assert not unknown


def kills(calls):
    return [(f"killed at {c}", lambda s, c=c: kill(s, c))
            for c in without_repetition(calls) if c.name in WRITING and c.writes]


def errors(*which):
    def cases(calls):
        return [(f"{e} at {c}", lambda s, c=c, e=e: fail(s, c, e))
                for c in without_repetition(calls) if c.name in WRITING
                for e in errors_for(c) if e in which]

    return cases


@pytest.mark.parametrize("name", COMMANDS)
def test_at_every_writing_call(can_strace, work, name):
    killed, *failed = run_cases(work, name, kills, errors("EIO"), errors("ENOSPC", "EMFILE"))
    print(f"\n{name}: killed at each of {killed} calls, {sum(failed)} errors")
    assert killed >= 5
