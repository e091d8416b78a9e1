"""`tvfs repair` against a local server with real prices of which days were cut out: what is asked for, what is
published, what is permanent, which exit code."""

import hashlib
import json
import subprocess
import time

import pandas
import pytest

from ingest_support import BIN, clean_environment
from market import COLUMNS, DAY, Market
from price_server import Answer
from test_ingest import Project as IngestProject
from test_ingest import rows_of

AAPL, MSFT, GOOG = "NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOG"


class Project(IngestProject):
    def repair(self, *words, status=0):
        where = ["--folder", self.lake] if self.folder else []
        doc = json.loads(self.tvfs("repair", "--json", *where, *words, status=status).stdout)
        doc["outcomes"] = [(r["symbol"], r["outcome"], r["added"]) for r in doc["ranges"]]
        return doc

    def health(self, symbol=AAPL):
        return self.json("foundation_health.json")[symbol]

    def file(self, symbol=AAPL):
        return (self.lake / f"{symbol.replace(':', '_')}_1d.parquet").read_bytes()

    def evidence(self, symbol=AAPL):
        return self.lake / "quarantine" / f"{symbol.replace(':', '_')}.repair.csv"


@pytest.fixture
def market(server, lake):
    return Market(server, lake)


@pytest.fixture(params=["store", "folder"])
def project(request, market, tmp_path):
    return Project(tmp_path, market.settings(), request.param == "folder")


@pytest.fixture
def folder(market, tmp_path):
    return Project(tmp_path, market.settings(), True)


def day(seconds):
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def published_with_gaps(project, market, **gaps):
    """Ingests with rows [first, end) of symbols cut out; then the source has all of them, and nobody asked."""
    whole = {name: list(rows) for name, rows in market.bars.items()}
    for name, cuts in gaps.items():
        for first, end in sorted(cuts, reverse=True):
            del market.bars[name][first:end]
    project.ingest(*(f"{'BINANCE' if name == 'BTCUSDT' else 'NASDAQ'}:{name}" for name in gaps))
    market.bars.update(whole)
    market.server.seen.clear()
    return whole


def as_floats(rows):
    return [list(map(float, row)) for row in rows]


def permanent(rows, first, end):
    """How health lists that rows [first, end) are not there."""
    return {"first": day(rows[first - 1][0] + DAY), "last": day(rows[end][0] - DAY)}


def test_filled(project, market, tmp_path):
    """Only the days of the gaps are asked for, with one on each side; the files have the bytes that they would have had;
    a second call does nothing."""
    published_with_gaps(project, market, AAPL=[(100, 115), (200, 220)], MSFT=[(50, 60)], GOOG=[])
    before = project.json("catalog.json")
    assert project.health()["status"] == "gap" and project.health(GOOG)["status"] == "ok"
    done = project.repair("--trace-id", "trace-7")
    assert done["outcomes"] == [(AAPL, "filled", 15), (AAPL, "filled", 20), (MSFT, "filled", 10)]
    rows = market.bars["AAPL"]
    assert done["ranges"][0] | permanent(rows, 100, 115) == done["ranges"][0] and done["symbols"] == 3
    asked = sorted((r.path[-4:], int(r.query["period1"]), int(r.query["period2"])) for r in market.server.seen)
    ends = lambda name, first, end: (name, market.bars[name][first - 1][0], market.bars[name][end][0] + DAY)
    assert asked == [ends("AAPL", 100, 115), ends("AAPL", 200, 220), ends("MSFT", 50, 60)]
    for name in ("AAPL", "MSFT", "GOOG"):
        assert rows_of(project.frame(f"NASDAQ:{name}")) == as_floats(market.bars[name])
    other = Project(tmp_path / "other", market.settings(), True)
    other.ingest(AAPL, MSFT, GOOG)
    assert project.file() == other.file() and project.file(MSFT) == other.file(MSFT)
    entry, whole = project.json("catalog.json")[AAPL], other.json("catalog.json")[AAPL]
    assert entry["sha256"] == hashlib.sha256(project.file()).hexdigest()
    assert entry["rows"] == 300 and entry["freshness"] == before[AAPL]["freshness"]
    assert {**entry, "freshness": 0} == {**whole, "freshness": 0}, "the score, too"
    assert entry["data_quality_score"] > before[AAPL]["data_quality_score"]
    assert project.health()["status"] == "ok" and "permanent_gaps" not in project.health()
    project.tvfs("schema", *project.lake.glob("*.parquet"), *project.lake.glob("*.json"))
    if not project.folder:
        commit = json.loads(project.tvfs("show", "--json").stdout)
        assert commit["trace_id"] == done["trace_id"] == "trace-7"
        assert "repair" in json.dumps(commit) and "filled" in json.dumps(commit)

    state, asked = project.state(), len(market.server.seen)
    again = project.repair()
    assert again["unchanged"] and not again["ranges"] and again.get("commit") == done.get("commit")
    assert project.state() == state and len(market.server.seen) == asked


def test_permanent(project, market):
    """What the source does not have is not asked for again, and is no gap for an ingestion either."""
    held = market.bars["AAPL"].pop()
    rows = list(market.bars["AAPL"])
    published_with_gaps(project, market, AAPL=[(100, 115)])
    del market.bars["AAPL"][100:115]
    score = project.json("catalog.json")[AAPL]["data_quality_score"]
    done = project.repair()
    assert done["outcomes"] == [(AAPL, "permanent", 0)] and len(market.server.seen) == 1
    assert project.health() | {"status": "ok", "permanent_gaps": [permanent(rows, 100, 115)]} == project.health()
    assert score < project.json("catalog.json")[AAPL]["data_quality_score"] < 1
    project.tvfs("schema", *project.lake.glob("*.json"))

    state = project.state()
    again = project.repair()
    assert again["unchanged"] and not again["ranges"] and again["permanent_before"] == 1
    assert project.state() == state and len(market.server.seen) == 1
    assert project.repair("--check")["open"] == 0
    market.bars["AAPL"].append(held)
    assert project.ingest(AAPL, "--fresh", "0")["fetched"] == 1
    assert project.health() | {"status": "ok", "permanent_gaps": [permanent(rows, 100, 115)]} == project.health()
    assert project.repair()["unchanged"]


def test_a_source_that_has_nothing_there(folder, market):
    """An empty answer is an answer: Kraken has no old days."""
    published_with_gaps(folder, market, AAPL=[(100, 115)])
    market.defect["AAPL"] = lambda rows: []
    assert folder.repair()["outcomes"] == [(AAPL, "permanent", 0)]


def test_partly(project, market):
    """Two gaps are left of one; another call asks for neither. One that is larger later is asked for."""
    rows = list(market.bars["AAPL"])
    published_with_gaps(project, market, AAPL=[(100, 130)])
    market.bars["AAPL"] = rows[:100] + rows[110:115] + rows[130:]
    done = project.repair()
    assert done["outcomes"] == [(AAPL, "partly", 5)] and done["added"] == 5
    assert rows_of(project.frame(AAPL)) == as_floats(market.bars["AAPL"])
    assert project.health()["permanent_gaps"] == [permanent(rows, 100, 110), permanent(rows, 115, 130)]
    assert project.json("catalog.json")[AAPL]["rows"] == 275
    assert project.repair()["unchanged"] and len(market.server.seen) == 1

    if not project.folder:
        return
    frame = project.frame(AAPL)
    pandas.concat([frame[:100], frame[105:]]).to_parquet(project.lake / "NASDAQ_AAPL_1d.parquet", index=False)
    market.bars["AAPL"] = rows
    assert project.repair()["outcomes"] == [(AAPL, "filled", 30)]
    assert "permanent_gaps" not in project.health()


@pytest.mark.parametrize("answer", [Answer(b"oops", 500), Answer(b"not here", 404), Answer(b"<html></html>"),
                                    lambda rows: rows[:5]], ids=["500", "404", "html", "cut off"])
def test_failed(folder, market, answer):
    """Neither filled nor permanent; other symbols are filled; the next call tries again."""
    published_with_gaps(folder, market, AAPL=[(100, 115)], MSFT=[(50, 60)])
    market.defect["AAPL"] = answer
    before, health = folder.file(), folder.health()
    done = folder.repair(status=15)
    assert done["outcomes"] == [(AAPL, "failed", 0), (MSFT, "filled", 10)] and done["ranges"][0]["reason"]
    assert folder.file() == before and folder.health() == health
    assert folder.repair(status=15)["unchanged"]
    market.defect.clear()
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 15)]


def spike(rows):
    rows[5][1:5] = [1570 * price for price in rows[5][1:5]]
    return rows


def halved(rows):
    return [[t, *(price / 2 for price in prices), 2 * volume] for t, *prices, volume in rows]


def doubled_row(rows):
    return [*rows[:5], [*rows[4][:5], 1.0], *rows[5:]]


@pytest.mark.parametrize("plant, gate", [(spike, "toxicity"), (halved, "restatement"), (doubled_row, "order")])
def test_a_bad_fill(project, market, plant, gate):
    """Quarantined: nothing of it is published, the rows are evidence, the same verdict is no news; it ends when
    the gap is filled well."""
    published_with_gaps(project, market, AAPL=[(100, 115)], MSFT=[(50, 60)])
    market.defect["AAPL"] = plant
    before = project.file()
    done = project.repair(status=13)
    assert done["outcomes"] == [(AAPL, "quarantined", 0), (MSFT, "filled", 10)]
    assert done["ranges"][0]["reason"].startswith(gate)
    assert project.file() == before and project.health()["status"] == "quarantined"
    assert project.health()["reason"].startswith("repair of ") and gate in project.health()["reason"]
    assert len(pandas.read_csv(project.evidence())) >= 15
    state = project.state()
    assert project.repair(status=13)["unchanged"] and project.state() == state
    market.defect.clear()
    assert project.repair()["outcomes"] == [(AAPL, "filled", 15)]
    assert project.health()["status"] == "ok" and not project.evidence().exists()
    assert rows_of(project.frame(AAPL)) == as_floats(market.bars["AAPL"])


def test_published_rows_stay(folder, market):
    """A fill adds rows that are missing. What differs a little on published days is not taken."""
    published = published_with_gaps(folder, market, AAPL=[(100, 115)])["AAPL"]
    published = [list(row) for row in published]
    for row in (market.bars["AAPL"][99], market.bars["AAPL"][115]):
        row[5] = row[5] * 1.01
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 15)]
    assert rows_of(folder.frame(AAPL)) == as_floats(published) != as_floats(market.bars["AAPL"])


def test_good_and_bad_gaps_of_one_symbol(folder, market):
    published_with_gaps(folder, market, AAPL=[(100, 115), (200, 220)])
    market.defect["AAPL"] = lambda rows: spike(rows) if rows[0][0] < market.bars["AAPL"][150][0] else rows
    assert folder.repair(status=13)["outcomes"] == [(AAPL, "quarantined", 0), (AAPL, "filled", 20)]
    assert len(folder.frame(AAPL)) == 285 and folder.health()["status"] == "quarantined"
    assert folder.json("catalog.json")[AAPL]["rows"] == 285


def test_a_refusal_lasts_until_all_is_settled(folder, market):
    """One gap fails and one is refused; filling the first does not settle the second."""
    published_with_gaps(folder, market, AAPL=[(100, 115), (200, 220)])
    middle = market.bars["AAPL"][150][0]
    market.defect["AAPL"] = lambda rows: rows[:5] if rows[0][0] < middle else spike(rows)
    assert folder.repair(status=13)["outcomes"] == [(AAPL, "failed", 0), (AAPL, "quarantined", 0)]
    market.defect.clear()
    health = folder.health()
    assert folder.repair("--max-fills", "1")["outcomes"] == [(AAPL, "filled", 15), (AAPL, "left", 0)]
    assert folder.health() == health and folder.evidence().exists()
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 20)]
    assert folder.health()["status"] == "ok" and not folder.evidence().exists()


def test_permanent_gaps_beside_others(folder, market):
    """What is permanent stays so when another gap of the symbol is filled later."""
    rows = list(market.bars["AAPL"])
    published_with_gaps(folder, market, AAPL=[(100, 115), (200, 220)])
    market.bars["AAPL"] = rows[:100] + rows[115:]
    market.defect["AAPL"] = lambda sent: sent if sent[0][0] < rows[150][0] else Answer(b"oops", 500)
    assert folder.repair(status=15)["outcomes"] == [(AAPL, "permanent", 0), (AAPL, "failed", 0)]
    assert folder.health()["status"] == "gap", "one is open"
    market.defect.clear()
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 20)]
    assert folder.health() | {"status": "ok", "permanent_gaps": [permanent(rows, 100, 115)]} == folder.health()
    assert folder.repair()["unchanged"]


def test_quarantined_symbols_are_repaired(folder, market):
    """Their published version is filled; what an ingestion refused stays refused."""
    last = market.bars["AAPL"].pop()
    published_with_gaps(folder, market, AAPL=[(100, 115)])
    market.bars["AAPL"].append(last)
    market.defect["AAPL"] = lambda rows: [*rows[:-1], [last[0], *(1570 * price for price in last[1:5]), last[5]]]
    folder.ingest(AAPL, "--fresh", "0", status=13)
    market.defect.clear()
    health = folder.health()
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 15)]
    assert folder.health() == health and (folder.lake / "quarantine" / "NASDAQ_AAPL.csv").exists()
    assert len(folder.frame(AAPL)) == 299


def test_padding_is_no_row(folder, market):
    """Rows that somebody filled in are cut as ever, and what they cover is permanent."""
    rows = published_with_gaps(folder, market, AAPL=[(100, 120)])["AAPL"]
    market.bars["AAPL"] = rows[:100] + [[t, *4 * [rows[99][4]], 0.0] for t, *_ in rows[100:120]] + rows[120:]
    done = folder.repair()
    assert done["outcomes"] == [(AAPL, "partly", 4)] and "16 rows were cut" in done["ranges"][0]["reason"]
    assert folder.health()["permanent_gaps"] == [permanent(rows, 104, 120)]
    assert folder.repair()["unchanged"]


def test_other_sources(folder, market, tmp_path):
    """A folder of files, and an API that gives so many days a request."""
    whole = published_with_gaps(folder, market, AAPL=[(100, 115)], BTCUSDT=[(50, 60)])
    prices = tmp_path / "prices"
    prices.mkdir()
    pandas.DataFrame(whole["AAPL"], columns=COLUMNS).to_csv(prices / "AAPL.csv", index=False)
    sources = market.settings()["sources"] | {"NASDAQ": {"kind": "folder", "path": str(prices)}}
    folder.configure({"sources": sources})
    assert folder.repair()["outcomes"] == [("BINANCE:BTCUSDT", "filled", 10), (AAPL, "filled", 15)]
    assert rows_of(folder.frame(AAPL)) == as_floats(whole["AAPL"])
    assert rows_of(folder.frame("BINANCE:BTCUSDT")) == as_floats(whole["BTCUSDT"])
    assert [r.path for r in market.server.seen] == ["/api/v3/klines"]


def test_max_fills(folder, market):
    published_with_gaps(folder, market, AAPL=[(100, 115), (200, 220)], MSFT=[(50, 60)])
    done = folder.repair("--max-fills", "2")
    assert done["outcomes"] == [(AAPL, "filled", 15), (AAPL, "filled", 20), (MSFT, "left", 0)]
    assert len(market.server.seen) == 2 and folder.health(MSFT)["status"] == "gap"
    assert folder.repair("--max-fills", "2")["outcomes"] == [(MSFT, "filled", 10)]
    assert folder.repair("--max-fills", "2")["unchanged"] and len(market.server.seen) == 3
    folder.tvfs("repair", "--folder", folder.lake, "--max-fills", "0", status=2)


def test_check(project, market):
    """Tells, and neither asks nor writes; ends with 13 where more is open than the settings let pass."""
    published_with_gaps(project, market, AAPL=[(100, 115)], BTCUSDT=[(50, 56)], MSFT=[(50, 55)])
    state = project.state()
    done = project.repair("--check")
    assert done["outcomes"] == [("BINANCE:BTCUSDT", "open", 0), (AAPL, "open", 0)], "6 days, 15 and 5 sessions"
    assert done["check"] and done["open"] == 2
    for most, status in ((2, 0), (1, 13)):
        project.configure({"gates": {"max_open_gaps": most}})
        project.repair("--check", status=status)
    assert project.state() == state and not market.server.seen
    where = ["--folder", project.lake] if project.folder else []
    table = project.tvfs("repair", "--check", *where, status=13).stdout
    assert AAPL in table and permanent(market.bars["AAPL"], 100, 115)["first"] in table
    project.configure({"gates": {"exchanges": {"NASDAQ": {"max_open_gaps": 1}}}})
    assert "max_open_gaps" in project.tvfs("repair", "--check", *where, status=1).stderr


def test_only_active_symbols(project, market):
    published_with_gaps(project, market, AAPL=[(100, 115)], MSFT=[(50, 60)])
    symbols = pandas.read_parquet(project.lake / "symbols.parquet")
    symbols.loc[symbols["symbol"] == AAPL, "active"] = False
    symbols.to_parquet(project.lake / "symbols.parquet", index=False)
    if not project.folder:
        project.tvfs("commit", "-m", "delisted")
    done = project.repair()
    assert done["outcomes"] == [(MSFT, "filled", 10)] and done["symbols"] == 1


def test_a_folder_that_nobody_ingested(folder, market):
    """Files alone, as older scripts leave them: filled, and told in the tables."""
    rows = market.bars["AAPL"]
    frame = pandas.DataFrame(rows[:100] + rows[115:], columns=COLUMNS)
    frame.to_parquet(folder.lake / "NASDAQ_AAPL_1d.parquet", index=False)
    assert folder.repair()["outcomes"] == [(AAPL, "filled", 15)]
    assert rows_of(folder.frame(AAPL)) == as_floats(rows)
    entry = folder.json("catalog.json")[AAPL]
    assert entry["rows"] == 300 and entry["freshness"].startswith(day(rows[-1][0] + DAY))
    assert folder.health()["status"] == "ok"
    folder.tvfs("schema", *folder.lake.glob("*.json"))


def test_symbols_that_cannot_be_repaired(folder, market):
    """Each is told, and the others are filled."""
    published_with_gaps(folder, market, AAPL=[(100, 115)], MSFT=[(50, 60)], GOOG=[(50, 60)])
    frame = folder.frame(AAPL)
    frame.to_parquet(folder.lake / "LSE_VOD_1d.parquet", index=False)
    frame.loc[20, ["open", "high", "low", "close"]] *= 1570
    frame.to_parquet(folder.lake / "NASDAQ_AAPL_1d.parquet", index=False)
    (folder.lake / "NASDAQ_GOOG_1d.parquet").write_bytes(b"PAR1 not really PAR1")
    done = folder.repair(status=15)
    assert done["outcomes"] == [("LSE:VOD", "failed", 0), (AAPL, "failed", 0), (GOOG, "failed", 0), (MSFT, "filled", 10)]
    reasons = {r["symbol"]: r.get("reason", "") for r in done["ranges"]}
    assert "sources" in reasons["LSE:VOD"] and "toxicity" in reasons[AAPL] and reasons[GOOG]
    assert len(market.server.seen) == 1, "nothing is asked for in vain"


def test_onto_a_draft(market, tmp_path):
    project = Project(tmp_path, market.settings(), False)
    published_with_gaps(project, market, AAPL=[(100, 115)])
    main = json.loads(project.tvfs("show", "--json").stdout)
    project.tvfs("branch", "draft/today", "main")
    done = project.repair("--onto", "draft/today")
    assert done["ref"] == "draft/today" and done["outcomes"] == [(AAPL, "filled", 15)]
    assert json.loads(project.tvfs("show", "--json").stdout) == main
    assert len(project.frame(AAPL)) == 285, "the live folder follows main"
    assert project.repair("--onto", "draft/today")["unchanged"]
    assert project.repair("--check")["open"] == 1


@pytest.mark.parametrize("same", [False, True], ids=["another symbol", "the same symbol"])
def test_an_ingestion_meanwhile(project, market, same):
    """Of the same symbol what they have stays, and the next call repairs it; all else is merged."""
    last = market.bars["AAPL"].pop()
    published_with_gaps(project, market, AAPL=[(100, 115)], MSFT=[(50, 60)])
    market.bars["AAPL"].append(last)

    def meanwhile(rows):
        market.defect.clear()
        assert project.ingest(AAPL if same else GOOG, "--fresh", "0")["fetched"] == 1
        return rows

    market.defect["MSFT"] = meanwhile
    done = project.repair()
    outcome = ("outrun", 0) if same else ("filled", 15)
    assert done["outcomes"] == [(AAPL, *outcome), (MSFT, "filled", 10)] and done["merged"]
    if not project.folder:
        project.tvfs("sync")
    assert len(project.frame(AAPL)) == (285 if same else 299)
    for symbol, entry in project.json("catalog.json").items():
        assert entry["rows"] == len(project.frame(symbol))
        assert entry["sha256"] == hashlib.sha256(project.file(symbol)).hexdigest()
    assert sorted(project.json("foundation_health.json")) == sorted([AAPL, MSFT] if same else [AAPL, MSFT, GOOG])
    assert project.repair()["outcomes"] == ([(AAPL, "filled", 15)] if same else [])


def test_two_repairs_at_once(project, market):
    """Both end well, each row is there once, and nothing is left to do."""
    published_with_gaps(project, market, AAPL=[(100, 115)], MSFT=[(50, 60)])
    where = ["--folder", project.lake] if project.folder else []
    calls = [subprocess.Popen([BIN / "tvfs", "repair", "--json", *where], cwd=project.path, env=clean_environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = []
    for call in calls:
        out, errors = call.communicate(timeout=120)
        assert call.returncode == 0, errors
        outcomes += [r["outcome"] for r in json.loads(out)["ranges"]]
    assert outcomes.count("filled") >= 2 and set(outcomes) <= {"filled", "outrun"}
    if not project.folder:
        project.tvfs("sync")
    for name in ("AAPL", "MSFT"):
        assert rows_of(project.frame(f"NASDAQ:{name}")) == as_floats(market.bars[name])
    assert project.repair()["unchanged"] and project.health()["status"] == "ok"
