"""Open files behave as on any local filesystem."""

import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import socket
import sqlite3
import stat
import struct
import subprocess
import time

import pytest

from mount_support import LIBC, OLD, OLD_FUSE, SLOW, Child, fails

PUNCH, KEEP, ZERO = 2, 1, 16


def fallocate(fd, mode, at, n):
    if LIBC.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(n)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def link_descriptor(fd, path):
    """linkat; os.link does not follow /proc/self/fd when it is told to."""
    if LIBC.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, os.fsencode(path), 0x400) != 0:
        raise OSError(ctypes.get_errno(), "linkat")


def in_another_process(function):
    return Child(function).result(30)


@pytest.mark.smoke
def test_shared_mapping(lake, view):
    """Writable maps of a frozen file and of a new one; seen by reads, by other maps and on disk."""
    (lake / "new.bin").write_bytes(bytes(10000))
    for name in ("big.bin", "new.bin"):
        with open(lake / name, "r+b") as f:
            with mmap.mmap(f.fileno(), 0) as m, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as other:
                m[5000:5005] = b"hello"
                assert other[5000:5005] == b"hello"
                assert os.pread(f.fileno(), 5, 5000) == b"hello"
                os.pwrite(f.fileno(), b"HOWDY", 6000)
                assert m[6000:6005] == b"HOWDY"
                m.flush()
        assert (lake / name).read_bytes()[5000:5005] == b"hello"
        assert (view.overlay / name).read_bytes()[5000:5005] == b"hello"


def test_a_mapping_outlives_its_descriptor(lake):
    fd = os.open(lake / "big.bin", os.O_RDWR)
    m = mmap.mmap(fd, 0)
    os.close(fd)
    m[0:4] = b"MAPS"
    m.flush()
    m.close()
    assert (lake / "big.bin").read_bytes()[:4] == b"MAPS"


def test_private_mapping_changes_nothing(lake, view, foundation):
    with open(lake / "big.bin", "rb") as f:
        m = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        m[0:4] = b"MINE"
        assert os.pread(f.fileno(), 4, 0) == (foundation.lake / "big.bin").read_bytes()[:4]
        m.close()
    assert not (view.overlay / "big.bin").exists()


def test_append(lake):
    """O_APPEND from several processes: every line whole, none lost."""
    def add(who):
        fd = os.open(lake / "audit.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for i in range(100):
            os.write(fd, f"{who} {i}\n".encode())
        os.close(fd)
    children = [Child(lambda who=who: add(who)) for who in "abcd"]
    for child in children:
        child.result(60)
    lines = (lake / "audit.jsonl").read_text().splitlines()
    assert sorted(lines) == sorted(f"{who} {i}" for who in "abcd" for i in range(100))
    fd = os.open(lake / "a.txt", os.O_RDWR | os.O_APPEND)  # frozen so far
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"two\n")
    assert os.pread(fd, 100, 0) == b"one\ntwo\n"
    os.close(fd)


def test_exclusive_creation_has_one_winner(lake):
    def take(i):
        try:
            os.close(os.open(lake / f"lock{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return 1
        except FileExistsError:
            return 0
    fails(errno.EEXIST, os.open, lake / "a.txt", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.EEXIST, os.open, lake / "latest", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    children = [Child(lambda: [take(i) for i in range(30)]) for _ in range(4)]
    wins = [child.result(60) for child in children]
    assert [sum(w) for w in zip(*wins)] == [1] * 30


def test_flock(lake):
    f = open(lake / "selection_audit.json.lock", "w", encoding="utf-8")
    fcntl.flock(f, fcntl.LOCK_EX)

    def attempt(how):
        with open(lake / "selection_audit.json.lock", encoding="utf-8") as g:
            fcntl.flock(g, how | fcntl.LOCK_NB)
    fails(errno.EAGAIN, attempt, fcntl.LOCK_EX)
    in_another_process(lambda: fails(errno.EAGAIN, attempt, fcntl.LOCK_SH))
    fcntl.flock(f, fcntl.LOCK_UN)
    in_another_process(lambda: attempt(fcntl.LOCK_EX))
    for name in ("a.txt",):  # a frozen file, opened for reading: no copy-up is needed for it
        with open(lake / name, encoding="utf-8") as a, open(lake / name, encoding="utf-8") as b:
            fcntl.flock(a, fcntl.LOCK_EX)
            fails(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_posix_locks(lake):
    f = open(lake / "a.txt", "r+", encoding="utf-8")
    fcntl.lockf(f, fcntl.LOCK_EX, 2, 0)

    def attempt(at, n):
        with open(lake / "a.txt", "r+", encoding="utf-8") as g:
            fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, n, at)

    def who():
        with open(lake / "a.txt", "r+", encoding="utf-8") as g:
            query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            return struct.unpack("hhqqi4x", fcntl.fcntl(g, fcntl.F_GETLK, query))
    me = os.getpid()
    in_another_process(lambda: fails(errno.EAGAIN, attempt, 0, 2))
    in_another_process(lambda: attempt(2, 2))
    assert in_another_process(who)[4] == me
    f.close()  # gives all locks back
    in_another_process(lambda: attempt(0, 2))


def test_locks_held_across_the_copy_up_by_another(lake, view):
    """A lock on a frozen descriptor and one on the copy: without passthrough one file, as on disk."""
    reader = open(lake / "a.txt", encoding="utf-8")
    fcntl.flock(reader, fcntl.LOCK_EX)

    def attempt():
        with open(lake / "a.txt", "r+", encoding="utf-8") as g:
            fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if view.passthrough:
        attempt()  # docs/notes-fs.md: the old descriptor stands for the frozen file
    else:
        fails(errno.EAGAIN, attempt)


@pytest.mark.smoke
def test_unlinked_but_open(lake, view):
    for name, contents in (("a.txt", b"one\n"), ("own", b"own\n")):
        if name == "own":
            (lake / name).write_bytes(contents)
        fd = os.open(lake / name, os.O_RDWR if name == "own" else os.O_RDONLY)
        os.unlink(lake / name)
        fails(errno.ENOENT, os.stat, lake / name)
        assert os.pread(fd, 100, 0) == contents and os.fstat(fd).st_nlink == 0
        if name == "own":
            os.write(fd, b"OWN more")
            os.ftruncate(fd, 6)
            os.fchmod(fd, 0o600)
            assert os.pread(fd, 100, 0) == b"OWN mo" and os.fstat(fd).st_size == 6
            with open(f"/proc/self/fd/{fd}", "rb") as again:
                assert again.read() == b"OWN mo"
        os.close(fd)
    assert sorted(os.listdir(view.overlay)) == [".wh.a.txt"]


def test_frozen_file_unlinked_then_written_through_proc(lake):
    """Its inode is still known; a writable descriptor of it must not reach the store."""
    fd = os.open(lake / "a.txt", os.O_RDONLY)
    os.unlink(lake / "a.txt")
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    except OSError as e:
        assert e.errno in (errno.ESTALE, errno.ENOENT)
    else:
        os.write(again, b"ONE")
        assert os.pread(again, 10, 0) == b"ONE\n"
    assert os.pread(fd, 10, 0) in (b"one\n", b"ONE\n")
    fails(errno.ENOENT, os.stat, lake / "a.txt")


def test_renamed_while_open(lake):
    fd = os.open(lake / "a.txt", os.O_RDWR)
    os.rename(lake / "a.txt", lake / "sub" / "moved")
    os.write(fd, b"ONE")
    assert (lake / "sub" / "moved").read_bytes() == b"ONE\n"
    os.rename(lake / "sub", lake / "sub2")
    os.pwrite(fd, b"two", 0)
    assert (lake / "sub2" / "moved").read_bytes() == b"two\n"
    os.close(fd)


def test_replaced_while_open(lake):
    """Readers keep what they opened; new ones get the new file."""
    fd = os.open(lake / "selection_audit.json", os.O_RDONLY)
    (lake / "t").write_text("[new]")
    os.replace(lake / "t", lake / "selection_audit.json")
    assert os.pread(fd, 100, 0) == b"{}\n"
    assert (lake / "selection_audit.json").read_text() == "[new]"
    (lake / "t").write_text("[newer]")
    held = os.open(lake / "selection_audit.json", os.O_RDWR)
    os.replace(lake / "t", lake / "selection_audit.json")
    assert os.pread(held, 100, 0) == b"[new]" and os.fstat(held).st_nlink == 0
    os.write(held, b"lost")
    assert (lake / "selection_audit.json").read_text() == "[newer]"


@pytest.mark.smoke
def test_truncate_in_place(lake):
    """What json.dump(open(path, "w")) and to_parquet do, the latter twice at once."""
    first = open(lake / "a.txt", "wb")
    second = open(lake / "a.txt", "wb")
    first.write(b"first")
    first.flush()
    assert (lake / "a.txt").read_bytes() == b"first"
    second.write(b"2")
    second.flush()
    assert (lake / "a.txt").read_bytes() == b"2irst"
    first.truncate(3)
    assert os.fstat(second.fileno()).st_size == 3
    os.truncate(lake / "a.txt", 10)
    assert (lake / "a.txt").read_bytes() == b"2ir" + bytes(7)
    os.truncate(lake / "big.bin", 5000)
    assert (lake / "big.bin").stat().st_size == 5000
    fails(errno.EINVAL, os.truncate, lake / "a.txt", -1)


def test_sparse(lake, view):
    fd = os.open(lake / "sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"end", 100 << 20)
    st = os.fstat(fd)
    assert st.st_size == (100 << 20) + 3
    os.fsync(fd)
    assert os.stat(lake / "sparse").st_blocks * 512 < 1 << 20
    assert os.pread(fd, 10, 50 << 20) == bytes(10)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 100 << 20
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    fails(errno.ENXIO, os.lseek, fd, 200 << 20, os.SEEK_DATA)
    assert (view.overlay / "sparse").stat().st_blocks * 512 < 1 << 20


def test_fallocate(lake):
    fd = os.open(lake / "big.bin", os.O_RDWR)
    before = os.pread(fd, 20000, 0)
    fallocate(fd, PUNCH | KEEP, 4096, 4096)
    assert os.pread(fd, 20000, 0) == before[:4096] + bytes(4096) + before[8192:]
    fallocate(fd, ZERO, 8192, 4096)
    assert os.pread(fd, 20000, 0) == before[:4096] + bytes(8192) + before[12288:]
    fallocate(fd, 0, 3 << 20, 4096)
    assert os.fstat(fd).st_size == (3 << 20) + 4096
    fallocate(fd, KEEP, 4 << 20, 4096)
    assert os.fstat(fd).st_size == (3 << 20) + 4096
    os.posix_fallocate(fd, 5 << 20, 10)
    assert os.stat(lake / "big.bin").st_size == (5 << 20) + 10
    reader = os.open(lake / "a.txt", os.O_RDONLY)
    fails(errno.EBADF, fallocate, reader, 0, 0, 10)


def test_copy_file_range_sendfile_and_splice(lake, foundation):
    data = (foundation.lake / "big.bin").read_bytes()
    src = os.open(lake / "big.bin", os.O_RDONLY)
    dst = os.open(lake / "copy1", os.O_RDWR | os.O_CREAT)
    done = 0
    while done < len(data):
        done += os.copy_file_range(src, dst, len(data) - done, done, done)
    assert (lake / "copy1").read_bytes() == data
    dst = os.open(lake / "copy2", os.O_RDWR | os.O_CREAT)
    os.lseek(src, 0, os.SEEK_SET)
    while os.sendfile(dst, src, None, 1 << 20):
        pass
    assert (lake / "copy2").read_bytes() == data
    r, w = os.pipe()
    dst = os.open(lake / "copy3", os.O_RDWR | os.O_CREAT)
    os.lseek(src, 0, os.SEEK_SET)
    while n := os.splice(src, w, 65536):
        while n:
            n -= os.splice(r, dst, n)
    assert (lake / "copy3").read_bytes() == data
    outside = os.memfd_create("x")
    os.lseek(src, 0, os.SEEK_SET)
    while os.sendfile(outside, src, None, 1 << 20):
        pass
    assert os.pread(outside, len(data) + 1, 0) == data


def test_tmpfile(lake, view):
    try:
        fd = os.open(lake / "sub", os.O_TMPFILE | os.O_RDWR, 0o640)
    except OSError as e:
        assert e.errno == errno.EOPNOTSUPP and OLD_FUSE
        return
    os.write(fd, b"temporary")
    assert os.fstat(fd).st_nlink == 0 and os.listdir(view.overlay) in ([], ["sub"])
    link_descriptor(fd, lake / "sub" / "named")
    assert (lake / "sub" / "named").read_bytes() == b"temporary"
    assert os.fstat(fd).st_nlink == 1 and os.fstat(fd).st_ino == (lake / "sub" / "named").stat().st_ino
    os.write(fd, b" no more")
    assert (lake / "sub" / "named").read_bytes() == b"temporary no more"
    exclusive = os.open(lake, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    fails(errno.ENOENT, link_descriptor, exclusive, lake / "never")


@pytest.mark.smoke
def test_times(lake):
    before = time.time_ns()
    (lake / "new").write_text("x")
    assert before - 10**8 < (lake / "new").stat().st_mtime_ns < time.time_ns() + 10**8
    os.utime(lake / "new", ns=(123_456_789_012, 987_654_321_098_765_432))
    assert (lake / "new").stat().st_mtime_ns == 987_654_321_098_765_432
    assert (lake / "new").stat().st_atime_ns == 123_456_789_012
    fd = os.open(lake / "new", os.O_WRONLY)
    os.write(fd, b"y")
    assert os.fstat(fd).st_mtime_ns > before  # while it is open
    assert os.stat(lake / "new").st_mtime_ns > before
    os.close(fd)
    assert os.stat(lake / "new").st_mtime_ns > before
    (lake / "bare" / "x").touch()
    assert (lake / "bare").stat().st_mtime_ns >= before - 10**8
    assert (lake / "sub").stat().st_mtime_ns == OLD
    os.utime(lake / "a.txt")
    assert (lake / "a.txt").stat().st_mtime_ns >= before - 10**8


def test_size_and_time_are_right_while_others_write(lake):
    """The kernel may write by itself, behind its cache of attributes."""
    told = mmap.mmap(-1, 8)  # shared with the writer

    def write():
        fd = os.open(lake / "growing", os.O_WRONLY | os.O_CREAT)
        for _ in range(50):
            os.write(fd, b"x" * 1000)
            told[:] = os.fstat(fd).st_size.to_bytes(8, "little")
        os.close(fd)
    (lake / "growing").touch()
    child = Child(write)
    last = 0
    while last < 50000:
        least = int.from_bytes(told[:], "little")
        last = (lake / "growing").stat().st_size
        assert last >= least
    child.result(30)


@pytest.mark.smoke
def test_xattrs(lake, view):
    for name in ("a.txt", "new"):
        (lake / "new").touch()
        os.setxattr(lake / name, "user.one", b"1")
        os.setxattr(lake / name, "user.two", b"\x00binary\xff")
        assert sorted(os.listxattr(lake / name)) == ["user.one", "user.two"]
        assert os.getxattr(lake / name, "user.two") == b"\x00binary\xff"
        fails(errno.EEXIST, os.setxattr, lake / name, "user.one", b"2", os.XATTR_CREATE)
        fails(errno.ENODATA, os.setxattr, lake / name, "user.three", b"2", os.XATTR_REPLACE)
        os.removexattr(lake / name, "user.one")
        fails(errno.ENODATA, os.removexattr, lake / name, "user.one")
        assert os.listxattr(lake / name) == ["user.two"]
    os.setxattr(lake / "sub", "user.folder", b"f")
    assert os.listxattr(lake / "sub") == ["user.folder"]
    # What is frozen says of a wrong name what a disk says.
    fails(errno.EINVAL, os.getxattr, lake / "run.sh", "user.")
    fails(errno.EOPNOTSUPP, os.getxattr, lake / "run.sh", "nonsense")
    fails(errno.EOPNOTSUPP, os.removexattr, lake / "run.sh", "nonsense")
    # ACLs would bind on disk but not in the view: they are refused.
    fails(errno.EOPNOTSUPP, os.setxattr, lake / "a.txt", "system.posix_acl_access", b"\x02\x00\x00\x00")
    assert b"two" in subprocess.run(["getfattr", "-d", lake / "a.txt"], capture_output=True,
                                    check=True).stdout


def test_statfs_is_the_overlays(lake, view):
    ours, disk = os.statvfs(lake), os.statvfs(view.overlay)
    assert ours.f_blocks == disk.f_blocks and ours.f_frsize == disk.f_frsize
    assert abs(ours.f_bavail - disk.f_bavail) < ours.f_blocks // 10
    assert ours.f_namemax == 255


def test_fsync(lake):
    fd = os.open(lake / "a.txt", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    fd = os.open(lake / "new", os.O_RDWR | os.O_CREAT | os.O_DSYNC)
    os.write(fd, b"x")
    os.fsync(fd)
    os.fdatasync(fd)
    for folder in (lake, lake / "sub"):
        d = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(d)
        os.close(d)
    os.sync()


def test_permissions(lake, way):
    """default_permissions: the kernel checks mode bits, as anywhere."""
    if os.geteuid() == 0:
        return  # root may do anything; the ways of ordinary users test it
    (lake / "secret").write_text("x")
    (lake / "secret").chmod(0)
    fails(errno.EACCES, os.open, lake / "secret", os.O_RDONLY)
    (lake / "sub").chmod(0o500)
    fails(errno.EACCES, os.open, lake / "sub" / "new", os.O_WRONLY | os.O_CREAT)
    fails(errno.EACCES, os.unlink, lake / "sub" / "b.txt")
    (lake / "sub").chmod(0o700)
    # In the namespace there is no other user at all.
    fails(errno.EINVAL if way == "namespace" else errno.EPERM, os.chown, lake / "a.txt", 0, 0)


def test_umask_and_set_id(lake):
    os.umask(0o027)
    (lake / "f").touch()
    (lake / "d").mkdir()
    assert stat.S_IMODE((lake / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((lake / "d").stat().st_mode) == 0o750
    os.chmod(lake / "f", 0o6755)
    if os.geteuid() != 0:
        with open(lake / "f", "w", encoding="utf-8") as f:
            f.write("x")
        assert stat.S_IMODE((lake / "f").stat().st_mode) == 0o755, "a write takes set-id bits away"
        for cut in (os.truncate, lambda path, n: os.truncate(os.open(path, os.O_WRONLY), n)):
            os.chmod(lake / "f", 0o6755)
            cut(lake / "f", 1)
            assert stat.S_IMODE((lake / "f").stat().st_mode) == 0o755, "so does cutting it"
        if not OLD_FUSE:
            fd = os.open(lake, os.O_TMPFILE | os.O_RDWR, 0o6755)
            os.ftruncate(fd, 5)
            assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o750
    os.chmod(lake / "f", 0o6755)
    os.chown(lake / "f", -1, -1)
    assert stat.S_IMODE((lake / "f").stat().st_mode) == 0o755, "so does a chown that leaves the owner"


def test_what_is_made_in_a_set_gid_folder(lake):
    """It gets the folder's group; a folder gets the bit, too, with whatever mode it is made."""
    if os.geteuid() == 0:
        os.chown(lake / "sub", 0, 1000)
    os.chmod(lake / "sub", 0o2775)
    group = (lake / "sub").stat().st_gid
    for mode in (0o755, 0o600, 0o055):
        os.mkdir(lake / "sub" / f"{mode:o}", mode)
        st = (lake / "sub" / f"{mode:o}").stat()
        assert stat.S_IMODE(st.st_mode) == 0o2000 | mode & ~0o022 and st.st_gid == group
    (lake / "sub" / "file").touch()
    assert (lake / "sub" / "file").stat().st_gid == group
    if not OLD_FUSE:
        assert os.fstat(os.open(lake / "sub", os.O_TMPFILE | os.O_RDWR, 0o640)).st_gid == group


def test_special_files(lake):
    os.mkfifo(lake / "fifo")
    child = Child(lambda: (lake / "fifo").write_text("through"))
    assert (lake / "fifo").read_text() == "through"
    child.result(10)
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(lake)
        s.bind("sock")
        s.listen()
        assert stat.S_ISSOCK(os.stat("sock").st_mode)
        with socket.socket(socket.AF_UNIX) as c:
            c.connect("sock")
    if os.geteuid() == 0:
        os.mknod(lake / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        fails(errno.EACCES, os.open, lake / "null", os.O_RDONLY)  # nodev


def test_programs_run_from_the_view(lake):
    path = lake / "tool"
    path.write_bytes(pathlib.Path("/bin/true").read_bytes())
    path.chmod(0o755)
    assert subprocess.run([path], check=False, timeout=30).returncode == 0
    fd = os.open(path, os.O_WRONLY)
    fails(errno.ETXTBSY, os.execv, path, ["tool"])
    os.close(fd)


def test_sqlite_works_on_it(lake):
    """Locks, journals, truncation and mmap, as a real program uses them together."""
    for mode in ("delete", "wal"):
        path = lake / f"{mode}.db"
        with sqlite3.connect(path) as db:
            assert db.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
            db.execute("create table t (a integer primary key, b text)")

        def insert(who):
            with sqlite3.connect(path, timeout=30 * SLOW) as db:
                for i in range(20):
                    db.execute("insert into t (b) values (?)", (f"{who}{i}",))
                    db.commit()
        children = [Child(lambda who=who: insert(who)) for who in "xy"]
        for child in children:
            child.result(60)
        with sqlite3.connect(path) as db:
            assert db.execute("select count(*) from t").fetchone()[0] == 40
            assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
