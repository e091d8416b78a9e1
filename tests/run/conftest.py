"""Fixtures for runs and mounts: `project` as whoever runs the tests, `any_project` also as a user."""

import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import pytest

from run_support import BIN, fuse_mounts, make_project, python_of, test_user


@pytest.fixture(scope="session")
def base():
    """Below /tmp, where other users can come, unlike pytest's own folder."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("machine cannot: no /dev/fuse")
    path = pathlib.Path(tempfile.mkdtemp(prefix="tvfs-run-"))
    path.chmod(0o755)
    yield path
    for line in fuse_mounts(path):
        subprocess.run(["umount", "-l", line.split()[4]], check=False)
    subprocess.run(["chmod", "-R", "u+w", path], check=False)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def user(base):
    """An ordinary user that may open /dev/fuse."""
    found = test_user()
    if found is None:
        pytest.skip("machine cannot: make a test user (not root, or no useradd)")
    if stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 != 0o006:
        os.chmod("/dev/fuse", 0o666)  # as udev does it
    probe = subprocess.run(["unshare", "-Um", "true"], user=found.pw_uid, group=found.pw_gid,
                           extra_groups=[], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("machine cannot: make user namespaces as an ordinary user")
    return found


@pytest.fixture(scope="session")
def user_bin(base, user):
    """The program where the user can read it."""
    folder = base / "bin"
    folder.mkdir()
    shutil.copy2(BIN / "tvfs", folder / "tvfs")
    folder.chmod(0o755)
    (folder / "tvfs").chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def user_python(base, user):
    """A Python that the user can start."""
    found = python_of(user, base / "python")
    if not found:
        pytest.skip("machine cannot: let the test user start a Python, nor a copy of it")
    return found


@pytest.fixture
def project(base, request):
    return make_project(base, request.node.name.replace("/", "-"))


@pytest.fixture(params=["self", "user"])
def any_project(base, request):
    name = request.node.name.replace("/", "-")
    if request.param == "self":
        return make_project(base, name)
    user = request.getfixturevalue("user")
    return make_project(base, name, request.getfixturevalue("user_bin"), user,
                request.getfixturevalue("user_python"))
