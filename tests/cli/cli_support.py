"""Calls of the real program (TVFS_BIN, or build/bin) in projects of their own."""

import json
import os
import pathlib
import re
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", SOURCE / "build" / "bin"))


class Result:
    def __init__(self, done):
        self.status = done.returncode
        self.raw, self.err = done.stdout, done.stderr.decode(errors="replace")

    @property
    def out(self):
        return self.raw.decode()

    @property
    def doc(self):
        """The one JSON document."""
        return json.loads(self.raw)

    @property
    def items(self):
        """JSON lines."""
        return [json.loads(line) for line in self.raw.splitlines()]


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith("TVFS_") and k != "NO_COLOR"}
    env.update(PATH=f"{BIN}:{env['PATH']}", LC_ALL="C.UTF-8")
    return env


class Project:
    """A folder with a lakehouse; calls run in it and must end with the status that is given."""

    def __init__(self, path):
        self.path = path
        self.lake = path / "data" / "lakehouse"

    def __call__(self, *words, status=0, cwd=None, program="tvfs", **more):
        done = subprocess.run([BIN / program, *words], cwd=cwd or self.path, capture_output=True,
                              env=environment() | more.pop("env", {}), timeout=120, **more)
        result = Result(done)
        assert result.status == status, (words, result.status, result.raw[-2000:], result.err)
        if status == 0:
            assert not re.search("(?i)sanitizer|runtime error", result.err), result.err
        return result

    def json(self, *words, **more):
        return self(*words, "--json", **more).doc

    def write(self, name, contents="x"):
        path = self.lake / name if isinstance(name, str) else pathlib.Path(os.fsdecode(
            os.fsencode(self.lake) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return path

    def commit(self, *words, **more):
        return self.json("commit", *words, **more)

    def files(self):
        """Relative path -> contents of the live folder."""
        return {str(p.relative_to(self.lake)): p.read_bytes()
                for p in sorted(self.lake.rglob("*")) if p.is_file()}
