"""A frozen view with a run's writes on top of it: what changes, what does not, and what is on disk."""

import ctypes
import errno
import os
import shutil
import stat
import threading
import time

import pytest

from mount_support import LIBC, ODD_NAMES, OLD, Foundation, View, fails

NOREPLACE, EXCHANGE = 1, 2


def rename2(a, b, flags):
    if LIBC.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags) != 0:
        raise OSError(ctypes.get_errno(), f"renameat2 {a} {b}")


def names(folder):
    return sorted(os.listdir(folder))


def disk(view):
    """Everything in the overlay's folder, relative; folders end with a slash."""
    return sorted(str(p.relative_to(view.overlay)) + ("/" if p.is_dir() and not p.is_symlink() else "")
                  for p in view.overlay.rglob("*"))


@pytest.mark.smoke
def test_write_lands_in_the_overlay(lake, view, foundation):
    (lake / "new.json").write_text("[1]")
    (lake / "sub" / "b.txt").write_text("changed")
    assert (lake / "sub" / "b.txt").read_text() == "changed"
    assert disk(view) == ["new.json", "sub/", "sub/b.txt"]
    assert (view.overlay / "sub" / "b.txt").read_text() == "changed"
    assert (foundation.lake / "sub" / "b.txt").read_text() == "two\n"
    assert names(lake / "sub") == ["b.txt", "c.txt", "up"]


def test_nothing_is_written_by_reading(lake, view):
    for path in lake.rglob("*"):
        path.stat()
        if path.is_file():
            path.read_bytes()
    assert disk(view) == []


def test_frozen_while_the_live_files_and_the_ref_change(base, tools, way, foundation):
    own = Foundation(base, f"moving-{way}", foundation.user, tools)
    view = View(own, way, base / f"moving-view-{way}", tools).start()
    try:
        held = (own.lake / "a.txt").read_text()
        (own.lake / "a.txt").write_text("torn")
        (own.lake / "sub" / "b.txt").unlink()
        own.tool("commit", "-m", "second")
        own.blobs = own.digest()

        def look():
            assert (view.path / "a.txt").read_text() == held == "one\n"
            assert (view.path / "sub" / "b.txt").read_text() == "two\n"
            assert os.getxattr(view.path / "a.txt", "user.tvfs.foundation").decode() == own.hash
            (view.path / "a.txt").write_text("mine")
        view.do(look)
        assert (own.lake / "a.txt").read_text() == "torn"
        view.remount()  # main has moved on: the overlay now lies on the new commit
        assert view.do(lambda: names(view.path / "sub")) == ["c.txt", "up"]
    finally:
        view.close()


def test_copy_up_keeps_mode_mtime_and_inode(lake, view):
    before = (lake / "private.txt").stat()
    big = (lake / "big.bin").stat()
    fd = os.open(lake / "private.txt", os.O_RDWR)  # opening to write copies up, and changes nothing
    after = os.fstat(fd)
    for key in ("st_ino", "st_mode", "st_mtime_ns", "st_size", "st_uid", "st_gid", "st_nlink"):
        assert getattr(before, key) == getattr(after, key), key
    os.close(fd)
    on_disk = (view.overlay / "private.txt").stat()
    assert on_disk.st_mtime_ns == OLD and stat.S_IMODE(on_disk.st_mode) == 0o600
    with open(lake / "big.bin", "r+b") as f:
        f.seek(1 << 20)
        f.write(b"X")
    assert (lake / "big.bin").stat().st_ino == big.st_ino
    assert (lake / "big.bin").stat().st_size == big.st_size
    assert (lake / "big.bin").stat().st_mtime_ns > OLD
    assert os.listxattr(lake / "private.txt") == []


def test_copy_up_does_not_date_the_folder(view):
    view.do(lambda: (view.path / "deep" / "er" / "est" / "d.bin").chmod(0o600))
    view.do(lambda: (view.path / "a.txt").chmod(0o600))
    view.remount()  # else the kernel would tell what it remembers
    assert view.do(lambda: [(view.path / folder).stat().st_mtime_ns
                            for folder in ("deep", "deep/er", "deep/er/est")]) == [OLD] * 3


def test_copy_up_by_each_change_of_attributes(lake, view):
    (lake / "many" / "f000").chmod(0o640)
    os.utime(lake / "many" / "f001", ns=(7, 8))
    os.truncate(lake / "many" / "f002", 1)
    os.setxattr(lake / "many" / "f003", "user.x", b"y")
    os.chown(lake / "many" / "f004", os.geteuid(), os.getegid())
    os.link(lake / "many" / "f005", lake / "many" / "linked")
    os.rename(lake / "many" / "f006", lake / "many" / "renamed")
    assert (lake / "many" / "f000").read_text() == "0\n"
    assert stat.S_IMODE((lake / "many" / "f000").stat().st_mode) == 0o640
    assert (lake / "many" / "f000").stat().st_mtime_ns == OLD
    assert (lake / "many" / "f001").stat().st_mtime_ns == 8
    assert (lake / "many" / "f002").read_text() == "2"
    assert os.getxattr(lake / "many" / "f003", "user.x") == b"y"
    assert (lake / "many" / "f003").read_text() == "3\n"
    assert (lake / "many" / "linked").read_text() == "5\n"
    assert (lake / "many" / "renamed").read_text() == "6\n"
    assert len(disk(view)) == 10  # many/, seven files, the second link, the whiteout
    assert len(names(lake / "many")) == 301


def test_copy_up_of_a_folder_and_a_symlink(lake, view):
    os.chmod(lake / "sub", 0o700)
    os.utime(lake / "latest", ns=(5, 6), follow_symlinks=False)
    assert names(lake / "sub") == ["b.txt", "c.txt", "up"]
    assert stat.S_IMODE((lake / "sub").stat().st_mode) == 0o700
    assert os.readlink(lake / "latest") == "sub/b.txt"
    assert (lake / "latest").lstat().st_mtime_ns == 6
    assert disk(view) == ["latest", "sub/"]


def test_rename_over(lake, view):
    """What scripts do to a JSON file: temp file, then os.replace."""
    temp = lake / ".selection_audit.json.x"
    temp.write_text("{1}")
    os.replace(temp, lake / "selection_audit.json")
    assert (lake / "selection_audit.json").read_text() == "{1}"
    assert not temp.exists() and disk(view) == ["selection_audit.json"]
    os.replace(lake / "a.txt", lake / "sub" / "b.txt")  # both frozen
    assert (lake / "sub" / "b.txt").read_text() == "one\n" and not (lake / "a.txt").exists()
    assert disk(view) == [".wh.a.txt", "selection_audit.json", "sub/", "sub/b.txt"]
    assert names(lake / "sub") == ["b.txt", "c.txt", "up"]


def test_rename_flags(lake):
    fails(errno.EEXIST, rename2, lake / "a.txt", lake / "empty", NOREPLACE)
    rename2(lake / "a.txt", lake / "fresh", NOREPLACE)
    assert (lake / "fresh").read_text() == "one\n"
    rename2(lake / "sub" / "b.txt", lake / "fresh", EXCHANGE)
    assert (lake / "fresh").read_text() == "two\n" and (lake / "sub" / "b.txt").read_text() == "one\n"
    rename2(lake / "sub", lake / "folder00", EXCHANGE)
    assert names(lake / "folder00") == ["b.txt", "c.txt", "up"] and names(lake / "sub") == ["x"]
    rename2(lake / "sub", lake / "fresh", EXCHANGE)  # a folder and a file
    assert (lake / "sub").read_text() == "two\n" and names(lake / "fresh") == ["x"]
    fails(errno.ENOENT, rename2, lake / "sub", lake / "absent", EXCHANGE)
    fails(errno.EINVAL, rename2, lake / "sub", lake / "absent", NOREPLACE | EXCHANGE)


def test_delete_and_recreate(lake, view):
    ino = (lake / "a.txt").stat().st_ino
    (lake / "a.txt").unlink()
    fails(errno.ENOENT, os.stat, lake / "a.txt")
    assert "a.txt" not in names(lake) and disk(view) == [".wh.a.txt"]
    (lake / "a.txt").write_text("again")
    assert (lake / "a.txt").read_text() == "again" and names(lake).count("a.txt") == 1
    assert (lake / "a.txt").stat().st_ino != ino, "another file has another number"
    (lake / "a.txt").unlink()
    assert not (lake / "a.txt").exists() and disk(view) == [".wh.a.txt"]


def test_the_clean_up_step_is_a_whiteout(lake, view, foundation):
    for path in lake.glob("portfolio_candidates*.json"):
        path.unlink()
    assert list(lake.glob("portfolio*")) == []
    assert (foundation.lake / "portfolio_candidates.json").exists()
    assert disk(view) == [".wh.portfolio_candidates.json"]


def test_removed_folder_made_again_is_empty(lake, view):
    shutil.rmtree(lake / "sub")
    assert not (lake / "sub").exists() and disk(view) == [".wh.sub"]
    (lake / "sub").mkdir()
    assert names(lake / "sub") == []
    (lake / "sub" / "b.txt").write_text("new")
    assert names(lake / "sub") == ["b.txt"]
    assert (lake / "sub" / "b.txt").read_text() == "new"
    fails(errno.ENOENT, os.stat, lake / "sub" / "c.txt")


def test_opaque_folder_made_by_other_tools(view):
    """What an OCI tool would leave: .wh..wh..opq hides all that is frozen in a folder."""
    view.stop()
    (view.overlay / "many").mkdir()
    (view.overlay / "many" / ".wh..wh..opq").touch()
    (view.overlay / "many" / "own").write_text("own")
    view.foundation.own(*view.overlay.rglob("*"))
    view.start()

    def look():
        assert names(view.path / "many") == ["own"]
        fails(errno.ENOENT, os.stat, view.path / "many" / "f000")
        fails(errno.ENOENT, os.stat, view.path / "many" / ".wh..wh..opq")
        (view.path / "many" / "f000").write_text("mine")
        assert names(view.path / "many") == ["f000", "own"]
        shutil.rmtree(view.path / "many")
        assert not (view.path / "many").exists()
    view.do(look)


def test_reserved_names(lake):
    for name in (".wh.x", ".wh..wh..opq", ".wh.a.txt"):
        fails(errno.ENOENT, os.stat, lake / name)
        fails(errno.EINVAL, os.mkdir, lake / name)
        fails(errno.EINVAL, os.open, lake / name, os.O_CREAT | os.O_WRONLY)
        fails(errno.EINVAL, os.rename, lake / "a.txt", lake / name)
        fails(errno.EINVAL, os.symlink, "x", lake / name)
    assert (lake / "a.txt").exists()


def test_rename_of_a_frozen_folder_copies_nothing(lake, view):
    inos = {n: (lake / "many" / n).stat().st_ino for n in names(lake / "many")}
    ino = (lake / "many").stat().st_ino
    os.rename(lake / "many", lake / "moved")
    assert not (lake / "many").exists() and len(names(lake / "moved")) == 300
    assert (lake / "moved").stat().st_ino == ino
    assert {n: (lake / "moved" / n).stat().st_ino for n in names(lake / "moved")} == inos
    assert (lake / "moved" / "f123").read_text() == "123\n"
    assert disk(view) == [".wh.many", "moved/", "moved/.wh..wh..redirect"]
    (lake / "moved" / "f000").write_text("x")
    (lake / "moved" / "f001").unlink()
    os.rename(lake / "moved", lake / "sub" / "deeper")
    assert (lake / "sub" / "deeper" / "f000").read_text() == "x"
    assert len(names(lake / "sub" / "deeper")) == 299
    (lake / "many").mkdir()
    assert names(lake / "many") == []
    os.rename(lake / "sub" / "deeper", lake / "many")  # over an empty folder
    assert len(names(lake / "many")) == 299


def test_rename_of_folders_refuses_what_posix_does(lake):
    fails(errno.ENOTEMPTY, os.rename, lake / "many", lake / "sub")
    fails(errno.EINVAL, os.rename, lake / "deep", lake / "deep" / "er" / "x")
    fails(errno.ENOTDIR, os.rename, lake / "many", lake / "a.txt")
    fails(errno.EISDIR, os.rename, lake / "a.txt", lake / "many")
    fails(errno.ENOTEMPTY, os.rmdir, lake / "sub")
    fails(errno.ENOTDIR, os.rmdir, lake / "a.txt")
    fails(errno.EISDIR, os.unlink, lake / "sub")
    fails(errno.EBUSY, os.rmdir, lake)


def test_deep_folders_follow_a_renamed_parent(lake):
    os.rename(lake / "deep" / "er", lake / "er2")
    os.rename(lake / "deep", lake / "deep2")
    assert names(lake / "deep2") == [] and names(lake / "er2") == ["est"]
    os.rename(lake / "er2" / "est" / "d.bin", lake / "deep2" / "d")
    assert (lake / "deep2" / "d").stat().st_size == 5000
    assert names(lake / "er2" / "est") == []


def test_hard_links(lake, view):
    os.link(lake / "a.txt", lake / "sub" / "second")
    assert (lake / "a.txt").stat().st_nlink == (lake / "sub" / "second").stat().st_nlink == 2
    assert (lake / "a.txt").stat().st_ino == (lake / "sub" / "second").stat().st_ino
    with open(lake / "sub" / "second", "a", encoding="utf-8") as f:
        f.write("more\n")
    assert (lake / "a.txt").read_text() == "one\nmore\n"
    (lake / "a.txt").unlink()
    assert (lake / "sub" / "second").read_text() == "one\nmore\n"
    assert (lake / "sub" / "second").stat().st_nlink == 1
    fails(errno.EEXIST, os.link, lake / "empty", lake / "sub" / "second")
    fails(errno.EPERM, os.link, lake / "sub", lake / "hard")
    os.link(lake / "latest", lake / "latest2", follow_symlinks=False)
    assert os.readlink(lake / "latest2") == "sub/b.txt"


def test_hard_links_made_under_readers(lake, view):
    """Both names show what is written through either, whoever still reads the frozen bytes."""
    held = os.open(lake / "a.txt", os.O_RDONLY)
    os.link(lake / "a.txt", lake / "second")
    (lake / "second").write_text("changed")
    assert (lake / "a.txt").read_text() == "changed"
    assert (lake / "a.txt").stat().st_size == 7 and (lake / "a.txt").stat().st_nlink == 2
    (lake / "a.txt").write_text("again")
    assert (lake / "second").read_text() == "again"
    assert os.pread(held, 10, 0) == (b"one\n" if view.passthrough else b"again")
    held = os.open(lake / "sub" / "b.txt", os.O_RDONLY)
    try:  # separated by a descriptor, so that its name was not looked up anew
        os.close(os.open(f"/proc/self/fd/{held}", os.O_RDWR))
    except OSError as e:
        assert e.errno == errno.ESTALE
    os.link(lake / "sub" / "b.txt", lake / "third")
    (lake / "third").write_text("three")
    assert (lake / "sub" / "b.txt").read_text() == "three"


def test_descriptor_opened_before_the_copy_up(lake, view):
    """With passthrough it keeps the frozen bytes; else it sees what is written. Never ESTALE."""
    old = os.open(lake / "a.txt", os.O_RDONLY)
    assert os.pread(old, 100, 0) == b"one\n"
    with open(lake / "a.txt", "r+", encoding="utf-8") as f:
        f.write("ONE and more\n")
    new = os.open(lake / "a.txt", os.O_RDONLY)
    assert os.pread(new, 100, 0) == b"ONE and more\n"
    frozen = view.passthrough
    assert os.pread(old, 100, 0) == (b"one\n" if frozen else b"ONE and more\n")
    assert os.fstat(old).st_size == (4 if frozen else 13)
    assert os.fstat(old).st_ino == os.fstat(new).st_ino == (lake / "a.txt").stat().st_ino
    # What belongs to the file and not to its bytes is reached through either.
    os.fchmod(old, 0o640)
    assert stat.S_IMODE((lake / "a.txt").stat().st_mode) == 0o640
    (lake / "a.txt").chmod(0o600)
    assert stat.S_IMODE(os.fstat(old).st_mode) == 0o600
    os.utime(old, ns=(1, 2))
    assert (lake / "a.txt").stat().st_mtime_ns == 2
    os.setxattr(old, "user.k", b"v")
    assert os.getxattr(lake / "a.txt", "user.k") == b"v"
    with open(f"/proc/self/fd/{old}", encoding="utf-8") as again:  # opened anew by its inode
        assert again.read() in ("one\n", "ONE and more\n")
    os.close(old)
    os.close(new)
    assert (lake / "a.txt").read_text() == "ONE and more\n"


def test_copy_up_under_readers_is_never_stale(lake):
    """Readers that open, stat and read by name while others write for the first time."""
    stop, problems = threading.Event(), []

    def read():
        while not stop.is_set():
            for i in range(40):
                try:
                    with open(lake / "many" / f"f{i:03}", encoding="utf-8") as f:
                        f.read()
                    (lake / "many" / f"f{i:03}").stat()
                except OSError as e:
                    problems.append(e)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for t in readers:
        t.start()
    for i in range(40):
        with open(lake / "many" / f"f{i:03}", "r+", encoding="utf-8") as f:
            f.write("9")
        (lake / "many" / f"f{i:03}").chmod(0o600)
    stop.set()
    for t in readers:
        t.join()
    assert not problems, problems[:3]
    assert (lake / "many" / "f039").read_text() == "99\n"


def test_many_writers_of_one_frozen_file(lake):
    """One copy-up, and no write is lost."""
    def write(i):
        fd = os.open(lake / "big.bin", os.O_WRONLY)
        os.pwrite(fd, bytes([i]) * 100, i * 1000)
        os.close(fd)
    threads = [threading.Thread(target=write, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    data = (lake / "big.bin").read_bytes()
    assert all(data[i * 1000:i * 1000 + 100] == bytes([i]) * 100 for i in range(16))
    assert len(data) == 3 << 20


def test_look_ups_while_a_large_file_is_copied(base, tools, way, foundation):
    """One thread answers while it keeps up; what takes long is done by another, and nobody waits for it."""
    def fill_large(lake):
        with open(lake / "large.bin", "wb") as f:
            for i in range(64):
                f.write(bytes([i]) * (1 << 20))
        (lake / "names").mkdir()
        for i in range(4000):
            (lake / "names" / f"n{i}").touch()

    def work():
        """How long the copy took, and the longest of the look-ups that went on meanwhile."""
        started, took, waits = threading.Event(), [], []

        def copy_up():
            begin = time.monotonic()
            started.set()
            with open(view.path / "large.bin", "ab") as f:
                f.write(b"!")
            took.append(time.monotonic() - begin)
        writer = threading.Thread(target=copy_up)
        writer.start()
        started.wait()
        while not took and len(waits) < 4000:
            begin = time.monotonic()
            os.stat(view.path / "names" / f"n{len(waits)}")
            waits.append(time.monotonic() - begin)
        writer.join()
        return took[0], max(waits)
    own = Foundation(base, f"copied-{way}", foundation.user, tools, fill_large)
    views = []
    try:
        for i in range(5):  # a busy machine may keep a thread waiting for something else
            views.append(View(own, way, base / f"copied-view-{way}-{i}", tools).start())
            view = views[-1]
            copying, longest = view.do(work)
            if longest < copying / 2:
                break
        assert longest < copying / 2
    finally:
        for view in views:
            view.close()
            shutil.rmtree(view.home)
        shutil.rmtree(own.path)


def test_truncating_open_copies_nothing(view):
    def act():
        (view.path / "big.bin").write_bytes(b"short")
        os.truncate(view.path / "deep" / "er" / "est" / "d.bin", 100)
    view.do(act)
    stats = view.stats()
    assert stats["copy_ups"] == 5 and stats["copied_up_bytes"] == 100  # two files, three folders


def test_odd_names_can_be_changed(lake, view):
    folder = os.fsencode(lake / "odd")
    for name in ODD_NAMES:
        with open(folder + b"/" + name, "ab") as f:
            f.write(b"!")
        with open(folder + b"/" + name, "rb") as f:
            assert f.read() == b"odd " + name + b"!"
    for name in ODD_NAMES:
        os.unlink(folder + b"/" + name)
    assert os.listdir(folder) == []
    os.rmdir(folder)
    os.mkdir(folder)
    for name in ODD_NAMES:
        with open(folder + b"/" + name, "wb") as f:
            f.write(name)
    assert sorted(os.listdir(folder)) == sorted(ODD_NAMES)


def test_whiteouts_of_long_names_last(view):
    """'.wh.' and a name of 252 bytes or more do not fit into one name."""
    folder = os.fsencode(view.path / "odd")

    def remove():
        for name in ODD_NAMES[-3:]:
            os.unlink(folder + b"/" + name)
    view.do(remove)
    view.remount()

    def look():
        assert sorted(os.listdir(folder)) == sorted(ODD_NAMES[:-3])
        for name in ODD_NAMES[-3:]:
            fails(errno.ENOENT, os.stat, folder + b"/" + name)
    view.do(look)


def test_state_after_a_remount(view):
    """Everything that was done is there again: files, whiteouts, redirects, links, numbers, times."""
    def act():
        p = view.path
        (p / "new").mkdir()
        (p / "new" / "x").write_text("x")
        (p / "a.txt").write_text("changed")
        (p / "empty").unlink()
        os.rename(p / "many", p / "few")
        for i in range(290):
            (p / "few" / f"f{i:03}").unlink()
        shutil.rmtree(p / "sub")
        (p / "sub").mkdir()
        os.link(p / "run.sh", p / "sub" / "run2.sh")
        os.symlink("nowhere", p / "dangling")
        os.mkfifo(p / "fifo")
        os.setxattr(p / "private.txt", "user.k", b"v")
        os.utime(p / "new", ns=(3, 4))

    def state():
        found = {}
        for path in sorted(view.path.rglob("*")):
            st = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(st.st_mode) else b""
            if path.is_symlink():
                data = os.readlink(path)
            found[str(path.relative_to(view.path))] = (st.st_mode, st.st_ino, st.st_mtime_ns, st.st_nlink,
                                                       st.st_size, data)
        found["k"] = os.getxattr(view.path / "private.txt", "user.k")
        return found
    view.do(act)
    before = view.do(state)
    assert len(before) > 50
    view.remount()
    assert view.do(state) == before


def test_inode_numbers_survive_copy_up_rename_and_remount(view):
    def numbers():
        return {str(p.relative_to(view.path)): p.lstat().st_ino for p in view.path.rglob("*")}

    def change():
        for path in view.path.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o777 | 0o100)
    before = view.do(numbers)
    view.do(change)
    assert view.do(numbers) == before
    view.remount()
    assert view.do(numbers) == before


def test_provenance_of_changed_files(lake, foundation):
    (lake / "a.txt").write_text("x")
    (lake / "new").write_text("y")
    for name in ("a.txt", "new"):
        assert os.getxattr(lake / name, "user.tvfs.layer") == b"overlay"
        assert os.getxattr(lake / name, "user.tvfs.foundation").decode() == foundation.hash
        fails(errno.ENODATA, os.getxattr, lake / name, "user.tvfs.sha256")
        fails(errno.EPERM, os.setxattr, lake / name, "user.tvfs.sha256", b"0" * 64)
        fails(errno.EPERM, os.removexattr, lake / name, "user.tvfs.overlay.ino")
        assert os.listxattr(lake / name) == []
    shutil.copy2(lake / "sub" / "b.txt", lake / "copy")
    assert os.getxattr(lake / "copy", "user.tvfs.layer") == b"overlay"
    assert os.getxattr(lake / "sub" / "b.txt", "user.tvfs.layer") == b"foundation"


@pytest.mark.view(options=("--deny",))
def test_denied_writes(lake, way):
    """A profile may forbid lakehouse writes: EROFS, although there is an overlay."""
    for change in (lambda: (lake / "a.txt").write_text("x"), lambda: (lake / "new").touch(),
                   lambda: (lake / "a.txt").unlink(), lambda: os.rename(lake / "sub", lake / "s"),
                   lambda: (lake / "new").mkdir(), lambda: (lake / "a.txt").chmod(0o600)):
        fails(errno.EROFS, change)
    assert (lake / "a.txt").read_text() == "one\n"
