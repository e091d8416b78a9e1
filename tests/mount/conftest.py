"""Fixtures for views on real mounts.

A test with `lake` (the mount point) is executed in a process of its own, as the user of the view and
inside its namespaces, once for each way of mounting. A test with `view` but without `lake` is executed
here, and acts through view.do.
"""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

from blob_check import assert_blobs_unchanged
from mount_support import (BIN, HELPERS, SANITIZER, SOURCE, WAYS, Foundation, View, remove_base, temp_base)

sys.path.append(str(SOURCE / "tests" / "run"))
from run_support import test_user as make_test_user  # noqa: E402
from side_by_side import SideBySide  # noqa: E402


@pytest.fixture(scope="session")
def base():
    if not os.path.exists("/dev/fuse"):
        pytest.skip("machine cannot: no /dev/fuse")
    path = temp_base("tvfs-mount-")
    yield path
    try:
        assert_blobs_unchanged(path)
    finally:
        remove_base(path)


def is_ext4(path):
    """The filesystem type of the longest mount point above the path."""
    best = ("", "")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        mountpoint = left.split()[4]
        if (str(path) + "/").startswith(mountpoint.rstrip("/") + "/") and len(mountpoint) >= len(best[0]):
            best = (mountpoint, right.split()[0])
    return best[1] == "ext4"


@pytest.fixture(scope="session")
def ext4(base):
    """A folder on ext4: where temp files lie, or a loop device."""
    folder = base / "ext4"
    folder.mkdir()
    if is_ext4(base):
        yield folder
        return
    image = base / "ext4.img"
    with open(image, "wb") as f:
        f.truncate(512 << 20)
    done = os.geteuid() == 0 and shutil.which("mkfs.ext4") and subprocess.run(
        f"mkfs.ext4 -q -F '{image}' && mount -o loop '{image}' '{folder}'", shell=True, check=False,
        capture_output=True, timeout=120)
    mounted = done and done.returncode == 0
    if mounted:
        folder.chmod(0o755)
    else:
        print("no ext4 can be had here: comparing with the filesystem of temp files")
    yield folder
    try:
        assert_blobs_unchanged(folder)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="session")
def tools(base):
    """Helpers and program where every user can start them."""
    folder = base / "bin"
    folder.mkdir()
    for path in (HELPERS / "helper-serve", HELPERS / "helper-differential", HELPERS / "helper-posix",
                 BIN / "tvfs"):
        shutil.copy2(path, folder / path.name)
        (folder / path.name).chmod(0o755)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def user(base):
    """An ordinary user that may open /dev/fuse."""
    if os.geteuid() != 0:
        return None  # whoever runs the tests is one
    found = make_test_user()
    if found is None:
        pytest.skip("machine cannot: make a test user (no useradd)")
    if stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 != 0o006:
        os.chmod("/dev/fuse", 0o666)  # as udev does it
    return found


@pytest.fixture(scope="session")
def root_foundation(base, tools):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount as root, the tests run as another user")
    return Foundation(base, "root", None, tools)


@pytest.fixture(scope="session")
def user_foundation(base, tools, user):
    return Foundation(base, "user", user, tools)


@pytest.fixture(scope="session")
def passthrough_possible(root_foundation, tools, base):
    """Whether this machine and this build have it at all; a mount that requires it tells."""
    home = base / "probe"
    home.mkdir()
    view = View(root_foundation, "passthrough", home, tools)
    try:
        view.start().close()
    except AssertionError:
        return view.log.read_text().strip().splitlines()[-1]
    return ""


@pytest.fixture(scope="session")
def namespaces_possible(user):
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    return subprocess.run(["unshare", "-Um", "true"], capture_output=True, check=False,
                          **who).returncode == 0


def foundation_for(way, request):
    """The foundation for a way of mounting; skips what this machine cannot do."""
    if way in ("passthrough", "plain"):
        found = request.getfixturevalue("root_foundation")
    else:
        found = request.getfixturevalue("user_foundation")
    if way == "passthrough" and (why := request.getfixturevalue("passthrough_possible")):
        pytest.skip(f"machine cannot: {why}")
    if way == "namespace" and not request.getfixturevalue("namespaces_possible"):
        pytest.skip("machine cannot: make user namespaces as an ordinary user")
    if way == "namespace" and SANITIZER == "tsan":
        pytest.skip("machine cannot: enter a user namespace beside the thread that tsan starts")
    if way == "fusermount" and not shutil.which("fusermount3"):
        pytest.skip("machine cannot: fusermount3 is not installed")
    return found


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def foundation(way, request):
    return foundation_for(way, request)


@pytest.fixture
def make_view(way, foundation, base, tools):
    """make_view(...) starts a view; all end with the test."""
    views = []

    def make(**more):
        home = base / f"view-{os.urandom(4).hex()}"
        views.append(View(foundation, way, home, tools, **more))
        return views[-1].start()
    yield make
    for view in reversed(views):
        view.close()
        subprocess.run(["chmod", "-R", "u+rwx", view.home], check=False)
        shutil.rmtree(view.home)


@pytest.fixture
def view(make_view, request):
    """With an overlay; @pytest.mark.view(overlay=False, ...) changes it."""
    mark = request.node.get_closest_marker("view")
    return make_view(**(mark.kwargs if mark else {}))


@pytest.fixture(scope="session")
def filled():
    return {}


@pytest.fixture
def beside(way, foundation, request, filled, ext4, tools):
    """A plain folder and a view, both with what the module's fill_lake() made."""
    fill_lake = request.module.fill_lake
    name = f"{fill_lake.__module__}-{'user' if foundation.user else 'root'}"
    if name not in filled:
        filled[name] = Foundation(ext4, name, foundation.user, tools, fill_lake)
    home = ext4 / f"beside-{os.urandom(4).hex()}"
    pair = SideBySide(filled[name], way, home, tools)
    yield pair
    pair.view.close()
    subprocess.run(["chmod", "-R", "u+rwx", home], check=False)
    shutil.rmtree(home)


@pytest.fixture
def lake(view):
    return view.path


def pytest_configure(config):
    config.addinivalue_line("markers", "view(**how): how the view of this test is made")
    config.addinivalue_line("markers", "options(*words): what helper-serve is told besides")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    names = pyfuncitem._fixtureinfo.argnames
    if "lake" not in names:
        return None
    given = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["view"].do(lambda: pyfuncitem.obj(**given), timeout=120)
    return True
