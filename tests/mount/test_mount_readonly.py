"""A read-only mount: everything can be read, nothing changed."""

import ctypes
import errno
import mmap
import os
import stat

import pytest

from mount_support import LIBC, ODD_NAMES, OLD, OLD_FUSE, fails

pytestmark = pytest.mark.view(overlay=False)


def fallocate(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        if LIBC.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(10)) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")
    finally:
        os.close(fd)


MUTATIONS = {
    "open O_WRONLY": lambda p: os.open(p / "a.txt", os.O_WRONLY),
    "open O_RDWR": lambda p: os.open(p / "a.txt", os.O_RDWR),
    "open O_TRUNC": lambda p: os.open(p / "a.txt", os.O_WRONLY | os.O_TRUNC),
    "open O_RDONLY O_TRUNC": lambda p: os.open(p / "a.txt", os.O_RDONLY | os.O_TRUNC),
    "open O_APPEND": lambda p: os.open(p / "a.txt", os.O_WRONLY | os.O_APPEND),
    "open O_CREAT": lambda p: os.open(p / "new", os.O_WRONLY | os.O_CREAT),
    "open O_CREAT O_EXCL": lambda p: os.open(p / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL),
    "open O_TMPFILE": lambda p: os.open(p, os.O_RDWR | os.O_TMPFILE),
    "mkdir": lambda p: os.mkdir(p / "new"),
    "rmdir": lambda p: os.rmdir(p / "bare"),
    "unlink": lambda p: os.unlink(p / "a.txt"),
    "rename": lambda p: os.rename(p / "a.txt", p / "new"),
    "rename over": lambda p: os.rename(p / "a.txt", p / "empty"),
    "rename of a folder": lambda p: os.rename(p / "sub", p / "new"),
    "link": lambda p: os.link(p / "a.txt", p / "new"),
    "symlink": lambda p: os.symlink("a.txt", p / "new"),
    "chmod": lambda p: os.chmod(p / "a.txt", 0o600),
    "chmod of a folder": lambda p: os.chmod(p / "sub", 0o700),
    "chown": lambda p: os.chown(p / "a.txt", os.getuid(), os.getgid()),
    "lchown": lambda p: os.lchown(p / "latest", os.getuid(), os.getgid()),
    "utimens": lambda p: os.utime(p / "a.txt", ns=(1, 1)),
    "utimens now": lambda p: os.utime(p / "a.txt"),
    "truncate": lambda p: os.truncate(p / "a.txt", 1),
    "truncate to the same size": lambda p: os.truncate(p / "a.txt", 4),
    "setxattr": lambda p: os.setxattr(p / "a.txt", "user.x", b"y"),
    "removexattr": lambda p: os.removexattr(p / "a.txt", "user.x"),
    "mknod of a file": lambda p: os.mknod(p / "new", stat.S_IFREG | 0o644),
    "mknod of a fifo": lambda p: os.mkfifo(p / "new"),
}


@pytest.mark.smoke
def test_every_mutation_is_erofs(lake, way):
    for name, change in MUTATIONS.items():
        if OLD_FUSE and "O_TMPFILE" in name and way == "namespace":
            fails(errno.EOPNOTSUPP, change, lake)
            continue
        try:
            fails(errno.EROFS, change, lake)
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from e
    # A descriptor that can only read can change nothing either; that is EBADF on any filesystem.
    fails(errno.EBADF, fallocate, lake / "a.txt")
    fd = os.open(lake / "a.txt", os.O_RDONLY)
    fails(errno.EBADF, os.write, fd, b"x")
    fails(errno.EINVAL, os.ftruncate, fd, 0)
    fails(errno.EROFS, os.fchmod, fd, 0o600)
    fails(errno.EROFS, os.utime, fd)
    fails(errno.EACCES, mmap.mmap, fd, 4, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    # access(2) is answered by the kernel, which knows in a namespace only the mode bits.
    assert os.access(lake / "a.txt", os.W_OK) == os.access(lake, os.W_OK) == (way == "namespace")
    os.close(fd)
    assert (lake / "a.txt").read_text() == "one\n" and not (lake / "new").exists()


@pytest.mark.smoke
def test_reads(lake, foundation):
    assert (lake / "a.txt").read_text() == "one\n"
    assert (lake / "empty").read_bytes() == b""
    assert (lake / "sub" / "up").read_text() == "one\n" and os.readlink(lake / "latest") == "sub/b.txt"
    big = (foundation.lake / "big.bin").read_bytes()
    assert (lake / "big.bin").read_bytes() == big
    with open(lake / "big.bin", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        assert m[1 << 20:(1 << 20) + 50] == big[1 << 20:(1 << 20) + 50]
        f.seek(-100, os.SEEK_END)
        assert f.read() == big[-100:]
        assert os.lseek(f.fileno(), 0, os.SEEK_DATA) == 0
        assert os.pread(f.fileno(), 100, len(big) + 5) == b""
    for mode, name in ((0o755, "run.sh"), (0o600, "private.txt"), (0o750, "bare")):
        assert stat.S_IMODE((lake / name).stat().st_mode) == mode
    fails(errno.ENOENT, os.stat, lake / "nowhere")
    fails(errno.ENOTDIR, os.stat, lake / "a.txt" / "x")
    fails(errno.EISDIR, os.open, lake / "sub", os.O_WRONLY)
    fails(errno.ENOTDIR, os.open, lake / "a.txt", os.O_RDONLY | os.O_DIRECTORY)
    fails(errno.ELOOP, os.open, lake / "latest", os.O_RDONLY | os.O_NOFOLLOW)
    fails(errno.ENAMETOOLONG, os.stat, lake / ("x" * 256))


def test_times_modes_and_owner_are_the_foundations(lake):
    for path in [lake, *lake.rglob("*")]:
        st = path.lstat()
        assert st.st_mtime_ns == OLD, path
        assert (st.st_uid, st.st_gid) == (os.geteuid(), os.getegid()), path
        assert not st.st_mode & 0o7000


def test_inode_numbers_are_unique_and_64_bit(lake):
    seen = {}
    for path in [lake, *lake.rglob("*")]:
        ino = path.lstat().st_ino
        assert ino not in seen, (path, seen[ino])
        seen[ino] = path
    assert sum(ino > 1 << 32 for ino in seen) > 300
    for entry in os.scandir(lake):
        assert entry.inode() == os.lstat(entry.path).st_ino


def test_odd_names(lake):
    folder = os.fsencode(lake / "odd")
    assert sorted(os.listdir(folder)) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        with open(folder + b"/" + name, "rb") as f:
            assert f.read() == b"odd " + name


def test_statfs(lake, way):
    st = os.statvfs(lake)
    assert st.f_namemax == 255 and st.f_bsize == 4096 and st.f_blocks > 0 and st.f_bavail == 0
    assert st.f_flag & os.ST_NOSUID
    # In a namespace the mount is made before the view is known; the view itself refuses.
    assert bool(st.f_flag & os.ST_RDONLY) == (way != "namespace")


def test_executables_run(lake):
    assert os.access(lake / "run.sh", os.X_OK) and not os.access(lake / "a.txt", os.X_OK)
    with os.popen(f"'{lake}/run.sh'") as f:
        assert f.read() == "hello\n"


def test_provenance(lake, foundation):
    import hashlib
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert os.getxattr(lake / "a.txt", "user.tvfs.sha256").decode() == digest
    assert os.getxattr(lake / "a.txt", "user.tvfs.layer") == b"foundation"
    assert os.getxattr(lake / "sub" / "b.txt", "user.tvfs.foundation").decode() == foundation.hash
    assert os.getxattr(lake, "user.tvfs.sha256").decode() == foundation.hash
    assert len(os.getxattr(lake, "user.tvfs.commit")) == 64
    assert os.listxattr(lake / "a.txt") == []
    fails(errno.ENODATA, os.getxattr, lake / "a.txt", "user.other")
    fails(errno.ENODATA, os.getxattr, lake / "a.txt", "user.tvfs.nonsense")
    fails(errno.EOPNOTSUPP, os.getxattr, lake / "a.txt", "system.posix_acl_access")


def test_figures(view):
    def look():
        for _ in range(3):
            (view.path / "a.txt").read_text()
            (view.path / "big.bin").read_bytes()
            list(view.path.iterdir())
    view.do(look)
    stats = view.stats()
    assert stats["errors"] == 0 and stats["copy_ups"] == 0
    if view.passthrough:
        assert stats["passthrough"] == "on" and stats["passthrough_opens"] == 6
        assert stats["operations"]["read"] == 0 and stats["passthrough_fallbacks"] == 0
    else:
        # The kernel asks once, is told that nobody wants to know, and opens by itself from then on;
        # but not where it would let writable opens through.
        assert stats["operations"]["open"] == (6 if view.way == "namespace" else 1)
        assert stats["passthrough"] != "on"
        assert stats["operations"]["read"] > 0
    assert stats["operations"]["opendir"] == 1


def test_warm_reads_ask_nothing(view):
    """Names, attributes, absent names and listings are remembered for ever."""
    def walk():
        return [(str(p), p.lstat().st_size) for p in sorted(view.path.rglob("*"))] + [
            (view.path / f"absent{i}").exists() for i in range(50)]
    first = view.do(walk)
    before = view.stats()["operations"]
    assert view.do(walk) == first
    after = view.stats()["operations"]
    for op in ("lookup", "getattr", "readdir", "opendir"):
        assert after[op] - before[op] <= 2, (op, before[op], after[op])
