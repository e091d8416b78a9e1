"""The works of `./dev bench ingest`. A turn returns a figure a measure."""

from ingest_market import HELD, ROWS
from mount_works import Measure

TIME, CPU = Measure("seconds", "time", "s"), Measure("cpu", "processor", "s", ratio=False)
MEMORY = Measure("memory", "peak memory", "MB", ratio=False)


class Work:
    name = title = command = ""
    market = "whole"
    measures = (TIME, CPU, MEMORY)
    baseline = "tvfs"
    rounds = 1.0

    def __init__(self, bench):
        self.bench = bench

    def heading(self):
        return self.title.format(symbols=len(self.place().symbols), rows=ROWS)

    def place(self):
        return self.bench.markets[self.market]

    def turn(self, subject):
        subject.fill(self.place())
        return self.do(subject, self.place())

    def do(self, subject, market):
        return subject.do(market, self.command)


class First(Work):
    name, command = "first", "ingest"
    title = "{symbols:,} symbols x {rows:,} daily bars: fetched, judged, published"
    measures = (TIME, Measure("rate", "rows a second", "", ratio=False), CPU, MEMORY)

    def turn(self, subject):
        market = self.place()
        subject.empty(market)
        market.hold(HELD)
        sample = subject.ingest(market)
        return sample | {"rate": ROWS * len(market.symbols) / sample["seconds"]}


class Update(Work):
    name, command = "update", "ingest"
    title = "a daily update: one more bar for each of {symbols:,} symbols"
    measures = (TIME, CPU, MEMORY, Measure("publish", "store and publish", "s"))

    def do(self, subject, market):
        shown = subject.shown.get(market, 0)
        market.hold(max(HELD - shown - 1, 0))
        sample = subject.ingest(market)
        seconds = subject.report.get("seconds")
        return sample | ({"publish": seconds["storing"] + seconds["publishing"]} if seconds else {})


class Features(Work):
    name, command, market = "features", "features", "part"
    title = "{symbols:,} symbols: features/tv_technicals_1d.parquet and features_matrix.parquet"


class Matrix(Work):
    name, command, title = "matrix", "matrix", "the returns matrix of {symbols:,} symbols"


class Validate(Work):
    name, command, title = "validate", "validate", "the foundation of {symbols:,} symbols, judged for the first time"

    def do(self, subject, market):
        self.bench.complete(subject, market)
        return super().do(subject, market)


class ValidateAgain(Validate):
    name, title = "validate-again", "the same foundation, judged again"


WORKS = [First, Update, Features, Matrix, Validate, ValidateAgain]
