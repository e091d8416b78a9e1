"""Calls of `tvfs schema` and of the helper programs."""

import json
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
        out = subprocess.run([helper("bars"), *paths], capture_output=True, text=True,
                             timeout=120)
        assert out.returncode == 0, out.stderr
        answers = out.stdout.splitlines()
        assert len(answers) == len(paths) // 2
        return answers

    def schema(self, *paths, words=(), cwd=None):
        return subprocess.run([BIN / "tvfs", "schema", *words, *paths], capture_output=True,
                              text=True, timeout=120, cwd=cwd)


def clean_environment():
    """No proxy stands between the tests and their own server."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def helper(name):
    return BUILD / "tests" / f"helper-{name}"


def call(name, *words, status=0, env=None, cwd=None):
    """The lines of JSON that a helper prints, and what it wrote in all."""
    done = subprocess.run([helper(name), *map(str, words)], capture_output=True, text=True,
                          cwd=cwd, env=clean_environment() | (env or {}), timeout=60, check=False)
    assert done.returncode == status, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr
