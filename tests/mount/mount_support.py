"""Views on real mounts, and a way to act on them as their user, inside their namespaces.

A view is served by helper-serve in one of four ways:

    passthrough   as root; the kernel reads and writes the files by itself
    plain         as root, without passthrough
    namespace     as an ordinary user, in user and mount namespaces, as `tvfs run` mounts
    fusermount    as an ordinary user, through fusermount3
"""

import ctypes
import errno
import hashlib
import json
import os
import pathlib
import pickle
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", SOURCE / "build" / "bin"))
# build/bin belongs to the preset dev; the others have their own bin folder beside their tests
HELPERS = (BIN.parent / "dev" if BIN.parent.name == "build" else BIN.parent) / "tests"
SANITIZER = os.environ.get("TVFS_SANITIZER", "")
OLD_FUSE = "fuse314" in BIN.parts  # a preset: libfuse before 3.17 cannot pass O_TMPFILE on
SLOW = 4 if SANITIZER else 1  # by how much a sanitizer stretches time limits
WAYS = ["passthrough", "plain", "namespace", "fusermount"]

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_DUMPABLE = 4

ODD_NAMES = [b"new\nline", b"back\\slash", b"caf\xe9", b"sp ace", b"-dash", b"\x01", "größe".encode(),
             b"n" * 255, b"m" * 251, b"m" * 252]
OLD = 1_600_000_000_123_456_789  # ns; what the foundation's files are dated


class ChildFailed(AssertionError):
    pass


def fill(lake):
    """The foundation that most tests look at."""
    rng = random.Random(1)

    def put(name, contents, mode=0o644):
        path = lake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        path.chmod(mode)

    put("a.txt", "one\n")
    put("empty", "")
    put("run.sh", "#!/bin/sh\necho hello\n", 0o755)
    put("private.txt", "private\n", 0o600)
    put("sub/b.txt", "two\n")
    put("sub/c.txt", "three\n")
    put("deep/er/est/d.bin", rng.randbytes(5000))
    put("big.bin", rng.randbytes(3 << 20))
    put("portfolio_candidates.json", '["frozen"]\n')
    put("selection_audit.json", "{}\n")
    for i in range(300):
        put(f"many/f{i:03}", f"{i}\n")
    for i in range(20):
        put(f"folder{i:02}/x", f"{i}\n")
    (lake / "bare").mkdir()
    (lake / "latest").symlink_to("sub/b.txt")
    (lake / "sub" / "up").symlink_to("../a.txt")
    (lake / "odd").mkdir()
    for name in ODD_NAMES:
        path = os.fsencode(lake / "odd") + b"/" + name
        with open(path, "wb") as f:
            f.write(b"odd " + name)
    (lake / "bare").chmod(0o750)
    for path in [lake, *lake.rglob("*")]:
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)


def run_tool(project, *words, user=None, **more):
    """build/bin/tvfs in a project, as its owner."""
    if user:
        more.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TVFS_", "TV_"))}
    done = subprocess.run([more.pop("program", BIN / "tvfs"), *map(str, words)], cwd=project, env=env,
                          capture_output=True, check=False, timeout=120 * SLOW, **more)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class Foundation:
    """A project with a store that no test changes. words: for the commit of what `fill_lake` makes."""

    def __init__(self, base, name, user, bin_dir, fill_lake=fill, words=()):
        self.path = base / name
        self.user, self.bin = user, bin_dir
        self.store = self.path / ".tvfs"
        self.lake = self.path / "data" / "lakehouse"
        self.lake.mkdir(parents=True)
        self.own(self.path, self.path / "data", self.lake)
        fill_lake(self.lake)
        self.own(*self.lake.rglob("*"))
        self.tool("init")
        self.tool("commit", "-m", "first", *words)
        self.hash = json.loads(self.tool("show", "--json"))["foundation_hash"]
        self.blobs = self.digest()

    def tool(self, *words):
        return run_tool(self.path, *words, user=self.user, program=self.bin / "tvfs")

    def own(self, *paths):
        if self.user and os.geteuid() == 0:
            for path in paths:
                os.lchown(path, self.user.pw_uid, self.user.pw_gid)

    def digest(self):
        """name -> SHA-256 of each blob file."""
        return {str(p.relative_to(self.store)): hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted((self.store / "blobs").rglob("*")) if p.is_file()}


def enter(user, namespaces):
    """In a fresh child: becomes the user, without rights, in the namespaces."""
    if user and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    for fd in namespaces:
        if LIBC.setns(fd, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    if namespaces:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        if LIBC.capset(header, (ctypes.c_uint32 * 6)()) != 0:
            raise OSError(ctypes.get_errno(), "capset")
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def outcome_of(function):
    try:
        return "ok", function()
    except pytest.skip.Exception as skip:
        return "skip", str(skip)
    except BaseException:  # the parent tells
        return "failed", traceback.format_exc()


class Child:
    """A function in a process of its own; its result comes back."""

    def __init__(self, function, user=None, namespaces=()):
        self.pipe, to_parent = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            os.close(to_parent)
            return
        try:
            os.close(self.pipe)
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)

            def whole():
                enter(user, namespaces)
                return function()
            with os.fdopen(to_parent, "wb") as out:
                pickle.dump(outcome_of(whole), out)
            sys.stdout.flush()
        finally:
            os._exit(0)

    def result(self, timeout=60):
        data, end = b"", time.monotonic() + timeout * SLOW
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
                self.kill()
                raise ChildFailed(f"no answer within {timeout * SLOW} s: it hangs")
            piece = os.read(self.pipe, 1 << 20)
            if not piece:
                break
            data += piece
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        if not data:
            raise ChildFailed("the child died without an answer")
        kind, value = pickle.loads(data)
        if kind == "skip":
            pytest.skip(value)
        if kind == "failed":
            raise ChildFailed(value)
        return value

    def kill(self):
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class View:
    """A mount of a foundation, with an overlay of its own unless it is read-only."""

    def __init__(self, foundation, way, home, helpers, rev="main", overlay=True, options=()):
        self.foundation, self.way, self.home, self.helpers = foundation, way, home, helpers
        self.user = foundation.user
        self.rev, self.options = rev, [str(o) for o in options]
        self.passthrough = way == "passthrough"
        self.path, self.overlay = home / "mnt", home / "overlay" if overlay else None
        self.socket, self.log = home / "stats.sock", home / "serve.log"
        self.process, self.environment = None, {}
        for path in (home, self.path, *([self.overlay] if overlay else [])):
            path.mkdir(exist_ok=True)
            foundation.own(path)
        home.chmod(0o755)

    def words(self):
        words = [self.helpers / "helper-serve", self.foundation.store, self.rev, self.path,
                 "--stats", self.socket, "--passthrough", "require" if self.passthrough else "off"]
        if self.overlay:
            words += ["--overlay", self.overlay]
        if self.way == "namespace":
            words += ["--namespace"]
        return [str(w) for w in words] + self.options

    def start(self):
        self.socket.unlink(missing_ok=True)
        more = {}
        if self.user and os.geteuid() == 0:
            more = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, cwd="/",
                                            env=os.environ | self.environment, stdout=subprocess.PIPE, stderr=log, **more)
        line = self.process.stdout.readline().split()
        assert line and line[0] == b"ready", self.log.read_text()
        self.holder = int(line[1])
        # What is tested must be tvfs, not the folder below a mount that failed.
        with open(f"/proc/{self.holder}/mountinfo", encoding="utf-8") as f:
            assert any(f" {self.path} " in mount and " - fuse.tvfs " in mount for mount in f)
        return self

    def stop(self):
        """Ends it cleanly."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30 * SLOW)
        self.process.stdout.close()
        log = self.log.read_text(errors="replace")
        assert status == 0 and not re.search("(?i)sanitizer|runtime error", log), (status, log)
        assert not self.mounted()
        self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def unmount(self):
        """After a kill: what is left on the mount point goes."""
        if self.mounted():
            subprocess.run(["umount", "-l", self.path], check=True)

    def mounted(self):
        return f" {self.path} " in pathlib.Path("/proc/self/mountinfo").read_text()

    def remount(self):
        self.stop()
        self.start()

    def close(self):
        if self.process:
            self.stop()
        self.unmount()
        assert self.foundation.digest() == self.foundation.blobs, "the store's blobs were changed"

    def child(self, function):
        """Starts a function as the view's user, where the view can be seen."""
        if self.way != "namespace":
            return Child(function, self.user)
        fds = [os.open(f"/proc/{self.holder}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
        try:
            return Child(function, self.user, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def do(self, function, timeout=60):
        return self.child(function).result(timeout)

    def stats(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOW)
            s.connect(str(self.socket))
            data = b""
            while piece := s.recv(65536):
                data += piece
        return json.loads(data)


def fails(code, function, *args, **more):
    """The call must fail with exactly this errno."""
    try:
        value = function(*args, **more)
    except OSError as e:
        got = errno.errorcode.get(e.errno, e.errno)
        assert e.errno == code, f"{got} instead of {errno.errorcode[code]}: {e}"
        return
    raise AssertionError(f"{function.__name__}{args} gave {value!r} instead of {errno.errorcode[code]}")


def wait_for(condition, seconds=20, what="the condition"):
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def temp_base(prefix):
    """Below /tmp, where other users can come, unlike pytest's own folder."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    return path


def remove_base(path):
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mountpoint = line.split()[4]
        if mountpoint.startswith(str(path)):
            subprocess.run(["umount", "-l", mountpoint], check=False)
    subprocess.run(["chmod", "-R", "u+w", path], check=False)
    shutil.rmtree(path, ignore_errors=True)
