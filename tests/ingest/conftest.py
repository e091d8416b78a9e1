"""What the tests of ingest/ share: the programs, a lakehouse of real prices, a server of prices."""

import pathlib
import subprocess
import sys

import pytest

from ingest_support import SOURCE, TOOL, Tool, call
from price_server import serving


def pytest_collection_modifyitems(items):
    if TOOL.exists():
        return
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="machine cannot: DuckDB cannot be had"))


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    """Real prices in the documented shape, written by pandas."""
    path = tmp_path_factory.mktemp("lake")
    subprocess.run([sys.executable, SOURCE / "tests" / "data" / "make_lakehouse.py", path], check=True,
                   capture_output=True)
    return path


@pytest.fixture(scope="session")
def tool():
    return Tool()


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def fetch():
    return lambda *words, **more: call("fetch", *words, **more)
