"""A blob in the store never becomes writable by anything that a user of the view can do.

The kernel opens a backing file anew with the flags of the user's open, and as the daemon: a writable
descriptor passed through to a read-only blob of mode 0444 would overwrite it. `make_view` compares every
blob with what it was after each test; the tests look at them in between, too. At the end of all tests of
mounts the bytes of every blob are compared with its name (blob_check.py).
"""

import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import stat
import threading

import pytest

from blob_check import assert_blobs_unchanged, changed_blobs
from mount_support import HELPERS, LIBC, SANITIZER, Foundation, View, fails

WRITES = {
    "O_RDWR": os.O_RDWR,
    "O_WRONLY": os.O_WRONLY,
    "O_RDWR|O_TRUNC": os.O_RDWR | os.O_TRUNC,
    "O_RDONLY|O_TRUNC": os.O_RDONLY | os.O_TRUNC,
    "O_WRONLY|O_APPEND": os.O_WRONLY | os.O_APPEND,
    "O_RDWR|O_CREAT": os.O_RDWR | os.O_CREAT,
    "O_RDWR|O_DSYNC": os.O_RDWR | os.O_DSYNC,
}


def scribble(fd, flags):
    """Every way to change bytes through a descriptor."""
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return
    os.write(fd, b"overwritten")
    if not flags & os.O_APPEND:
        os.pwrite(fd, b"overwritten", 2)
    LIBC.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(100))
    LIBC.fallocate(fd, 16, ctypes.c_long(0), ctypes.c_long(100))
    os.ftruncate(fd, 4096)
    if flags & os.O_ACCMODE == os.O_RDWR:
        with mmap.mmap(fd, 0) as m:
            m[0:5] = b"MMAP!"
            m.flush()
    os.fsync(fd)


def reopen(fd, flags, passthrough):
    """Opens a descriptor's inode for writing. While the kernel reads the blob through that inode this
    cannot be had, and there is no path to look up anew: ESTALE, and nothing is harmed."""
    try:
        again = os.open(f"/proc/self/fd/{fd}", flags)
    except OSError as e:
        assert passthrough and e.errno == errno.ESTALE, e
        return
    assert not passthrough
    scribble(again, flags)
    os.close(again)


@pytest.fixture
def passthrough(view):
    return view.passthrough


@pytest.mark.smoke
@pytest.mark.parametrize("reader", [False, True], ids=["alone", "beside readers"])
def test_writable_opens(lake, reader, foundation, passthrough):
    for i, flags in enumerate(WRITES.values()):
        path = lake / "many" / f"f{i:03}"
        held = os.open(path, os.O_RDONLY) if reader else -1
        fd = os.open(path, flags, 0o644)
        scribble(fd, flags)
        if reader:  # and again, through the descriptor that only reads, by its inode
            reopen(held, os.O_RDWR, passthrough)
            fails(errno.EBADF, os.write, held, b"x")
            fails(errno.EINVAL, os.ftruncate, held, 0)
            fails(errno.EACCES, mmap.mmap, held, 1, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        assert (foundation.lake / "many" / f"f{i:03}").read_text() == f"{i}\n"


def test_reopened_through_proc(lake, passthrough):
    fd = os.open(lake / "big.bin", os.O_RDONLY)
    frozen = os.pread(fd, 100, 0)
    for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_APPEND):
        reopen(fd, flags, passthrough)
    m = mmap.mmap(fd, 100, prot=mmap.PROT_READ)
    assert m[:] in (frozen, (lake / "big.bin").read_bytes()[:100])
    os.close(fd)


def test_path_descriptors(lake, passthrough):
    """O_PATH first, then opened for writing."""
    fd = os.open(lake / "big.bin", os.O_PATH)
    keep = os.open(lake / "big.bin", os.O_RDONLY)
    reopen(fd, os.O_RDWR, passthrough)
    try:
        os.truncate(f"/proc/self/fd/{keep}", 10)
    except OSError as e:
        assert passthrough and e.errno == errno.ESTALE
    os.chmod(f"/proc/self/fd/{fd}", 0o666)
    assert stat.S_IMODE((lake / "big.bin").stat().st_mode) == 0o666
    os.close(keep)
    os.close(fd)
    os.close(os.open(lake / "big.bin", os.O_WRONLY))
    fd = os.open(lake / "big.bin", os.O_PATH)  # with no reader there is nothing to separate it from
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    scribble(again, os.O_RDWR)


def test_protection_of_a_mapping_cannot_be_raised(lake):
    fd = os.open(lake / "big.bin", os.O_RDONLY)
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))
    assert LIBC.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), 3) == -1
    assert ctypes.get_errno() == errno.EACCES
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_RDWR)
    fails(errno.EBADF, os.write, fd, b"x")


def test_writes_race_with_reads(lake):
    """Readers open and close all the time, so that the first writer meets the blob in every state."""
    stop = threading.Event()

    def read(i):
        while not stop.is_set():
            try:
                with open(lake / "many" / f"f{i % 60:03}", "rb") as f:
                    f.read()
            except OSError as e:
                assert e.errno == errno.ENOENT, e
            i += 1
    readers = [threading.Thread(target=read, args=(i * 7,)) for i in range(4)]
    for t in readers:
        t.start()
    for i in range(60):
        path = lake / "many" / f"f{i:03}"
        if i % 3 == 0:
            path.write_bytes(b"overwritten")
        elif i % 3 == 1:
            with open(path, "r+b") as f:
                f.write(b"overwritten")
        else:
            with open(path, "r+b") as f:
                f.truncate(100)
                with mmap.mmap(f.fileno(), 0) as m:
                    m[:11] = b"overwritten"
    stop.set()
    for t in readers:
        t.join()
    for i in range(60):
        assert (lake / "many" / f"f{i:03}").read_bytes().startswith(b"overwritten"), i


def test_read_only_mount_passes_nothing_writable(make_view):
    view = make_view(overlay=False)

    def attempt():
        held = os.open(view.path / "big.bin", os.O_RDONLY)
        for flags in WRITES.values():
            fails(errno.EROFS, os.open, view.path / "big.bin", flags)
            fails(errno.EROFS, os.open, f"/proc/self/fd/{held}", flags & ~os.O_CREAT)
    view.do(attempt)


def test_blobs_are_read_only_files(root_foundation):
    blobs = [p for p in (root_foundation.store / "blobs").rglob("*") if p.is_file()]
    assert blobs and all(p.stat().st_mode & 0o777 == 0o400 for p in blobs)


def test_descriptors_that_only_read(lake, foundation, passthrough):
    """Whatever else could put bytes into a file, by root too: the memory of a mapping, copies, handles."""
    path = lake / "big.bin"
    fd, source = os.open(path, os.O_RDONLY), os.open(lake / "a.txt", os.O_RDONLY)
    fails(errno.EBADF, os.sendfile, fd, source, 0, 4)
    fails(errno.EBADF, os.copy_file_range, source, fd, 4)
    fails(errno.EBADF, os.posix_fallocate, fd, 0, 1 << 23)
    reader, writer = os.pipe()
    os.write(writer, b"overwritten")
    fails(errno.EBADF, os.splice, reader, fd, 11)
    m = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
    at = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps", encoding="utf-8")
              if line.rstrip().endswith("big.bin"))
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(at)
        fails(errno.EIO, memory.write, b"overwritten")
    private = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    private[:11] = b"overwritten"
    private.close()
    m.close()
    assert os.pread(fd, 100, 0) == (foundation.lake / "big.bin").read_bytes()[:100]
    handle = ctypes.create_string_buffer(b"\x80\0\0\0" + bytes(140))
    mount_id = ctypes.c_int()
    if LIBC.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(mount_id), 0) == 0:
        again = LIBC.open_by_handle_at(fd, handle, os.O_RDWR)
        if again >= 0:
            scribble(again, os.O_RDWR)
            os.close(again)
    os.utime(fd)
    os.fchmod(fd, 0o666)
    os.setxattr(fd, "user.note", b"x")


@pytest.fixture
def victim(base, tools):
    """A store that is to be damaged, and the blob of its a.txt."""
    made = Foundation(base, f"victim-{os.urandom(3).hex()}", None, tools)
    (blob,) = [p for p in (made.store / "blobs").rglob("*") if p.is_file() and p.read_bytes() == b"one\n"]
    yield made, blob
    shutil.rmtree(made.path)


def test_a_changed_blob_is_found(victim, root_foundation):
    """The check at the end: one byte, with the size and the time that it had."""
    made, blob = victim
    assert_blobs_unchanged(made.path)
    before = blob.stat()
    blob.chmod(0o600)
    blob.write_bytes(b"onE\n")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    deep = os.open(made.path, os.O_RDONLY)
    for _ in range(20):  # other tests leave folders that no path reaches
        os.mkdir("q" * 250, dir_fd=deep)
        below = os.open("q" * 250, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert list(changed_blobs(made.path.parent)) == [str(blob)]
    with pytest.raises(AssertionError, match="blobs were changed"):
        assert_blobs_unchanged(made.path)
    assert made.digest() != made.blobs


def test_a_wrong_daemon_is_found(victim, base, tools, passthrough_possible):
    """One that has the kernel write into the store: both checks tell."""
    if passthrough_possible:
        pytest.skip(f"machine cannot: {passthrough_possible}")
    if SANITIZER:
        pytest.skip("machine cannot: preload a library beside a sanitizer")
    made, blob = victim
    view = View(made, "passthrough", base / f"{made.path.name}-view", tools)
    view.environment = {"LD_PRELOAD": str(HELPERS / "preload-wrong-backing.so"), "TVFS_WRONG_BLOB": str(blob)}
    view.start()
    with open(view.path / "sub" / "b.txt", "r+b") as f:
        f.write(b"TWO\n")
    assert blob.read_bytes() == b"TWO\n", "the wrong daemon is not wrong"
    with pytest.raises(AssertionError, match="blobs were changed"):
        view.close()
    assert list(changed_blobs(made.path)) == [str(blob)]
