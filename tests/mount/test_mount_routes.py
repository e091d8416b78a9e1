"""One superblock with two folders: the view and the run's data folder; routed names are one inode."""

import errno
import fcntl
import mmap
import os

import pytest

from mount_support import View, fails

ROUTES = ("--route", "portfolio_candidates.json=portfolio_candidates.json",
          "--route", "selection_audit.json=audits/audit.json")


def make(way, foundation, base, tools, *options):
    home = base / f"routes-{os.urandom(4).hex()}"
    view = View(foundation, way, home, tools, overlay=False)
    data = home / "data"
    view.data, view.overlay = data, data / "lakehouse"
    for path in (data, data / "lakehouse", data / "audits"):
        path.mkdir()
        foundation.own(path)
    view.options = ["--data", str(data), "--overlay-name", "lakehouse", "--misses", str(home / "misses"),
                    *ROUTES, *options]
    return view.start()


@pytest.fixture
def view(way, foundation, base, tools, request):
    mark = request.node.get_closest_marker("options")
    made = make(way, foundation, base, tools, *(mark.args if mark else ()))
    yield made
    made.close()


@pytest.fixture
def lake(view):
    return view.path / "lakehouse"


@pytest.fixture
def data(view):
    return view.path / "data"


def misses(view):
    path = view.home / "misses"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.smoke
def test_two_folders(lake, data, view):
    assert sorted(os.listdir(view.path)) == ["data", "lakehouse"]
    assert (lake / "a.txt").read_text() == "one\n"
    assert sorted(os.listdir(data)) == ["audits"], "the overlay's own folder is hidden"
    fails(errno.ENOENT, os.stat, data / "lakehouse")
    fails(errno.EACCES, os.mkdir, data / "lakehouse")
    (data / "report.txt").write_text("r")
    (lake / "new").write_text("n")
    assert (view.data / "report.txt").read_text() == "r"
    assert (view.overlay / "new").read_text() == "n"
    fails(errno.EXDEV, os.rename, lake / "new", data / "new")
    fails(errno.EROFS, os.mkdir, view.path / "third")


def test_strict_isolation(lake, data, view):
    """A routed name is absent until the run writes it, though the foundation has one."""
    fails(errno.ENOENT, os.stat, lake / "portfolio_candidates.json")
    assert "portfolio_candidates.json" not in os.listdir(lake)
    assert any(line.startswith("portfolio_candidates.json absent") for line in misses(view))
    (lake / "portfolio_candidates.json").write_text("[1]")
    assert (data / "portfolio_candidates.json").read_text() == "[1]"
    assert "portfolio_candidates.json" in os.listdir(lake)
    assert (view.data / "portfolio_candidates.json").read_text() == "[1]"
    (data / "portfolio_candidates.json").unlink()
    fails(errno.ENOENT, os.stat, lake / "portfolio_candidates.json")
    assert "portfolio_candidates.json" not in os.listdir(lake)


def both(lake, data):
    return lake / "selection_audit.json", data / "audits" / "audit.json"


def test_one_file_under_two_paths(lake, data):
    a, b = both(lake, data)
    a.write_text("first")
    assert os.path.samefile(a, b) and a.stat() == b.stat()
    fd = os.open(b, os.O_RDWR)
    for _ in range(3):
        with open(a, "a", encoding="utf-8") as f:
            f.write("+")
    assert os.pread(fd, 100, 0) == b"first+++" and os.fstat(fd).st_size == b.stat().st_size == 8
    m = mmap.mmap(fd, 0)
    a.write_text("FIRST+++")
    assert m[:5] == b"FIRST"
    m[0:1] = b"m"
    assert a.read_text()[0] == "m"
    fcntl.flock(fd, fcntl.LOCK_EX)
    with open(a, encoding="utf-8") as f:
        fails(errno.EAGAIN, fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.truncate(a, 2)
    assert b.stat().st_size == 2
    a.chmod(0o600)
    assert b.stat().st_mode & 0o777 == 0o600
    os.utime(b, ns=(1, 2))
    assert a.stat().st_mtime_ns == 2


def test_replace_under_either_path(lake, data):
    a, b = both(lake, data)
    for i in range(4):
        at = (a, b)[i % 2]
        temp = at.with_name("temp")
        temp.write_text(f"v{i}")
        os.replace(temp, at)
        assert a.read_text() == b.read_text() == f"v{i}", i
    os.replace(a, lake / "kept")
    assert (lake / "kept").read_text() == "v3" and not a.exists() and not b.exists()
    os.replace(lake / "kept", b)  # from one folder into the other, by the route
    assert a.read_text() == "v3" and not (lake / "kept").exists()
    a.unlink()
    assert not b.exists()
    os.symlink("x", b)
    assert os.readlink(a) == "x"


def test_folders_of_routes_stay(lake, data):
    fails(errno.EBUSY, os.rename, data / "audits", data / "elsewhere")
    fails(errno.EBUSY, os.rmdir, data / "audits")
    (data / "other").mkdir()
    fails(errno.EXDEV, os.rename, lake / "sub", data / "other" / "sub")
    fails(errno.EXDEV, os.rename, lake / "sub", lake / "portfolio_candidates.json")


@pytest.mark.options("--fallback")
def test_fallback(lake, data, view):
    """In development the foundation's copy is shown, and noted; writing makes the run's own."""
    a, b = lake / "portfolio_candidates.json", data / "portfolio_candidates.json"
    assert a.read_text() == '["frozen"]\n' and not b.exists()
    assert os.getxattr(a, "user.tvfs.layer") == b"foundation"
    assert any("portfolio_candidates.json fallback" in line for line in misses(view))
    with open(a, "a", encoding="utf-8") as f:
        f.write("more")
    assert a.read_text() == b.read_text() == '["frozen"]\nmore'
    assert (view.data / "portfolio_candidates.json").exists()
    a.unlink()
    assert not a.exists() and not b.exists(), "what the run deleted stays deleted"
    b.write_text("again")
    assert a.read_text() == "again"


@pytest.mark.options("--deny")
def test_routes_can_be_written_where_the_lakehouse_is_denied(lake, data):
    fails(errno.EROFS, os.mkdir, lake / "x")
    fails(errno.EROFS, os.open, lake / "a.txt", os.O_RDWR)
    (lake / "selection_audit.json").write_text("ok")
    assert (data / "audits" / "audit.json").read_text() == "ok"


def test_clean_up_step_of_routed_names(lake, data):
    (lake / "portfolio_candidates.json").write_text("x")
    for path in lake.glob("portfolio_candidates*.json"):
        path.unlink()
    assert not (data / "portfolio_candidates.json").exists()


def test_state_after_a_remount(view):
    def act():
        (view.path / "lakehouse" / "selection_audit.json").write_text("kept")
        (view.path / "lakehouse" / "a.txt").unlink()
    view.do(act)
    view.remount()

    def look():
        assert (view.path / "data" / "audits" / "audit.json").read_text() == "kept"
        assert not (view.path / "lakehouse" / "a.txt").exists()
    view.do(look)
