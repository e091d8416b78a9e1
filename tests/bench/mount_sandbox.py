"""A process of its own namespaces, so that nothing is left when the bench ends, however it ends.

Mounts stay inside a private mount namespace, and loop devices with them. Servers stay inside a PID
namespace: when its first process goes, the kernel ends all others. Only the work folder is left to
remove, which is done outside of it; one that a killed bench left is removed by the next.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

PREFIX = "mount-bench-"
CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *words):
    if getattr(LIBC, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), name)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove(path):
    """rm -rf that stops at mount points, and does not mind folders nobody may write to."""
    if path.exists() and os.geteuid() != 0:
        subprocess.run(["chmod", "-R", "u+rwX", path], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=False)


def work_folder(parent):
    """A new one, after removing those whose bench is no more."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(PREFIX + "*"):
        if not alive(int(old.name.split("-")[2])):
            remove(old)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    folder.chmod(0o755)
    return folder


def first_process(function):
    """Starts the bench, takes in orphans, and ends with the bench: the kernel ends all the rest."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    call("mount", b"proc", b"/proc", b"proc", 0, None)
    bench = os.fork()
    if bench == 0:
        try:
            function()
            sys.stdout.flush()
            os._exit(0)
        except SystemExit as end:
            print(end, file=sys.stderr)
        except BaseException:  # noqa: B902 (the status tells)
            import traceback
            traceback.print_exc()
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(1))
    while True:
        pid, status = os.wait()
        if pid == bench:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def isolated(function):
    """Calls it in namespaces of its own and returns its status; without root simply calls it."""
    if os.geteuid() != 0:
        function()
        return 0
    sys.stdout.flush()
    front = os.fork()
    if front == 0:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
        call("unshare", CLONE_NEWNS | CLONE_NEWPID)
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        child = os.fork()
        if child == 0:
            first_process(function)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xff)
    return os.waitstatus_to_exitcode(os.waitpid(front, 0)[1])


def in_sandbox(parent, function):
    """function(folder) in namespaces of its own; afterwards the folder is gone."""
    def stop(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    folder = work_folder(parent)
    try:
        return isolated(lambda: function(folder))
    finally:
        end_children()
        remove(folder)


def end_children():
    """After an interrupt: the sandbox's processes die before the folder is removed."""
    try:
        children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    except FileNotFoundError:
        return
    for pid in map(int, children):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def missing(program):
    return None if shutil.which(program) else "not installed"
