"""What `tvfs ingest` publishes: files that everybody reads, beside what others wrote and publish meanwhile."""

import json
import shutil
import time

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market import COLUMNS, DAY, Market
from test_ingest import STOCKS, Project, candidates, rows_of
from test_tables import ARROW, DUCK, SCHEMA, has_documented_types


@pytest.fixture
def market(server, lake):
    return Market(server, lake, 120)


@pytest.fixture
def project(market, tmp_path):
    return Project(tmp_path, market.settings(), False)


def frame_of(rows):
    return pd.DataFrame(rows, columns=COLUMNS).astype({"timestamp": "int64"})


# --- types ----------------------------------------------------------------------------------------------


def documented(name):
    return next(f for f in SCHEMA["files"] if f["name"] == name)


def test_all_files_have_the_documented_types(project, market):
    """Bars, tables, features and matrix: as pyarrow, pandas and DuckDB see them."""
    market.defect["GOOG"] = lambda rows: rows[:5] + rows[4:]
    project.ingest(candidates(project, *STOCKS, "BINANCE:BTCUSDT"))
    project.tvfs("features")
    project.tvfs("matrix", "--align", "outer")
    for name in ("symbols", "exchanges"):
        has_documented_types(project.lake / f"{name}.parquet", name)
    for path in project.lake.glob("*_1d.parquet"):
        has_documented_types(path, "bars")
        frame = pd.read_parquet(path)
        assert list(frame.columns) == COLUMNS and isinstance(frame.index, pd.RangeIndex)
    for path, name in ((project.lake / "features_matrix.parquet", "features matrix"),
                       (project.lake / "features" / "tv_technicals_1d.parquet", "technicals"),
                       (project.lake / "returns_matrix.parquet", "returns matrix")):
        known = {c["name"]: c["type"] for c in documented(name)["columns"]}
        others = documented(name)["others"]["type"]
        for field in pq.read_schema(path):
            assert field.type == ARROW[known.get(field.name, others)], (path, field)
        for column, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall():
            assert kind == DUCK[known.get(column, others)], (path, column)
    returns = pd.read_parquet(project.lake / "returns_matrix.parquet")
    assert str(returns.index.dtype) == "datetime64[us, UTC]" and returns.index.name == "timestamp"
    assert sorted(returns.columns) == sorted([*STOCKS, "BINANCE:BTCUSDT"])
    assert set(returns.dtypes) == {pd.Series(dtype="float64").dtype}
    for name, what in (("catalog.json", "catalog"), ("foundation_health.json", "health")):
        documents = json.loads((project.lake / name).read_text())
        columns = {c["name"] for c in next(f for f in SCHEMA["files"] if f["path"] == name)["columns"]}
        assert all(set(entry) <= columns for entry in documents.values()), what
    project.tvfs("schema", *project.lake.rglob("*.parquet"), *project.lake.glob("*.json"))


def test_the_same_rows_are_the_same_bytes(market, project, tmp_path):
    """In a store, in a folder, at once or day by day."""
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other", market.settings(), True)
    last = market.bars["AAPL"].pop()
    other.ingest("NASDAQ:AAPL")
    market.bars["AAPL"].append(last)
    other.ingest(*STOCKS, "--fresh", "0")
    project.ingest(*STOCKS)
    for symbol in STOCKS:
        name = f"{symbol.replace(':', '_')}_1d.parquet"
        assert (project.lake / name).read_bytes() == (other.lake / name).read_bytes()


# --- files of others ------------------------------------------------------------------------------------

LAYOUTS = {
    "small-groups": lambda f, p: f.to_parquet(p, row_group_size=7, compression="zstd", index=False),
    "other-order": lambda f, p: f[COLUMNS[::-1]].to_parquet(p, compression=None, index=False),
    "time-index": lambda f, p: f.assign(timestamp=pd.to_datetime(f["timestamp"], unit="s", utc=True))
    .set_index("timestamp").to_parquet(p),
    "range-index": lambda f, p: f.to_parquet(p, index=True),
    "narrow": lambda f, p: f.astype({"timestamp": "int32", "volume": "int64"}).to_parquet(p, index=False),
    "pages": lambda f, p: pq.write_table(pa.Table.from_pandas(f, preserve_index=False), p, compression="gzip",
                                         data_page_version="2.0", data_page_size=200, use_dictionary=False),
    "duckdb": lambda f, p: duckdb.sql(f"COPY f TO '{p}' (FORMAT parquet, COMPRESSION zstd)"),
}


@pytest.mark.parametrize("known", [True, False], ids=["catalog", "no-catalog"])
def test_files_of_others_are_extended(project, market, known):
    """Published by `tvfs commit`, in any layout: without new rows the bytes stay, with them all rows are there."""
    all_rows = market.bars["AAPL"]
    held = [all_rows.pop() for _ in range(3)][::-1]
    for name, write in LAYOUTS.items():
        market.bars[name.upper()] = all_rows
        market.server.routes[f"/v8/finance/chart/{name.upper()}"] = market.chart
        write(frame_of(all_rows), project.lake / f"NASDAQ_{name.upper()}_1d.parquet")
    symbols = [f"NASDAQ:{name.upper()}" for name in LAYOUTS]
    if known:  # as older scripts wrote it: no digest, no rows
        entry = {"freshness": "2020-01-01T00:00:00", "start_date": "2019-01-01", "end_date": "2020-01-01",
                 "data_quality_score": 1.0, "note": "kept"}
        (project.lake / "catalog.json").write_text(json.dumps({s: entry for s in symbols}))
    project.tvfs("commit", "-m", "what pandas wrote")
    files = {p.name: p.read_bytes() for p in project.lake.glob("*_1d.parquet")}
    done = project.ingest(*symbols)
    assert {item["outcome"] for item in done["by_symbol"].values()} == {"confirmed"}, done["by_symbol"]
    assert {p.name: p.read_bytes() for p in project.lake.glob("*_1d.parquet")} == files
    catalog = project.json("catalog.json")
    assert all(catalog[s]["rows"] == len(all_rows) for s in symbols)
    assert not known or all(catalog[s]["note"] == "kept" for s in symbols)
    asked = [int(r.query["period1"]) for r in market.server.seen]
    assert min(asked) == max(asked) == all_rows[-1][0] - 10 * DAY, "only the tail"

    all_rows.extend(held)
    done = project.ingest(*symbols, "--fresh", "0")
    assert {item["added"] for item in done["by_symbol"].values()} == {3}, done["by_symbol"]
    for symbol in symbols:
        assert rows_of(project.frame(symbol)) == [list(map(float, row)) for row in all_rows], symbol
    assert len({p.read_bytes() for p in project.lake.glob("*_1d.parquet")}) == 1, "the same rows, the same bytes"


def test_a_folder_of_parquet_files_is_a_source(market, tmp_path):
    prices = tmp_path / "prices"
    prices.mkdir()
    for name, write in LAYOUTS.items():
        write(frame_of(market.bars["AAPL"]), prices / f"{name.upper()}.parquet")
    project = Project(tmp_path, {"sources": {"NASDAQ": {"kind": "folder", "path": str(prices)}}}, True)
    done = project.ingest(*[f"NASDAQ:{name.upper()}" for name in LAYOUTS])
    assert {item["outcome"] for item in done["by_symbol"].values()} == {"fetched"}, done["by_symbol"]
    assert len({p.read_bytes() for p in project.lake.glob("*_1d.parquet")}) == 1
    assert market.server.seen == []


# --- lists and tables -----------------------------------------------------------------------------------


def test_exports_of_scanners(project, market):
    """Both shapes, in a folder and alone; what they tell of a symbol goes to symbols.parquet."""
    run = project.path / "export" / "20260119"
    run.mkdir(parents=True)
    (run / "us_trend.json").write_text(json.dumps({
        "meta": {"data_category": "scan", "logic": "trend", "direction": "LONG"},
        "data": [{"symbol": "NASDAQ:AAPL", "Value.Traded": 1e9, "close": 1.0, "ADX": None, "sector": "Technology"},
                 {"symbol": "NASDAQ:MSFT", "sector": "", "currency": "USD"}]}))
    (run / "crypto.json").write_text(json.dumps({"meta": {}, "data": [{"symbol": "BINANCE:BTCUSDT"}]}))
    (run / "notes.txt").write_text("not a list")
    (project.path / "candidates.json").write_text(json.dumps(["NASDAQ:GOOG", {"symbol": "NASDAQ:AAPL", "sector": "Other"}]))
    done = project.ingest(run, "candidates.json")
    assert sorted(done["by_symbol"]) == sorted([*STOCKS, "BINANCE:BTCUSDT"]) and done["fetched"] == 4
    symbols = pd.read_parquet(project.lake / "symbols.parquet").set_index("symbol")
    assert symbols.loc["NASDAQ:AAPL", "sector"] == "Technology" and symbols.loc["NASDAQ:MSFT", "quote"] == "USD"
    assert symbols.loc["NASDAQ:MSFT", "sector"] is None


def test_facts_that_change_add_a_row(project):
    names = candidates(project, "NASDAQ:AAPL", "NASDAQ:MSFT")
    project.ingest(names)
    before = (project.lake / "symbols.parquet").read_bytes()
    project.ingest("NASDAQ:AAPL", "NASDAQ:MSFT", "--fresh", "0", "--accept-restatement")
    assert (project.lake / "symbols.parquet").read_bytes() == before, "what is not told stays"
    names.write_text(json.dumps([{"symbol": "NASDAQ:AAPL", "sector": "Energy"}]))
    for file in project.lake.glob("*_1d.parquet"):
        pd.read_parquet(file).iloc[:-1].to_parquet(file, index=False)
    project.tvfs("commit", "-m", "the last day is missing")
    while time.time() < project.lake.joinpath("symbols.parquet").stat().st_mtime + 1:
        time.sleep(0.05)  # rows are told apart by the second
    assert project.ingest(names, "--fresh", "0")["by_symbol"]["NASDAQ:AAPL"]["added"] == 1
    rows = pd.read_parquet(project.lake / "symbols.parquet")
    old, new = (row for _, row in rows[rows["symbol"] == "NASDAQ:AAPL"].iterrows())
    assert (old["sector"], new["sector"]) == ("Technology", "Energy")
    assert old["valid_until"] == new["valid_from"] and pd.isna(new["valid_until"])
    assert len(rows[rows["symbol"] == "NASDAQ:MSFT"]) == 1


@pytest.mark.parametrize("age, outcome", [(11, "skipped"), (13, "fetched")])
def test_fresh_is_twelve_hours(project, market, age, outcome):
    last = market.bars["AAPL"].pop()
    project.ingest("NASDAQ:AAPL")
    market.bars["AAPL"].append(last)
    catalog = project.json("catalog.json")
    catalog["NASDAQ:AAPL"]["freshness"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age * 3600))
    (project.lake / "catalog.json").write_text(json.dumps(catalog))
    project.tvfs("commit", "-m", "older")
    asked = len(market.server.seen)
    assert project.ingest("NASDAQ:AAPL")["by_symbol"]["NASDAQ:AAPL"]["outcome"] == outcome
    assert len(market.server.seen) - asked == (outcome == "fetched")


def test_limits_of_the_settings(project, market):
    """Requests at once and a second to one host."""
    settings = market.settings()
    settings["ingest"] |= {"host_connections": 2, "host_per_second": 20}
    project.configure(settings)
    for n in range(8):
        market.bars[f"S{n}"] = market.bars["AAPL"]
        market.server.routes[f"/v8/finance/chart/S{n}"] = market.chart
    assert project.ingest(*[f"NASDAQ:S{n}" for n in range(8)])["fetched"] == 8
    times = [r.at for r in market.server.seen]
    assert market.server.most_busy <= 2 and max(times) - min(times) >= 7 * 0.045


# --- others, meanwhile ----------------------------------------------------------------------------------


def while_fetching(market, name, act):
    """Acts once, while that symbol's answer is waited for."""
    once = [act]
    market.server.routes[f"/v8/finance/chart/{name}"] = lambda request: (
        once.pop()() if once else None, market.chart(request))[1]


def test_others_publish_meanwhile(project, market):
    """Another symbol, and files that are none of ours: all of it is there in the end."""
    def act():
        project.ingest("NASDAQ:MSFT")
        (project.lake / "notes.json").write_text("{}")
        project.tvfs("commit", "-m", "notes")
    while_fetching(market, "AAPL", act)
    done = project.ingest("NASDAQ:AAPL", "--trace-id", "trace-1")
    assert done["merged"] and done["fetched"] == 1
    project.tvfs("sync")
    assert sorted(project.json("catalog.json")) == sorted(project.json("foundation_health.json")) == STOCKS[:2]
    assert sorted(pd.read_parquet(project.lake / "symbols.parquet")["symbol"]) == STOCKS[:2]
    assert (project.lake / "notes.json").exists()


def test_others_publish_the_same_symbol_meanwhile(project, market):
    """Theirs stays, bytes and entry; the rest of ours is published."""
    last = market.bars["AAPL"][-1]

    def act():
        market.bars["AAPL"].pop()
        project.ingest("NASDAQ:AAPL")
        market.bars["AAPL"].append(last)
    while_fetching(market, "AAPL", act)
    done = project.ingest("NASDAQ:AAPL", "NASDAQ:GOOG")["by_symbol"]
    assert done["NASDAQ:AAPL"]["outcome"] == "outrun" and done["NASDAQ:GOOG"]["outcome"] == "fetched"
    project.tvfs("sync")
    assert len(project.frame("NASDAQ:AAPL")) == len(market.bars["AAPL"]) - 1 == project.json("catalog.json")["NASDAQ:AAPL"]["rows"]
    assert project.ingest("NASDAQ:AAPL", "--fresh", "0")["by_symbol"]["NASDAQ:AAPL"]["added"] == 1


def test_one_commit_tells_it_all(project, market):
    """trace_id, author and the report: what was refused or changed in the past, and how many were not."""
    market.defect["GOOG"] = lambda rows: [[t, -1.0, *rest] for t, _, *rest in rows]
    project.ingest("BINANCE:BTCUSDT")
    before = project.tvfs("log", "--oneline").stdout.splitlines()
    project.ingest(*STOCKS, "--trace-id", "trace-7", "--author", "me", "-m", "daily", status=13)
    assert project.tvfs("log", "--oneline").stdout.splitlines()[1:] == before
    shown = json.loads(project.tvfs("show", "--json").stdout)
    meta = shown["meta"] if isinstance(shown["meta"], dict) else json.loads(shown["meta"])
    assert (shown["trace_id"], shown["author"], shown["message"]) == ("trace-7", "me", "daily")
    assert meta["kind"] == "ingest" and meta["fetched"] == 2 and meta["quarantined"] == 1
    assert [item["symbol"] for item in meta["symbols"]] == ["NASDAQ:GOOG"]
    assert "values" in meta["symbols"][0]["reason"]


def test_onto_a_draft(project, market):
    """What is published there is not seen on main, nor in the live folder."""
    project.ingest("NASDAQ:AAPL")
    before = project.state()
    done = project.ingest("NASDAQ:MSFT", "--onto", "draft/today")
    assert done["ref"] == "draft/today" and project.state() == before
    assert "NASDAQ_MSFT_1d.parquet" not in project.tvfs("ls", "main").stdout
    assert "NASDAQ_MSFT_1d.parquet" in project.tvfs("ls", "draft/today").stdout


def test_damage_does_not_stop_the_others(project, market):
    """A table that is none is said by name, and nothing is published."""
    project.ingest("NASDAQ:AAPL")
    for name, content in (("catalog.json", "{"), ("foundation_health.json", "[]"), ("symbols.parquet", "PAR1"),
                          ("exchanges.parquet", "x" * 100)):
        good = (project.lake / name).read_bytes()
        (project.lake / name).write_text(content)
        project.tvfs("commit", "--force", "-m", "damage")
        done = project.tvfs("ingest", "NASDAQ:MSFT", status=13 if name.endswith("parquet") else 1)
        assert name in done.stderr, done.stderr
        (project.lake / name).write_bytes(good)
        project.tvfs("commit", "-m", "repaired")
    shutil.rmtree(project.lake / "quarantine", ignore_errors=True)
    assert project.ingest("NASDAQ:MSFT")["fetched"] == 1
