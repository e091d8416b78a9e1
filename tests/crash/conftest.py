import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import crashkit  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def session():
    """However this process ends, what it has started ends too."""
    pipe = crashkit.guard()
    yield
    os.environ.pop(crashkit.MARK)
    os.close(pipe)


@pytest.fixture(scope="module", autouse=True)
def own_mounts(session):
    mounts = crashkit.OwnMounts()
    yield
    mounts.leave()


@pytest.fixture(scope="module")
def work(own_mounts):
    """A folder for the projects of one test file."""
    folder = crashkit.scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tracing():
    if reason := crashkit.can_trace():
        pytest.skip(reason)
    return crashkit.recorder()


@pytest.fixture(scope="session")
def mounting():
    prefix = crashkit.in_mount_namespace()
    if prefix is None:
        pytest.skip("machine cannot: mount a tmpfs")
    return prefix
