"""Calls of `tvfs schema` and of helper-bars."""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", SOURCE / "build" / "bin"))
# build/bin belongs to the preset dev; the others have their own bin folder beside their tests
BUILD = BIN.parent / "dev" if BIN.parent.name == "build" else BIN.parent
TOOL = BIN.parent / "libexec" / "tvfs" / "tvfs-ingest-tool"


class Tool:
    """`tvfs schema`, and helper-bars: reads a file of bars, writes its rows to another."""

    def copy(self, *paths):
        """The answer to each pair of files."""
        out = subprocess.run([BUILD / "tests" / "helper-bars", *paths], capture_output=True, text=True,
                             timeout=120)
        assert out.returncode == 0, out.stderr
        answers = out.stdout.splitlines()
        assert len(answers) == len(paths) // 2
        return answers

    def schema(self, *paths, words=(), cwd=None):
        return subprocess.run([BIN / "tvfs", "schema", *words, *paths], capture_output=True,
                              text=True, timeout=120, cwd=cwd)
