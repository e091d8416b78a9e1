"""What goes wrong underneath: a full disk, a damaged store, a daemon that is killed."""

import errno
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

from mount_support import SLOW, Child, ChildFailed, Foundation, View, fails, wait_for

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)


@pytest.fixture
def small(base, foundation):
    """A tmpfs of 2 MiB, for an overlay."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount a tmpfs without root")
    path = base / f"small-{os.urandom(4).hex()}"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "small", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk_of_the_overlay(small, make_view, foundation):
    """ENOSPC, nothing torn, and all is well when there is room again."""
    view = make_view()
    view.stop()
    view.overlay = small
    foundation.own(small)
    view.start()
    p = view.path

    def act():
        fails(errno.ENOSPC, os.open, p / "big.bin", os.O_RDWR)  # 3 MiB are copied up: no
        assert (p / "big.bin").stat().st_size == 3 << 20
        assert (p / "big.bin").read_bytes() == (foundation.lake / "big.bin").read_bytes()
        fails(errno.ENOSPC, os.chmod, p / "big.bin", 0o600)
        fails(errno.ENOSPC, os.rename, p / "big.bin", p / "renamed")
        assert not (p / "renamed").exists() and (p / "big.bin").exists()
        fd = os.open(p / "fill", os.O_RDWR | os.O_CREAT)
        with pytest.raises(OSError) as e:
            while True:
                os.write(fd, bytes(65536))
                os.fsync(fd)
        assert e.value.errno == errno.ENOSPC
        assert (p / "a.txt").read_text() == "one\n"
        for _ in range(3000):  # names take inodes: these run out, too
            try:
                (p / f"name{_}").write_text("x")
            except OSError as e:
                assert e.errno == errno.ENOSPC
                break
        else:
            raise AssertionError("never full")
        before = sorted(os.listdir(p / "many"))
        try:
            (p / "many" / "f000").unlink()
        except OSError as e:
            assert e.errno == errno.ENOSPC and sorted(os.listdir(p / "many")) == before
        os.ftruncate(fd, 0)
        for path in p.glob("name*"):
            path.unlink()
        (p / "fill").unlink()
        os.close(fd)
        (p / "a.txt").write_text("now there is room")
        shutil.rmtree(p / "many")
        os.truncate(p / "big.bin", 1000)
        assert (p / "big.bin").read_bytes() == (foundation.lake / "big.bin").read_bytes()[:1000]
    view.do(act)
    assert not [n for n in os.listdir(small) if n.startswith(".wh..wh..tmp")]
    view.close()


def test_kill_9_of_the_daemon(view):
    """Everything ends at once with an error: nothing hangs."""
    def hold():
        fd = os.open(view.path / "a.txt", os.O_RDONLY)
        folder = os.open(view.path, os.O_RDONLY | os.O_DIRECTORY)
        (view.home / "user").mkdir(exist_ok=True)
        (view.home / "user" / "holding").touch()
        wait_for((view.home / "killed").exists)
        for act in (lambda: os.stat(view.path / "sub"), lambda: os.listdir(view.path),
                    lambda: os.open(view.path / "run.sh", os.O_RDONLY), lambda: os.listdir(folder),
                    lambda: (view.path / "new").write_text("x"), lambda: os.statvfs(view.path)):
            try:
                act()
            except OSError as e:
                assert e.errno in GONE, e
            else:
                raise AssertionError("it answers without a daemon")
        try:
            assert os.pread(fd, 100, 0) == b"one\n"  # passthrough, or still in the page cache
        except OSError as e:
            assert e.errno in GONE
    child = view.child(hold)
    wait_for((view.home / "user" / "holding").exists)
    view.kill()
    (view.home / "killed").touch()
    child.result(30)
    view.unmount()


def test_kill_9_with_requests_under_way(view):
    """Threads in the midst of everything when the daemon dies: each call returns."""
    def work():
        def churn(i):
            try:
                for n in range(10**6):
                    path = view.path / f"t{i}-{n % 10}"
                    path.write_bytes(bytes(5000))
                    os.rename(path, view.path / f"r{i}")
                    (view.path / "big.bin").read_bytes()
                    os.listdir(view.path / "many")
            except OSError as e:
                codes.append(e.errno)
        codes = []
        threads = [threading.Thread(target=churn, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        (view.home / "user" / "working").touch()
        for t in threads:
            t.join(30 * SLOW)
        assert len(codes) == 6 and set(codes) <= set(GONE), codes
    (view.home / "user").mkdir()
    view.foundation.own(view.home / "user")
    child = view.child(work)
    wait_for((view.home / "user" / "working").exists)
    time.sleep(0.3)
    view.kill()
    child.result(60)
    view.unmount()
    view.start()  # what it left can be used
    assert view.do(lambda: (view.path / "a.txt").read_text()) == "one\n"
    view.do(lambda: shutil.rmtree(view.path / "many"))


@pytest.fixture
def damaged(way, foundation, base, tools):
    """A store of its own, to be damaged, and a view of it."""
    name = f"damaged-{way}-{os.urandom(3).hex()}"
    own = Foundation(base, name, foundation.user, tools)
    view = View(own, way, base / f"{name}-view", tools).start()
    yield view
    own.blobs = own.digest()
    view.close()
    shutil.rmtree(own.path)  # at the end all blobs are looked at


def blob_of(view, contents):
    (found,) = [p for p in (view.foundation.store / "blobs").rglob("*")
                if p.is_file() and p.read_bytes() == contents]
    return found


def test_missing_blob(damaged):
    """An error that says so for that file, and only for it."""
    blob_of(damaged, b"one\n").unlink()
    p = damaged.path

    def act():
        for call in (lambda: (p / "a.txt").read_text(), lambda: os.open(p / "a.txt", os.O_RDWR),
                     lambda: os.chmod(p / "a.txt", 0o600), lambda: os.rename(p / "a.txt", p / "b"),
                     lambda: os.link(p / "a.txt", p / "b")):
            fails(errno.EUCLEAN, call)
        assert (p / "a.txt").stat().st_size == 4
        assert (p / "sub" / "b.txt").read_text() == "two\n"
        assert not (p / "b").exists()
        (p / "a.txt").write_text("written anew")  # its old bytes are not needed for this
        assert (p / "a.txt").read_text() == "written anew"
    damaged.do(act)
    assert damaged.stats()["errors"] >= 5


def test_shortened_blob(damaged):
    blob = blob_of(damaged, b"private\n")
    blob.chmod(0o600)
    os.truncate(blob, 3)
    p = damaged.path

    def act():
        fails(errno.EIO, os.chmod, p / "private.txt", 0o640)
        fails(errno.EIO, os.open, p / "private.txt", os.O_RDWR)
        assert (p / "a.txt").read_text() == "one\n"
    damaged.do(act)
    assert list(damaged.overlay.iterdir()) == []


def test_wild_overlays(view):
    """What others may have put there: nothing that leads out of it is followed."""
    view.stop()
    outside = view.home / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    shutil.rmtree(view.overlay)
    view.overlay.mkdir()
    o = view.overlay
    (o / "sub").symlink_to(outside)  # where the frozen tree has a folder
    (o / "loop").symlink_to("loop")
    (o / "evil").mkdir()
    (o / "evil" / ".wh..wh..redirect").write_text("../../outside")
    (o / "absolute").mkdir()
    (o / "absolute" / ".wh..wh..redirect").write_text("/etc")
    (o / "dangling").mkdir()
    (o / "dangling" / ".wh..wh..redirect").write_text("no/such/folder")
    (o / "self").mkdir()
    (o / "self" / ".wh..wh..redirect").write_text("many")
    (o / ".wh..wh..tmp.123").write_text("left by a crash")
    (o / ".wh..wh..long.00000000000000000000000000000000").write_text("a.txt")  # not its hash
    (o / ".wh.").touch()
    (o / ".wh..wh.x").touch()
    (o / ".wh.empty").mkdir()
    view.foundation.own(view.home, *view.home.rglob("*"))
    view.start()
    p = view.path

    def act():
        names = set(os.listdir(p))
        assert not any(n.startswith(".wh.") for n in names)
        assert {"a.txt", "sub", "loop", "evil", "absolute", "dangling", "self"} <= names
        assert "empty" not in names
        assert os.readlink(p / "sub").endswith("outside")  # shown as the link it is; the caller follows it
        fails(errno.ELOOP, os.stat, p / "loop")
        for name in ("evil", "absolute"):
            fails(errno.EINVAL, os.listdir, p / name)
        assert os.listdir(p / "dangling") == []
        assert len(os.listdir(p / "self")) == len(os.listdir(p / "many")) == 300
        (p / "a.txt").write_text("works")
    view.do(act)


def test_mounts_inside_the_overlay_are_not_shown(view):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount without root")
    inner = view.overlay / "inner"
    inner.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "inner", inner], check=True)
    try:
        view.do(lambda: fails(errno.EXDEV, os.stat, view.path / "inner"))
        assert "a.txt" in view.do(lambda: os.listdir(view.path))
    finally:
        subprocess.run(["umount", inner], check=True)


def test_many_nameless_files(view):
    """Unlinked files that are open cost the daemon descriptors; plenty of them are no problem."""
    def act():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        fds = []
        for i in range(2000):
            fds.append(os.open(view.path / "temp", os.O_RDWR | os.O_CREAT))
            os.unlink(view.path / "temp")
            os.write(fds[-1], str(i).encode())
        assert all(os.pread(fd, 10, 0) == str(i).encode() for i, fd in enumerate(fds))
    if os.sysconf("SC_OPEN_MAX") < 4096:
        pytest.skip("machine cannot: open 4096 files in a process")
    before = len(os.listdir(f"/proc/{view.process.pid}/fd"))
    view.do(act)
    wait_for(lambda: len(os.listdir(f"/proc/{view.process.pid}/fd")) <= before + 5,
             what="the daemon's descriptors to be given back")


def test_walks_hold_no_descriptors(view):
    view.do(lambda: [p.stat() for p in view.path.rglob("*")])
    assert len(os.listdir(f"/proc/{view.process.pid}/fd")) < 40


def test_a_child_that_hangs_is_told():
    """The harness itself: a call that never returns fails the test instead of stopping it."""
    started = time.monotonic()
    with pytest.raises(ChildFailed, match="hangs"):
        Child(lambda: time.sleep(1000)).result(1)
    with pytest.raises(ChildFailed, match="ZeroDivision"):
        Child(lambda: 1 / 0).result(10)
    with pytest.raises(ChildFailed, match="died"):
        Child(lambda: os.kill(os.getpid(), signal.SIGKILL)).result(10)
    assert time.monotonic() - started < 60


def overlay_files(view):
    return [p for p in pathlib.Path(view.overlay).rglob("*")]


@pytest.mark.slow
def test_kills_at_random_moments_leave_a_consistent_overlay(view):
    """kill -9 of the daemon in the midst of copy-ups, renames and removals: each file is the old one or
    the new one, whole; nothing that a crash leaves is shown; and work goes on."""
    p = view.path
    rng = random.Random(5)
    frozen = {p2.name: p2.read_bytes() for p2 in (view.foundation.lake / "many").iterdir()}

    def work():
        for n in range(10**6):
            name = f"f{n % 300:03}"
            try:
                temp = p / "many" / f".{name}.tmp"
                temp.write_bytes(b"new " + name.encode() * 500)
                os.rename(temp, p / "many" / name)
                (p / f"folder{n % 20:02}").rename(p / "wandering")
                (p / "wandering").rename(p / f"folder{n % 20:02}")
                (p / "big.bin").chmod(0o600 + n % 8)
                (p / "deep").rename(p / "deep2")
                (p / "deep2").rename(p / "deep")
            except OSError as e:
                if e.errno in GONE:
                    return
                if e.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                    raise

    def check():
        folder = p / "many"
        names = os.listdir(folder)
        assert len(names) == len(set(names))
        for name in names:
            if name.startswith("."):
                (folder / name).unlink()
                continue
            got = (folder / name).read_bytes()
            assert got in (frozen[name], b"new " + name.encode() * 500), (name, len(got))
        assert {n for n in names if not n.startswith(".")} == set(frozen)
        assert (p / "big.bin").stat().st_size == 3 << 20
        folders = [n for n in os.listdir(p) if n.startswith(("folder", "wandering"))]
        assert len(folders) == 20 and all(os.listdir(p / n) == ["x"] for n in folders)
        if "wandering" in folders:
            (missing,) = {f"folder{i:02}" for i in range(20)} - set(folders)
            (p / "wandering").rename(p / missing)
        deep = [n for n in ("deep", "deep2") if (p / n).exists()]
        assert len(deep) == 1
        if deep == ["deep2"]:
            (p / "deep2").rename(p / "deep")
        assert len((p / "deep" / "er" / "est" / "d.bin").read_bytes()) == 5000
        assert not [n for n in os.listdir(p) if n.startswith(".wh")]
    for _ in range(8):
        child = view.child(work)
        time.sleep(rng.uniform(0.05, 0.4))
        view.kill()
        child.result(60)
        view.unmount()
        view.start()
        view.do(check)
    assert overlay_files(view)
