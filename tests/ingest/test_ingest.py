"""`tvfs ingest` against a local server with real prices: what is published, what is quarantined, what is
said, which exit code."""

import json
import subprocess
import time

import pandas
import pytest

from ingest_support import BIN, clean_environment
from market import COLUMNS, DAY, Market
from price_server import Answer

STOCKS = ["NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOG"]


class Project:
    """A store with settings, or a plain folder, and calls of tvfs in it."""

    def __init__(self, path, settings, folder):
        self.path, self.folder = path, folder
        self.lake = path / "data" / "lakehouse"
        self.lake.mkdir(parents=True)
        if not folder:
            self.tvfs("init")
        self.configure(settings)

    def configure(self, settings):
        file = self.path / "tvfs.json"
        old = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(old | settings))

    def tvfs(self, *words, status=0, env=None):
        done = subprocess.run([BIN / "tvfs", *map(str, words)], capture_output=True, text=True, cwd=self.path,
                              env=clean_environment() | (env or {}), timeout=120, check=False)
        assert done.returncode == status, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def ingest(self, *words, status=0, env=None):
        where = ["--folder", self.lake] if self.folder else []
        done = self.tvfs("ingest", "--json", *where, *words, status=status, env=env)
        doc = json.loads(done.stdout)
        doc["by_symbol"] = {item["symbol"]: item for item in doc.get("symbols", [])}
        return doc

    def json(self, name):
        return json.loads((self.lake / name).read_text())

    def frame(self, symbol):
        return pandas.read_parquet(self.lake / f"{symbol.replace(':', '_')}_1d.parquet")

    def state(self):
        """Every file's bytes."""
        return {str(p.relative_to(self.lake)): p.read_bytes() for p in self.lake.rglob("*") if p.is_file()}


@pytest.fixture
def market(server, lake):
    return Market(server, lake)


@pytest.fixture(params=["store", "folder"])
def project(request, market, tmp_path):
    return Project(tmp_path, market.settings(), request.param == "folder")


def rows_of(frame):
    return frame[COLUMNS].astype(float).to_numpy().tolist()


def candidates(project, *symbols):
    path = project.path / "candidates.json"
    path.write_text(json.dumps([{"symbol": s, "sector": "Technology"} for s in symbols]))
    return path


def test_first_second_and_next_call(project, market):
    held = [market.bars[name].pop() for name in ("AAPL", "MSFT", "GOOG")]
    names = candidates(project, *STOCKS, "BINANCE:BTCUSDT")
    done = project.ingest(names)
    assert done["fetched"] == 4 and not done["unchanged"]
    for name in ("AAPL", "MSFT", "GOOG"):
        assert rows_of(project.frame(f"NASDAQ:{name}")) == [list(map(float, r)) for r in market.bars[name]]
    assert str(project.frame("NASDAQ:AAPL").dtypes["timestamp"]) == "int64"
    entry = project.json("catalog.json")["NASDAQ:AAPL"]
    assert entry["rows"] == 299 and entry["source"] == "NASDAQ" and 0 < entry["data_quality_score"] <= 1
    assert project.json("foundation_health.json")["NASDAQ:AAPL"]["status"] == "ok", project.json("foundation_health.json")
    symbols = pandas.read_parquet(project.lake / "symbols.parquet").set_index("symbol")
    assert symbols.loc["NASDAQ:MSFT", "sector"] == "Technology" and bool(symbols.loc["NASDAQ:MSFT", "active"])
    exchanges = pandas.read_parquet(project.lake / "exchanges.parquet").set_index("exchange")
    assert bool(exchanges.loc["BINANCE", "is_crypto"]) and not bool(exchanges.loc["NASDAQ", "is_crypto"])
    project.tvfs("schema", *project.lake.glob("*.parquet"), *project.lake.glob("*.json"))

    before, asked = project.state(), len(market.server.seen)
    again = project.ingest(names)
    assert again["skipped"] == 4 and again["unchanged"]
    assert project.state() == before and len(market.server.seen) == asked

    for name, bar in zip(("AAPL", "MSFT", "GOOG"), held, strict=True):
        market.bars[name].append(bar)
    later = project.ingest(names, "--fresh", "0")
    assert {later["by_symbol"][s]["outcome"] for s in STOCKS} == {"fetched"}
    assert later["by_symbol"]["BINANCE:BTCUSDT"]["outcome"] == "skipped", "its last day is there"
    assert all(later["by_symbol"][s]["added"] == 1 for s in STOCKS)
    asked_from = int(market.server.seen[-1].query["period1"])
    assert asked_from > market.bars["AAPL"][-1][0] - 20 * DAY, "only the tail"


def spike(rows):
    rows[-3][1:5] = [1570 * price for price in rows[-3][1:5]]
    return rows


def weekend(rows):
    friday = next(i for i, row in enumerate(rows) if time.gmtime(row[0]).tm_wday == 4 and i > 5)
    return [*rows[:friday + 1], [rows[friday][0] + DAY, *rows[friday][1:5], 1000.0], *rows[friday + 1:]]


def high_below_low(rows):
    rows[7][2] = rows[7][3] / 2
    return rows


def negative(rows):
    rows[9][3] = -1.0
    return rows


def double(rows):
    return [*rows[:5], [*rows[4][:5], 1.0], *rows[5:]]


def unordered(rows):
    rows[3], rows[8] = rows[8], rows[3]
    return rows


def future(rows):
    day = int(time.time()) // DAY * DAY + 5 * DAY
    day += {5: 2, 6: 1}.get(time.gmtime(day).tm_wday, 0) * DAY
    return [*rows, [day, *rows[-1][1:]]]


# defect: (outcome, a word of the reason)
REFUSED = {
    "spike": (spike, "toxicity"),
    "high below low": (high_below_low, "ohlc"),
    "negative": (negative, "values"),
    "weekend": (weekend, "session"),
    "double": (double, "order"),
    "unordered": (unordered, "order"),
    "future": (future, "future"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_rows_are_quarantined(project, market, name):
    """The good version before stays, the bytes are evidence, the others are published."""
    plant, gate = REFUSED[name]
    names = candidates(project, *STOCKS)
    last = market.bars["MSFT"].pop()
    project.ingest("NASDAQ:MSFT")
    good = (project.lake / "NASDAQ_MSFT_1d.parquet").read_bytes()
    market.defect["AAPL"] = plant
    if name in ("spike", "future"):  # what they plant lies within the few days that are asked for again
        market.bars["MSFT"].append(last)
        market.defect["MSFT"] = plant
    done = project.ingest(names, "--fresh", "0", status=13)
    item = done["by_symbol"]["NASDAQ:AAPL"]
    assert item["outcome"] == "quarantined" and gate in json.dumps(item), item
    assert done["by_symbol"]["NASDAQ:GOOG"]["outcome"] == "fetched"
    assert not (project.lake / "NASDAQ_AAPL_1d.parquet").exists()
    assert (project.lake / "NASDAQ_MSFT_1d.parquet").read_bytes() == good
    health = project.json("foundation_health.json")["NASDAQ:AAPL"]
    assert health["status"] == "quarantined" and health["reason"] == item["reason"]
    assert "NASDAQ:AAPL" not in project.json("catalog.json")
    evidence = pandas.read_csv(project.lake / "quarantine" / "NASDAQ_AAPL.csv")
    assert len(evidence) >= 300

    before = project.state()
    again = project.ingest(names, status=13)
    assert again["unchanged"] and project.state() == before, "the same verdict is no news"
    market.defect.clear()
    healed = project.ingest("NASDAQ:AAPL")
    assert healed["by_symbol"]["NASDAQ:AAPL"]["outcome"] == "fetched"
    assert project.json("foundation_health.json")["NASDAQ:AAPL"]["status"] == "ok", project.json("foundation_health.json")
    assert not (project.lake / "quarantine" / "NASDAQ_AAPL.csv").exists()


def test_the_same_row_twice(project, market):
    """Cut, and told; the rest is published."""
    market.defect["AAPL"] = lambda rows: [*rows[:5], rows[4], *rows[5:]]
    item = project.ingest("NASDAQ:AAPL")["by_symbol"]["NASDAQ:AAPL"]
    assert item["outcome"] == "fetched" and item["findings"][0]["severity"] == "cut"
    assert rows_of(project.frame("NASDAQ:AAPL")) == [list(map(float, row)) for row in market.bars["AAPL"]]


# answer: (outcome, exit code, a word of the reason)
ANSWERS = {
    "html": (Answer(b"<html><body>Just a moment...</body></html>", type="text/html"), "quarantined", 13, "HTML"),
    "malformed": (Answer(b'{"chart": {"result": [{"meta"'), "quarantined", 13, ""),
    "wrong symbol": (Answer(json.dumps({"chart": {"error": None, "result": [{
        "meta": {"symbol": "OTHER", "gmtoffset": 0}, "timestamp": [],
        "indicators": {"quote": [{}]}}]}}).encode()), "quarantined", 13, "OTHER"),
    "500": (Answer(b"oops", 500), "failed", 15, "500"),
    "429": (Answer(b"slow down", 429, {"Retry-After": "0"}), "failed", 15, "429"),
    "404": (Answer(b"not here", 404), "failed", 15, "404"),
    "redirect": (Answer(b"", 302, {"Location": "http://127.0.0.2:1/x"}), "failed", 15, "redirect"),
    "truncated": (Answer(b'{"chart"', cut=4), "failed", 15, ""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_no_prices(project, market, name):
    answer, outcome, status, word = ANSWERS[name]
    market.defect["AAPL"] = answer
    done = project.ingest(candidates(project, *STOCKS), status=status)
    item = done["by_symbol"]["NASDAQ:AAPL"]
    assert item["outcome"] == outcome and word.lower() in item["reason"].lower(), item
    assert done["fetched"] == 2 and not (project.lake / "NASDAQ_AAPL_1d.parquet").exists()
    assert (project.lake / "quarantine" / "NASDAQ_AAPL.body").exists() == (outcome == "quarantined")


def test_restated_history(project, market):
    """Refused until it is accepted; and then the whole history is fetched, not only the tail."""
    last = market.bars["AAPL"].pop()
    project.ingest("NASDAQ:AAPL")
    before = project.frame("NASDAQ:AAPL")
    market.bars["AAPL"].append(last)
    split = [[t, *(price / 4 for price in prices), volume * 4] for t, *prices, volume in market.bars["AAPL"]]
    market.bars["AAPL"] = split
    done = project.ingest("NASDAQ:AAPL", "--fresh", "0", status=13)
    item = done["by_symbol"]["NASDAQ:AAPL"]
    assert "restatement" in json.dumps(item) and item["restatement"]["changed"] > 0
    pandas.testing.assert_frame_equal(project.frame("NASDAQ:AAPL"), before)
    done = project.ingest("NASDAQ:AAPL", "--fresh", "0", "--accept-restatement")
    assert done["by_symbol"]["NASDAQ:AAPL"]["outcome"] == "fetched"
    assert rows_of(project.frame("NASDAQ:AAPL")) == [list(map(float, row)) for row in split]


def test_a_gap_is_recorded(project, market):
    market.bars["AAPL"] = market.bars["AAPL"][:100] + market.bars["AAPL"][115:]
    done = project.ingest("NASDAQ:AAPL")
    assert done["by_symbol"]["NASDAQ:AAPL"]["outcome"] == "fetched"
    assert project.json("foundation_health.json")["NASDAQ:AAPL"]["status"] == "gap"


def test_symbols_that_nobody_serves(project):
    done = project.ingest("LSE:VOD", "not-a-symbol:", status=15)
    assert "sources" in done["by_symbol"]["LSE:VOD"]["reason"]
    project.tvfs("ingest", "nothing.json", status=1)
    (project.path / "bad.json").write_text('[{"no": "symbol"}]')
    project.tvfs("ingest", "bad.json", status=1)


def test_settings_that_are_wrong(project, market):
    for settings, word in (({"ingest": {"fresch": "1h"}}, "ingest.fresch"),
                           ({"ingest": {"fresh": 3}}, "ingest.fresh"),
                           ({"ingest": {"tries": 0}}, "ingest.tries"),
                           ({"sources": {"NASDAQ": {"kind": "nothing"}}}, "NASDAQ"),
                           ({"ingest": {"overlap": "ten"}}, "ingest.overlap"),
                           ({"ingest": {"start": "yesterday"}}, "ingest.start"),
                           ({"ingest": {"host_per_second": -1}}, "ingest.host_per_second"),
                           ({"ingest": {"connections": 1.5}}, "ingest.connections"),
                           ({"ingest": {"exchanges": ["X"]}}, "ingest.exchanges"),
                           ({"ingest": {"exchanges": {"X": {"timezon": "UTC"}}}}, "ingest.exchanges.X.timezon"),
                           ({"ingest": {"exchanges": {"X": {"timezone": 5}}}}, "ingest.exchanges.X.timezone"),
                           ({"ingest": {"exchanges": {"X": {"is_crypto": "yes"}}}}, "ingest.exchanges.X.is_crypto"),
                           ({"gates": {"toxic": 1}}, "toxic")):
        project.configure(market.settings(**settings))
        where = ["--folder", project.lake] if project.folder else []
        assert word in project.tvfs("ingest", *where, "NASDAQ:AAPL", status=1).stderr


def test_words_that_are_wrong(project, market):
    where = ["--folder", project.lake] if project.folder else []
    for words in (["--fresh", "soon"], ["--fresh", "-1h"], ["--deadline", "x"], ["--unknown"], []):
        symbols = ["NASDAQ:AAPL"] if words else []
        project.tvfs("ingest", *where, *words, *symbols, status=2)
    project.tvfs("ingest", "--folder", project.path / "none", "NASDAQ:AAPL", status=1)
    project.configure({"ingest": {"start": "2200-01-01"}})
    done = project.ingest("NASDAQ:AAPL", status=15)["by_symbol"]["NASDAQ:AAPL"]
    assert done["outcome"] == "failed" and "ingest.start" in done["reason"]
    assert market.server.seen == []


def test_a_published_file_that_is_broken(project, market):
    project.ingest("NASDAQ:AAPL", "NASDAQ:MSFT")
    (project.lake / "NASDAQ_AAPL_1d.parquet").write_bytes(b"PAR1 not really PAR1")
    if not project.folder:
        project.tvfs("commit", "--force", "-m", "broken")
    done = project.ingest("NASDAQ:AAPL", "NASDAQ:MSFT", "--fresh", "0", status=15)
    assert done["by_symbol"]["NASDAQ:AAPL"]["outcome"] == "failed"
    assert done["by_symbol"]["NASDAQ:MSFT"]["outcome"] in ("skipped", "confirmed")


def start(project, *words):
    where = ["--folder", project.lake] if project.folder else []
    return subprocess.Popen([BIN / "tvfs", "ingest", "--json", *map(str, where), *words], cwd=project.path,
                            env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_many_at_once(project, market):
    """Each its own symbol, and all one that they share: nobody's is lost. Of the shared one the same may be
    published twice, but what is not the same gives way."""
    own = ["NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOG", "BINANCE:BTCUSDT"]
    calls = [start(project, symbol, "NASDAQ:FB") for symbol in own]
    outcomes = []
    for call, symbol in zip(calls, own, strict=True):
        out, errors = call.communicate(timeout=120)
        assert call.returncode == 0, errors
        by_symbol = {item["symbol"]: item["outcome"] for item in json.loads(out)["symbols"]}
        assert by_symbol[symbol] == "fetched"
        outcomes.append(by_symbol["NASDAQ:FB"])
    assert "fetched" in outcomes and set(outcomes) <= {"fetched", "outrun", "confirmed", "skipped"}, outcomes
    if not project.folder:
        project.tvfs("sync")
    assert sorted(project.json("catalog.json")) == sorted([*own, "NASDAQ:FB"])
    for symbol in (*own, "NASDAQ:FB"):
        assert len(project.frame(symbol)) == project.json("catalog.json")[symbol]["rows"]
    symbols = pandas.read_parquet(project.lake / "symbols.parquet")
    assert sorted(symbols["symbol"]) == sorted([*own, "NASDAQ:FB"])


def test_an_interrupted_call_goes_on(project, market):
    """Killed while one symbol hangs: nothing is published; the next call asks only for that one."""
    market.defect["GOOG"] = Answer(b"{}", delay=60)
    call = start(project, *STOCKS)
    spool = project.lake / ".tvfs-spool" if project.folder else project.path / ".tvfs" / "spool"
    end = time.monotonic() + 30
    while not spool.exists() or len([p for p in spool.iterdir() if p.suffix == ".parquet"]) < 2:
        assert time.monotonic() < end and call.poll() is None
        time.sleep(0.05)
    call.kill()
    call.communicate()
    assert not list(project.lake.glob("*.parquet"))
    market.defect.clear()
    market.server.seen.clear()
    done = project.ingest(*STOCKS)
    assert done["fetched"] == 3
    assert market.server.paths() == ["/v8/finance/chart/GOOG"]
    assert [item["symbol"] for item in done["symbols"] if item.get("resumed")] == STOCKS[:2]
    assert not list(spool.iterdir())
