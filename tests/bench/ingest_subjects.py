"""Who ingests, makes features and validates: each in lakehouses of its own, one a market."""

import ctypes
import json
import os
import pathlib
import shutil
import time

from ingest_market import HELD
from mount_sandbox import remove

PEER = pathlib.Path(__file__).with_name("ingest_peer.py")
LIBC = ctypes.CDLL(None, use_errno=True)


class Subject:
    name = title = ""
    works = ()  # the names of those that it does
    compared, budget = True, 120

    def __init__(self, bench):
        self.bench = bench
        self.shown = {}  # market -> how many of its held-back bars have been ingested; none: it has nothing
        self.report = {}

    def home(self, market):
        return self.bench.folder / f"{self.name}-{market.name}"

    def absent(self):
        return None

    def cannot(self, work):
        return None if work.name in self.works else "not this work"

    def empty(self, market):
        remove(self.home(market))
        self.home(market).mkdir()
        self.shown.pop(market, None)

    def fill(self, market):
        """A lakehouse with all symbols."""
        if market not in self.shown:
            self.empty(market)
            market.hold(HELD)
            self.ingest(market)

    def complete(self, market, part):
        """All files of a foundation; `part` is a smaller market."""
        self.do(market, "features")
        self.do(market, "matrix")

    def ingest(self, market):
        sample = self.do(market, "ingest")
        self.shown[market] = HELD - market.held
        return sample

    def do(self, market, what):
        """Seconds, processor seconds and megabytes that it took."""
        line = self.bench.folder / "meter"
        text = self.bench.run(self.bench.helper("bench-meter"), line, *self.words(market, what),
                              cwd=self.home(market))
        self.report = json.loads(text) if text.startswith("{") else {}
        ns, user, system, kilobytes, _, _ = map(int, line.read_text().split())
        return {"seconds": ns / 1e9, "cpu": (user + system) / 1e6, "memory": kilobytes * 1024 / 1e6}


class Tvfs(Subject):
    name, title, live = "tvfs", "tvfs", False
    works = ("first", "update", "features", "matrix", "validate", "validate-again")

    def cannot(self, work):
        program = self.bench.bin_of(work.command)
        return super().cannot(work) or (None if program.exists() else f"there is no {program.name}")

    def empty(self, market):
        super().empty(market)
        home = self.home(market)
        (home / "data/lakehouse").mkdir(parents=True)
        self.bench.run(self.bench.bin_of(), "init", cwd=home)
        settings = home / "tvfs.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | market.settings()))
        if not self.live:
            shutil.rmtree(home / "data/lakehouse")

    def words(self, market, what):
        more = ["--json", "--fresh", "0", market.candidates] if what == "ingest" else []
        return [self.bench.bin_of(), what, *more]

    def published(self, market):
        """The files that the last commit changed, and their bytes."""
        home = self.home(market)
        lines = self.bench.run(self.bench.bin_of(), "diff", "main~1", "main", cwd=home).splitlines()
        names = [line.split()[-1] for line in lines if line[:1] in "+~" and len(line.split()) > 1]
        out = home / "published"
        remove(out)
        self.bench.run(self.bench.bin_of(), "checkout", "main", out, cwd=home)
        data = {name: (out / name).read_bytes() for name in names if (out / name).is_file()}
        remove(out)
        if len(data) < len(market.symbols):
            raise RuntimeError(f"the last commit changed {len(data)} files only")
        return data


class TvfsLive(Tvfs):
    name, title, live, budget = "tvfs-live", "tvfs, with a live folder", True, 60
    works = ("first", "update")


class Pandas(Subject):
    name, title, compared = "pandas", "pandas and requests", False
    works = ("first", "update", "features", "matrix", "validate")

    def absent(self):
        return None if self.bench.peer_python.exists() else "its packages could not be installed"

    def words(self, market, what):
        more = [market.candidates, market.base] if what == "ingest" else []
        return [self.bench.peer_python, PEER, what, ".", *more]

    def fill(self, market):
        super().fill(market)
        if not (self.home(market) / "symbols.parquet").exists():
            self.bench.run(self.bench.peer_python, PEER, "symbols", ".", market.candidates, cwd=self.home(market))


    def complete(self, market, part):
        """Its check looks at the columns of features only: those of few symbols will do."""
        name = "features_matrix.parquet"
        if not (self.home(part) / name).exists():
            self.fill(part)
            self.do(part, "features")
        shutil.copyfile(self.home(part) / name, self.home(market) / name)
        self.do(market, "matrix")


class Writer(Subject):
    """Writes the files that tvfs published last as one would: a temp file each, fsync, rename; then the folder."""

    name, title, works, at_once = "write", "those files: write, fsync, rename", ("update",), False

    def fill(self, market):
        if not self.home(market).exists():
            self.home(market).mkdir()

    def ingest(self, market):
        tvfs = self.bench.subject("tvfs")
        if not tvfs.shown.get(market):
            tvfs.fill(market)
            market.hold(HELD - 1)
            tvfs.ingest(market)
        data = tvfs.published(market)
        os.sync()
        start = time.perf_counter()
        self.write(self.home(market), data)
        return {"publish": time.perf_counter() - start}

    def write(self, home, data):
        folder = os.open(home, os.O_RDONLY)
        for name, content in data.items():
            temp = home / f".{name}"
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(fd, content)
            if not self.at_once:
                os.fsync(fd)
                os.rename(temp, home / name)
            os.close(fd)
        if self.at_once:
            LIBC.syncfs(folder)
            for name in data:
                os.rename(home / f".{name}", home / name)
        os.fsync(folder)
        os.close(folder)


class WriterAtOnce(Writer):
    name, title, at_once = "write-at-once", "those files: write all, one sync", True
