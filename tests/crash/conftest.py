import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import crashkit  # noqa: E402


@pytest.fixture(scope="module")
def work():
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
