"""What the tests of ingest/ share: the program, the helper, a lakehouse of real prices."""

import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", SOURCE / "build" / "bin"))
# build/bin belongs to the preset dev; the others have their own bin folder beside their tests
BUILD = BIN.parent / "dev" if BIN.parent.name == "build" else BIN.parent


def pytest_collection_modifyitems(items):
    if (BIN.parent / "libexec" / "tvfs" / "tvfs-ingest-tool").exists():
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


class Tool:
    """`tvfs schema`, and helper-bars: reads a file of bars, writes its rows to another."""

    def __init__(self):
        self.helper = BUILD / "tests" / "helper-bars"

    def copy(self, *paths):
        """The answer to each pair of files."""
        out = subprocess.run([self.helper, *paths], capture_output=True, text=True, timeout=120)
        assert out.returncode == 0, out.stderr
        answers = out.stdout.splitlines()
        assert len(answers) == len(paths) // 2
        return answers

    def schema(self, *paths, words=(), cwd=None):
        return subprocess.run([BIN / "tvfs", "schema", *words, *paths], capture_output=True,
                              text=True, timeout=120, cwd=cwd)


@pytest.fixture(scope="session")
def tool():
    return Tool()
