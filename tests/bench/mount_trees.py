"""The trees that are worked on: made when they are first needed, removed after their last use."""

import os
import pathlib
import subprocess

from mount_sandbox import remove

NAME = "EXCHANGE_SYM{:07}_1d.parquet"  # as in fswork.c, null-fuse.c and make-large-tree.c


class Tree:
    """So many files of so many bytes, flat or in folders, in a project's lakehouse."""

    def __init__(self, bench, name, files, folders=0, size=5, fill="files", part=None):
        self.bench, self.name, self.fill, self.part = bench, name, fill, part
        self.files, self.folders, self.size = files, folders, size
        self.home = bench.folder / name
        self.project = self.home / "project"
        self.source = self.project / "data" / "lakehouse"
        self.store = self.project / ".tvfs"
        self.prepared = {}  # subject -> None, or why it cannot be had
        self.stored = False

    @property
    def first(self):
        name = NAME.format(0)
        return f"D0000/{name}" if self.folders else name

    def make(self):
        if self.home.exists():
            return
        self.source.mkdir(parents=True)
        if self.fill == "files":
            self.bench.fswork("make", self.source, self.files, self.folders, self.size)
        elif self.fill == "frames":
            self.bench.frames.ask("make", self.source, self.files)
        self.own(self.project)
        os.sync()

    def own(self, path):
        if self.bench.user:
            owner = f"{self.bench.user.pw_uid}:{self.bench.user.pw_gid}"
            subprocess.run(["chown", "-R", owner, path], check=True)

    def make_store(self):
        """A tvfs store of it. It belongs to the ordinary user, so that both can mount it."""
        if self.stored:
            return
        self.stored = True
        bench = self.bench
        bench.tvfs("init", cwd=self.project)
        settings = self.project / "tvfs.json"
        settings.write_text(settings.read_text().replace('"settle": "0.2s"', '"settle": "0s"'))
        if self.fill == "store":
            bench.run(bench.helper("helper-make-large-tree"), self.store, "main", self.files, 0)
            self.own(self.project)
        else:
            bench.tvfs("commit", "--force", "-m", "bench", cwd=self.project)

    def drop(self):
        remove(self.home)


class Trees:
    """All trees by name, at a scale. `part`: what those get that would take minutes for the whole."""

    def __init__(self, bench):
        self.bench, self.made = bench, {}
        scaled = self.scaled
        flat, part = scaled(100_000), scaled(10_000)
        self.known = {
            "small-100k": {"files": scaled(2000), "size": 100_000},
            "small-4k": {"files": scaled(20_000), "size": 4096, "part": "small-4k-part"},
            "small-4k-part": {"files": scaled(2000), "size": 4096},
            "big": {"files": 1, "size": scaled(1024) << 20},
            "flat": {"files": flat, "part": "flat-part"},
            "flat-part": {"files": part},
            "wide": {"files": flat, "folders": scaled(1000), "part": "wide-part"},
            "wide-part": {"files": part, "folders": scaled(100)},
            "copyup": {"files": 1, "size": scaled(100) << 20},
            "frames": {"files": scaled(2000), "fill": "frames", "part": "frames-part"},
            "frames-part": {"files": scaled(200), "fill": "frames"},
            "runs": {"files": scaled(320), "size": 100_000},
            "thousand": {"files": 1000},
            "million": {"files": scaled(1_000_000), "fill": "store"},
        }

    def scaled(self, number):
        return max(int(number * self.bench.scale), 1)

    def get(self, name):
        if name not in self.made:
            self.made[name] = Tree(self.bench, name, **self.known[name])
        tree = self.made[name]
        tree.make()
        return tree

    def keep_only(self, names):
        wanted = set(names)
        wanted |= {self.known[name].get("part") for name in names}
        for name in [name for name in self.made if name not in wanted]:
            self.made.pop(name).drop()


def total_bytes(path):
    return sum(p.stat().st_size for p in pathlib.Path(path).rglob("*") if p.is_file())
