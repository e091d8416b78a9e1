"""Every kind of source with every way to misbehave: what is published, what is quarantined, what is said.

Each symbol has one defect, planted behind history that is published already. One call fetches them all, so
it shows as well that no symbol stops another; the next one finds all of them healed.
"""

import json
import time
from dataclasses import dataclass, field

import pandas
import pytest

import test_collect as forms
from market import COLUMNS, DAY, moved
from price_server import Answer
from test_ingest import Project, rows_of

HELD = 12  # rows that come after what is published first
TODAY = int(time.time()) // DAY * DAY


def change(place, **values):
    """Other values in one row, counted from the end."""
    def plant(rows):
        rows[place] = [values.get(name, old) for name, old in zip(COLUMNS, rows[place], strict=True)]
    return plant


def scale(first, end, factor):
    def plant(rows):
        for row in rows[first:end]:
            row[1:5] = [price * factor for price in row[1:5]]
    return plant


def swapped(rows):
    rows[-4], rows[-3] = rows[-3], rows[-4]


def twice_and_different(rows):
    rows.insert(-3, [*rows[-4][:4], (rows[-4][2] + rows[-4][3]) / 2, rows[-4][5]])


def idle(rows, first, end):
    close = rows[first - 1][4]
    for row in rows[first:end]:
        row[1:] = [close] * 4 + [0.0]


def filled_weekend(rows):
    friday = a_friday(rows)
    close = rows[friday][4]
    rows[friday + 1:friday + 1] = [[rows[friday][0] + n * DAY] + [close] * 4 + [0.0] for n in (1, 2)]


def a_friday(rows):
    """The last one that has a Monday behind it."""
    return max(i for i, row in enumerate(rows[:-1]) if row[0] + 3 * DAY == rows[i + 1][0])


def weekend(days):
    def plant(rows):
        friday = a_friday(rows)
        t, *prices, _ = rows[friday]
        rows.insert(friday + 1, [t + days * DAY, *[price * 1.001 for price in prices], 1000.0])
    return plant


def future(rows):
    day = TODAY + 9 * DAY
    day -= {5: 1, 6: 2}.get(time.gmtime(day).tm_wday, 0) * DAY
    rows.append([day, *rows[-1][1:]])


@dataclass
class Case:
    plant: object = None  # changes rows
    answer: object = None  # or: from a good body to the Answer; a list: one after another
    outcome: str = "quarantined"
    says: str = ""  # in the reason
    finding: tuple = ()  # gate and severity, of what is published all the same
    health: str = ""  # where it is neither "quarantined" nor "ok"
    rows: int | None = None  # that are published more than before
    only: tuple = field(default_factory=tuple)  # kinds or calendars; (): all


HTML = b"<html><body>Just a moment...</body></html>"

ROWS = {
    "good": Case(outcome="fetched", rows=HELD),
    "up": Case(scale(-3, -2, 1571), says="toxicity"),
    "down": Case(scale(-3, -2, 1 / 1571), says="toxicity"),
    "stays": Case(scale(-3, None, 10), says="a split, another unit or a crash"),
    "fourfold": Case(scale(-3, None, 4), outcome="fetched", rows=HELD),
    "negative": Case(change(-2, low=-1.0), says="values"),
    "zero": Case(change(-2, open=0.0), says="values"),
    "volume": Case(change(-2, volume=-5.0), says="values"),
    "high": Case(change(-2, high=0.01), says="ohlc"),
    "hours": Case(lambda rows: rows[-2].__setitem__(0, rows[-2][0] + 3600), says="day", only=("plain time",)),
    "double": Case(twice_and_different, says="order"),
    "again": Case(lambda rows: rows.insert(-3, list(rows[-4])), outcome="fetched",
                  finding=("order", "cut"), health="warn", rows=HELD),
    "unordered": Case(swapped, says="order"),
    "future": Case(future, says="future"),
    "saturday": Case(weekend(1), says="session", only=("monday-friday", "sunday-friday")),
    "sunday": Case(weekend(2), says="session", only=("monday-friday",)),
    "evening": Case(weekend(2), outcome="fetched", only=("sunday-friday",)),
    "filled": Case(filled_weekend, outcome="fetched", finding=("padding", "cut"), health="warn", rows=HELD,
                   only=("monday-friday",)),
    "padding": Case(lambda rows: idle(rows, -8, None), outcome="fetched", finding=("padding", "cut"),
                    health="warn", rows=HELD - 4),
    "restated": Case(scale(0, -HELD, 1.01), says="restatement"),
    "corrected": Case(scale(-HELD - 1, -HELD, 1.0005), outcome="fetched", finding=("restatement", "record"),
                      health="warn", rows=HELD),
    "gone": Case(lambda rows: rows.pop(-HELD - 2), says="restatement"),
    "gap": Case(lambda rows: rows.__delitem__(slice(-10, -3)), outcome="fetched", finding=("gap", "record"),
                health="gap", rows=HELD - 7),
    "nothing": Case(lambda rows: rows.clear(), says="restatement"),
    "html": Case(answer=lambda _: Answer(HTML, type="text/html"), says="HTML", only=("text",)),
    "malformed": Case(answer=lambda body: Answer(body[:len(body) // 2].rsplit(b",", 1)[0] + b",x"),
                      only=("text",)),
    "damaged": Case(answer=lambda body: Answer(body[:-9]), says="cannot be read as Parquet", only=("parquet",)),
}
NETWORK = {
    "other": Case(answer=lambda body: Answer(body.replace(b"OTHERUSD", b"WRONGUSD")), says="not for OTHERUSD",
                  only=("yahoo", "kraken")),
    "truncated": Case(answer=lambda body: Answer(body, cut=len(body) // 2), outcome="failed"),
    "once": Case(answer=lambda body: [Answer(b"wait", 429, {"Retry-After": "0"}), Answer(body)],
                 outcome="fetched", rows=HELD),
    "busy": Case(answer=lambda _: Answer(b"wait", 429, {"Retry-After": "0"}), outcome="failed", says="429"),
    "error": Case(answer=lambda _: Answer(b"oops", 500), outcome="failed", says="500"),
    "missing": Case(answer=lambda _: Answer(b"", 404), outcome="failed", says="404"),
    "elsewhere": Case(answer=lambda _: Answer(b"", 302, {"Location": "http://127.0.0.2:1/"}),
                      outcome="failed", says="another host"),
    "slow": Case(answer=lambda body: Answer(body, delay=30), outcome="failed", says="Timeout", only=("csv",)),
    "endless": Case(answer=lambda body: Answer(body.ljust(1 << 20), endless=True), outcome="failed",
                    says="more than", only=("csv",)),
}


def as_csv(rows, _):
    return forms.csv(rows).encode()


def as_json(rows, _):
    return json.dumps({"bars": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}).encode()


def as_parquet(rows, _):
    frame = pandas.DataFrame(rows, columns=COLUMNS).astype({"timestamp": "int64"})
    return frame.to_parquet(index=False)


@dataclass
class Kind:
    exchange: str
    tags: tuple
    body: object  # from rows and a symbol to bytes
    path: str = ""  # that is asked for; "": no network
    settings: dict = field(default_factory=dict)


KINDS = {
    "binance": Kind("BINANCE", ("24x7", "text", "plain time"), lambda rows, _: forms.binance(rows), "/api/v3/klines"),
    "coinbase": Kind("COINBASE", ("24x7", "text", "plain time"), lambda rows, _: forms.coinbase(rows), "/products/{}-USD/candles"),
    "kraken": Kind("KRAKEN", ("24x7", "text", "plain time"), forms.kraken, "/0/public/OHLC"),
    "yahoo": Kind("NASDAQ", ("monday-friday", "text"), forms.yahoo, "/v8/finance/chart/{}USD"),
    "stooq": Kind("NYSE", ("monday-friday", "text"), lambda rows, _: forms.stooq(rows), "/q/d/l/"),
    "json": Kind("CME", ("sunday-friday", "text", "plain time"), as_json, "/j", {"url": "{base}/j?symbol={{symbol}}", "rows": "bars"}),
    "csv": Kind("LSE", ("monday-friday", "text", "plain time"), as_csv, "/c", {"url": "{base}/c?symbol={{symbol}}"}),
    "folder": Kind("AMEX", ("monday-friday", "text", "plain time"), as_csv, "", {"path": "{feed}"}),
    "parquet": Kind("XETR", ("monday-friday", "parquet", "plain time"), as_parquet, "", {"path": "{feed}"}),
    "exec": Kind("TSX", ("monday-friday", "text", "plain time"), as_csv, "",
                 {"argv": ["cat", "{feed}/{{symbol}}.csv"], "env": ["PATH"]}),
    "exec-parquet": Kind("OTC", ("monday-friday", "parquet", "plain time"), as_parquet, "",
                         {"argv": ["cp", "{feed}/{{symbol}}.parquet", "{{output}}"], "env": ["PATH"], "output": "file"}),
}


class Feed:
    """The source of a kind: what it answers for each symbol."""

    def __init__(self, name, server, folder, bars):
        self.kind, self.bars, self.server, self.folder = KINDS[name], bars, server, folder
        self.cases = {word: case for word, case in {**ROWS, **(NETWORK if self.kind.path else {})}.items()
                      if not case.only or {name, *self.kind.tags} & set(case.only)}
        self.planted, self.end = False, -HELD
        self.left = {}
        folder.mkdir()
        for word in self.cases:
            server.routes[self.kind.path.format(word.upper())] = self.answer

    def settings(self, name):
        made = {"kind": name.split("-")[0] if name != "parquet" else "folder"}
        if self.kind.path and "url" not in self.kind.settings:
            made["base"] = self.server.base
        return made | json.loads(json.dumps(self.kind.settings).replace("{base}", self.server.base)
                                 .replace("{feed}", str(self.folder)).replace("{{", "{").replace("}}", "}"))

    def symbol(self, word):
        return f"{self.kind.exchange}:{word.upper()}USD"

    def rows(self, word):
        rows = [list(row) for row in self.bars[:self.end]]
        if self.planted and self.cases[word].plant:
            self.cases[word].plant(rows)
        return rows

    def made(self, word, rows):
        """The Answer, or the list of them."""
        body = self.kind.body(rows, f"{word.upper()}USD")
        case = self.cases[word]
        return case.answer(body) if self.planted and case.answer else Answer(body)

    def answer(self, request):
        word = (request.query.get("symbol") or request.query.get("pair") or request.query.get("s")
                or request.path.split("/")[-2 if "candles" in request.path else -1])
        word = word.lower().removesuffix(".us").replace("-", "").removesuffix("usd")
        first = next((request.query[name] for name in ("startTime", "start", "since", "period1", "d1")
                      if name in request.query), "0")
        first = (int(first) / (1000 if "startTime" in request.query else 1) if first.isdigit() and "d1" not in
                 request.query else pandas.Timestamp(first, tz="UTC" if "T" not in first else None).timestamp())
        made = self.made(word, [row for row in self.rows(word) if row[0] >= first])
        if not isinstance(made, list):
            return made
        return made[min(self.left.setdefault(word, iter(range(9))).__next__(), len(made) - 1)]

    def write(self):
        for word in self.cases if not self.kind.path else ():
            suffix = "parquet" if "parquet" in self.kind.tags else "csv"
            (self.folder / f"{word.upper()}USD.{suffix}").write_bytes(self.made(word, self.rows(word)).body)


@pytest.fixture
def bars(lake):
    return moved(pandas.read_parquet(lake / "NASDAQ_AAPL_1d.parquet"), 150)


def ingest(project, feed, planted, *words, **more):
    feed.planted = planted
    feed.write()
    done = project.ingest(*[feed.symbol(word) for word in feed.cases], "--fresh", "0", *words, **more)
    return {word: done["by_symbol"][feed.symbol(word)] for word in feed.cases}, done


@pytest.mark.parametrize("name", KINDS)
def test_each_has_its_end(server, tmp_path, bars, name):
    if "24x7" in KINDS[name].tags:
        bars = [[TODAY - (len(bars) - i) * DAY, *row[1:]] for i, row in enumerate(bars)]
    feed = Feed(name, server, tmp_path / "feed", bars)
    start = time.strftime("%Y-%m-%d", time.gmtime(TODAY - 280 * DAY))
    project = Project(tmp_path, {
        "sources": {feed.kind.exchange: feed.settings(name)},
        "ingest": {"start": start, "tries": 2, "host_per_second": 0, "request_deadline": "2s"}},
        folder=name in ("kraken", "csv", "exec"))

    first, _ = ingest(project, feed, False)
    assert {item["outcome"] for item in first.values()} == {"fetched"}, first
    before, told = project.state(), project.json("foundation_health.json")
    count = len(bars) - HELD

    feed.end = None
    items, done = ingest(project, feed, True, status=13)
    health = project.json("foundation_health.json")
    catalog = project.json("catalog.json")
    for word, case in feed.cases.items():
        item, symbol = items[word], feed.symbol(word)
        file = f"{feed.kind.exchange}_{word.upper()}USD"
        bytes_now = (project.lake / f"{file}_1d.parquet").read_bytes()
        evidence = {p.suffix for p in project.lake.glob(f"quarantine/{file}.*")}
        assert item["outcome"] == case.outcome and case.says in item.get("reason", ""), (word, item)
        if case.outcome == "fetched":
            assert evidence == set() and health[symbol]["status"] == (case.health or "ok"), (word, item)
            assert case.rows is None or len(project.frame(symbol)) == count + case.rows, (word, item)
            assert catalog[symbol]["rows"] == len(project.frame(symbol))
        else:
            assert bytes_now == before[f"{file}_1d.parquet"], word
            assert health[symbol] == told[symbol] or health[symbol]["status"] == case.outcome, word
            assert catalog[symbol]["rows"] == count
            suffix = ".body" if case.answer else ".csv"
            assert evidence == ({suffix} if case.outcome == "quarantined" else set()), (word, item)
        if case.outcome == "quarantined":
            assert health[symbol]["reason"] == item["reason"]
        if case.finding:
            assert case.finding in {(f["gate"], f["severity"]) for f in item["findings"]}, (word, item)
    assert rows_of(project.frame(feed.symbol("good"))) == [list(map(float, row)) for row in bars]
    ends = [case.outcome for case in feed.cases.values()]
    assert {end: done[end] for end in ("fetched", "quarantined", "failed")} == {
        end: ends.count(end) for end in ("fetched", "quarantined", "failed")}
    project.tvfs("schema", *project.lake.glob("*.parquet"), *project.lake.glob("*.json"))

    # What padding and gaps left out comes back; it is history that was not published.
    items, _ = ingest(project, feed, False, "--accept-restatement")
    assert {item["outcome"] for item in items.values()} <= {"fetched", "confirmed", "skipped"}, items
    for word in feed.cases:
        if feed.cases[word].outcome != "fetched":
            assert rows_of(project.frame(feed.symbol(word))) == rows_of(project.frame(feed.symbol("good"))), word
    assert not list(project.lake.glob("quarantine/*"))
