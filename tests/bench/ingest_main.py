"""`./dev bench ingest [FILTER...]`: the data cycle beside a script with pandas and requests, in one interleaved run.

A FILTER is a part of the name of a work. BENCH_SCALE shrinks the number of symbols, BENCH_ROUNDS sets the
rounds, BENCH_DIR says where the lakehouses are made. Results: build/bench/ingest.json and plots beside it; a whole
run at full scale also renews docs/bench-ingest.md and its plots.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import ingest_goals  # noqa: E402
import ingest_page  # noqa: E402
import mount_table  # noqa: E402
from ingest_market import Market  # noqa: E402
from ingest_subjects import Pandas, Tvfs, TvfsLive, Writer, WriterAtOnce  # noqa: E402
from ingest_works import WORKS  # noqa: E402
from mount_bench import BIN, HELPERS, QUICK, ROOT, Bench, measure  # noqa: E402
from mount_main import OUT, machine, plot  # noqa: E402
from mount_sandbox import in_sandbox  # noqa: E402

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
MINUTES = 25 if SCALE >= QUICK else 3  # a slower or busy machine gets fewer rounds, not more time
SYMBOLS, PART = 5000, 500


class IngestBench:
    """What works and subjects share."""

    run, drop_caches = Bench.run, staticmethod(Bench.drop_caches)
    identity = staticmethod(Bench.identity)

    def __init__(self, folder):
        self.folder, self.scale, self.rounds = folder, SCALE, ROUNDS
        self.estimated, self.preparing = False, 0.0
        self.scratch = tempfile.TemporaryFile()
        self.peer_python = ROOT / "build/bench-venv/bin/python"
        for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
            del os.environ[name]  # none stands before the own server
        self.subjects = [kind(self) for kind in (Tvfs, TvfsLive, Pandas, Writer, WriterAtOnce)]
        self.markets = {name: Market(self.helper("bench-price-server"), folder, name, max(int(count * SCALE), 10))
                        for name, count in (("whole", SYMBOLS), ("part", PART))}

    @staticmethod
    def helper(name):
        return HELPERS / name

    @staticmethod
    def bin_of(command=None):
        return BIN / (f"tvfs-{command}" if command else "tvfs")

    def subject(self, name):
        return next(s for s in self.subjects if s.name == name)

    def complete(self, subject, market):
        """All files that a foundation needs, made once."""
        done = subject.home(market) / "complete"
        if not done.exists():
            subject.complete(market, self.markets["part"])
            done.touch()

    def close(self):
        for market in self.markets.values():
            market.close()


def choose(bench, words):
    works = [kind(bench) for kind in WORKS]
    if unknown := [word for word in words if not any(word in work.name for work in works)]:
        raise SystemExit(f"bench: nothing is called {' '.join(unknown)}; there are: "
                         + ", ".join(work.name for work in works))
    return [work for work in works if not words or any(word in work.name for word in words)]


def run_all(folder, words, started):
    bench = IngestBench(folder)
    version = bench.run(bench.bin_of(), "version", cwd="/").strip()
    doc = {"machine": machine(), "version": version, "scale": SCALE, "rounds": ROUNDS, "works": []}
    print(f"{doc['machine']['system']}, {doc['machine']['cores']} cores, {doc['machine']['memory_gb']} GB; {version}; "
          f"scale {SCALE:g}", flush=True)
    try:
        works = choose(bench, words)
        for number, work in enumerate(works):
            left = MINUTES * 60 - (time.monotonic() - started)
            doing = [s for s in bench.subjects if s.works and work.name in s.works]
            doc["works"].append(measure(bench, work, doing, left / (len(works) - number)))
            print(mount_table.text_of(doc["works"][-1]), flush=True)
    finally:
        bench.close()
    finish(doc, words, started)


def finish(doc, words, started):
    doc["goals"] = ingest_goals.judge(doc)
    doc["seconds"] = round(time.monotonic() - started)
    print(mount_table.goals_text(doc["goals"]))
    OUT.mkdir(parents=True, exist_ok=True)
    out = OUT / "ingest.json"
    out.write_text(json.dumps(doc, indent=1) + "\n")
    plotted = plot(out, "ingest_plots.py")
    print(f"\n{doc['seconds']} s; results: {os.path.relpath(out, ROOT)}")
    if plotted and not words and SCALE >= 1:
        ingest_page.renew(doc, OUT)


def main(words):
    started = time.monotonic()
    parent = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build"))
    return in_sandbox(parent, lambda folder: run_all(folder, words, started))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
