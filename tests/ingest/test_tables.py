"""symbols.parquet, exchanges.parquet, catalog.json, foundation_health.json and lists of candidates: what pandas
wrote is read, what is written others read, and nothing that is not meant changes."""

import json
import math
import shutil
import subprocess
import zoneinfo

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_support import SOURCE, helper

SCHEMA = json.loads((SOURCE / "ingest" / "schema.json").read_text())
NOW = "2026-01-19T12:00:00Z"
LATER = "2026-01-20T12:00:00Z"


def tables(*words):
    out = subprocess.run([helper("tables"), *map(str, words)], capture_output=True, text=True, timeout=60,
                         check=False)
    assert out.returncode == 0 and not out.stderr, out.stderr[-2000:]
    return out.stdout.splitlines()


def candidates(*paths):
    (line,) = tables("candidates", *paths)
    return json.loads(line)


def wants(path, *entries):
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def own(lake, tmp_path):
    """A lakehouse that may be changed."""
    for name in "symbols.parquet", "exchanges.parquet", "catalog.json", "foundation_health.json":
        shutil.copy(lake / name, tmp_path)
    return tmp_path


# --- Parquet --------------------------------------------------------------------------------------

ARROW = {"text": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(),
         "timestamp": pa.timestamp("us", tz="UTC")}
DUCK = {"text": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN",
        "timestamp": "TIMESTAMP WITH TIME ZONE"}
PANDAS = {"text": "object", "int64": ("int64", "float64"), "double": "float64", "bool": "bool",
          "timestamp": "datetime64[us, UTC]"}


def has_documented_types(path, name):
    columns = next(f["columns"] for f in SCHEMA["files"] if f["name"] == name)
    schema = pq.read_schema(path)
    assert schema.names == [c["name"] for c in columns]
    assert schema.types == [ARROW[c["type"]] for c in columns]
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    assert [row[1] for row in described] == [DUCK[c["type"]] for c in columns]
    frame = pd.read_parquet(path)
    for column in columns:
        if column["type"] in ("bool", "timestamp", "double"):
            assert str(frame[column["name"]].dtype) == PANDAS[column["type"]]


def test_symbols_of_others_change_slowly(tool, own):
    path = own / "symbols.parquet"
    before, bytes_before = pd.read_parquet(path), path.read_bytes()
    symbol = before["symbol"].iloc[0]
    now = before[(before["symbol"] == symbol) & before["valid_until"].isna()].iloc[0]
    same = wants(own / "same.json", {"symbol": symbol, "sector": now["sector"], "industry": None,
                                     "pricescale": int(now["pricescale"])}, symbol)
    assert tables("symbols", path, NOW, same) == ["same"]
    assert path.read_bytes() == bytes_before
    news = wants(own / "news.json", {"symbol": symbol, "sector": "Another"},
                 {"symbol": "BINANCE:BTCUSDT", "base_currency": "BTC", "currency": "USDT", "type": "crypto"})
    assert tables("symbols", path, LATER, news) == ["changed"]
    has_documented_types(path, "symbols")
    assert tool.schema(path).stdout == ""
    after = pd.read_parquet(path)
    assert len(after) == len(before) + 2
    assert list(after["symbol"]) == sorted(after["symbol"], key=str.encode)
    # Of all the others nothing changed.
    key = ["symbol", "valid_from"]
    for frame in before, after:
        for column in "valid_from", "valid_until", "updated_at":
            frame[column] = frame[column].dt.as_unit("us")
    others = after[~after["symbol"].isin([symbol, "BINANCE:BTCUSDT"])]
    pd.testing.assert_frame_equal(others.sort_values(key, ignore_index=True),
                                  before[before["symbol"] != symbol].sort_values(key, ignore_index=True),
                                  check_dtype=False)
    old, new = after[after["symbol"] == symbol].iloc[-2:].to_dict("records")
    assert old["valid_until"] == new["valid_from"] == pd.Timestamp(LATER)
    assert (old["sector"], new["sector"]) == (now["sector"], "Another")
    assert pd.isna(new["valid_until"]) and new["industry"] == now["industry"]
    (fresh,) = after[after["symbol"] == "BINANCE:BTCUSDT"].to_dict("records")
    assert (fresh["base"], fresh["quote"], fresh["exchange"]) == ("BTC", "USDT", "BINANCE")
    assert fresh["timezone"] == "Etc/UTC" and fresh["active"] and fresh["sector"] is None
    bytes_after = path.read_bytes()
    assert tables("symbols", path, LATER, news, same.with_name("news.json")) == ["same"]
    assert path.read_bytes() == bytes_after


def test_symbols_are_written_with_the_same_bytes(own):
    a, b = own / "a.parquet", own / "b.parquet"
    one = wants(own / "one.json", "B:B", {"symbol": "A:A", "sector": "x", "tick_size": 0.1})
    other = wants(own / "other.json", {"symbol": "A:A", "sector": "x", "tick_size": 0.1}, "B:B")
    assert tables("symbols", a, NOW, one) == tables("symbols", b, NOW, other) == ["changed"]
    assert a.read_bytes() == b.read_bytes()
    has_documented_types(a, "symbols")


@pytest.mark.parametrize("change, message", [
    (lambda f: f.assign(note="x"), "column 'note' (text): the schema has no such column"),
    (lambda f: f.drop(columns="active"), "there is no column 'active'"),
    (lambda f: f.assign(sector=5), "column 'sector': its type is int64, wanted is text"),
    (lambda f: f.assign(valid_from=None), "column 'valid_from'"),
    (lambda f: f.assign(pricescale=1.5), "column 'pricescale' (double), row 0: not a whole number"),
])
def test_symbols_that_would_lose_something_are_refused(own, change, message):
    path = own / "symbols.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    before = path.read_bytes()
    (answer,) = tables("symbols", path, NOW, wants(own / "w.json", "A:A"))
    assert answer.startswith(f"13 '{path}'") and message in answer
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [
    lambda f: f.drop(columns=["subtype", "session"]),
    lambda f: f.assign(sector=None, pricescale=f["pricescale"].astype("float64")),
    lambda f: f.astype({"sector": "category", "minmov": "int16", "tick_size": "float32"}),
    lambda f: f.assign(updated_at=f["updated_at"].dt.tz_localize(None)),
    lambda f: f.iloc[::-1],
])
def test_symbols_in_other_types_are_read(tool, own, change):
    path = own / "symbols.parquet"
    frame = pd.read_parquet(path)
    change(frame).to_parquet(path, index=False)
    assert tables("symbols", path, NOW, wants(own / "w.json", "A:A")) == ["changed"]
    assert tool.schema(path).stdout == ""
    has_documented_types(path, "symbols")
    assert len(pd.read_parquet(path)) == len(frame) + 1


def test_exchanges(tool, own):
    path = own / "exchanges.parquet"
    before = path.read_bytes()
    assert tables("exchanges", path, NOW, "NYSE", "NASDAQ", "FX") == ["same"]
    assert path.read_bytes() == before
    assert tables("exchanges", path, NOW, "NYSE", "KRAKEN", "XETR") == ["changed"]
    has_documented_types(path, "exchanges")
    assert tool.schema(path).stdout == ""
    frame = pd.read_parquet(path).set_index("exchange")
    assert len(frame) == 6 and frame.loc["KRAKEN", "is_crypto"] and not frame.loc["XETR", "is_crypto"]
    assert frame.loc["CRYPTO", "country"] == "" and frame.loc["KRAKEN", "country"] is None
    assert set(frame["timezone"]) <= zoneinfo.available_timezones()
    (answer,) = tables("exchanges", path, NOW, "ACME")
    assert answer.startswith("1 exchange 'ACME' is not known") and "is_crypto" in answer


# --- JSON -----------------------------------------------------------------------------------------


def set_catalog(path, symbol, freshness=NOW, rows=1520):
    return tables("catalog", path, symbol, freshness, "2020-01-02", "2026-01-16", 0.95, rows, "yahoo", "ab")


def test_catalog_of_others(tool, own):
    path = own / "catalog.json"
    before = json.loads(path.read_text())
    assert set_catalog(path, "NASDAQ:AAPL", LATER) == ["changed"]
    after = json.loads(path.read_text())
    assert after.pop("NASDAQ:AAPL") == {
        "freshness": LATER, "start_date": "2020-01-02", "end_date": "2026-01-16", "data_quality_score": 0.95,
        "rows": 1520, "source": "yahoo", "sha256": "ab"}
    assert before.pop("NASDAQ:AAPL") and after == before
    assert tool.schema(path).stdout == ""
    lines = path.read_text().splitlines()
    assert set_catalog(path, "NASDAQ:AAPL", LATER) == ["same"]
    assert set_catalog(path, "NASDAQ:AAPL", LATER, rows=1521) == ["changed"]
    assert [a != b for a, b in zip(lines, path.read_text().splitlines(), strict=True)].count(True) == 1


def test_what_is_not_understood_stays(own):
    path = own / "catalog.json"
    path.write_text('{"_v": 2.50, "BINANCE_BTCUSDT": {"n": 12345678901234567890, "rows": 5, "f": 1e400,\n'
                    '"s": NaN, "o": {"k": [1.10]}}, "ETHUSDT": {"exchange": "KRAKEN"}}')
    assert set_catalog(path, "BINANCE:BTCUSDT") == ["changed"]
    assert set_catalog(path, "BINANCE:ETHUSDT") == ["changed"]
    text = path.read_text()
    assert '"n": 12345678901234567890, "rows": 1520, "f": 1e400, "s": NaN, "o": {"k": [1.10]}' in text
    doc = json.loads(text)
    assert list(doc) == ["BINANCE:ETHUSDT", "BINANCE_BTCUSDT", "ETHUSDT", "_v"]
    assert doc["ETHUSDT"] == {"exchange": "KRAKEN"} and doc["BINANCE_BTCUSDT"]["freshness"] == NOW


def test_scores_read_back_exactly(own):
    path = own / "catalog.json"
    for score in 0.1, 1 / 3, math.nextafter(1, 0), 5e-324, 0, 1:
        tables("catalog", path, "X:Y", NOW, "2020-01-02", "2026-01-16", repr(score), 1, "", "")
        assert json.loads(path.read_text())["X:Y"]["data_quality_score"] == score


def test_health(tool, own):
    path = own / "foundation_health.json"
    before = json.loads(path.read_text())
    assert tables("health", path, "NYSE:NEW", "quarantined", NOW, "spike of 157000 %") == ["changed"]
    (symbol,) = [s for s, e in before.items() if "reason" in e][:1]
    assert tables("health", path, symbol, "ok", LATER) == ["changed"]
    after = json.loads(path.read_text())
    assert after.pop("NYSE:NEW") == {"status": "quarantined", "last_audit": NOW, "reason": "spike of 157000 %"}
    assert after.pop(symbol) == {"status": "ok", "last_audit": LATER}
    assert before.pop(symbol) and after == before
    assert tool.schema(path).stdout == ""


# --- merging --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_two_ingestions_merge(tool, own, kind):
    base = own / ("catalog.json" if kind == "json" else "symbols.parquet")
    sides = theirs, ours = [own / f"{name}.{kind}" for name in ("theirs", "ours")]
    for side, symbol in zip(sides, ["NASDAQ:AAPL", "NYSE:KO"], strict=True):
        shutil.copy(base, side)
        for changed in symbol, "X:" + side.stem:
            if kind == "json":
                set_catalog(side, changed)
            else:
                tables("symbols", side, NOW, wants(own / "w.json", {"symbol": changed, "sector": side.stem}))
    out, back = own / f"out.{kind}", own / f"back.{kind}"
    assert tables("merge", base, theirs, ours, out) == ["changed"]
    assert tables("merge", base, ours, theirs, back) == ["changed"]
    assert out.read_bytes() == back.read_bytes()
    read = pd.read_parquet if kind == "parquet" else lambda p: json.loads(p.read_text())
    merged = set(read(out)["symbol"] if kind == "parquet" else read(out))
    assert {"X:theirs", "X:ours"} <= merged
    assert tables("merge", base, base, theirs, out) == ["changed"]
    assert out.read_bytes() == theirs.read_bytes()
    assert tables("merge", base, theirs, base, out) == tables("merge", base, theirs, theirs, out) == ["same"]
    if kind == "json":
        set_catalog(ours, "NASDAQ:AAPL", rows=7)
    else:
        tables("symbols", ours, NOW, wants(own / "w.json", {"symbol": "NASDAQ:AAPL", "sector": "7"}))
    assert tables("merge", base, theirs, ours, out) == ["changed", "NASDAQ:AAPL"]


# --- candidates -----------------------------------------------------------------------------------


def test_real_candidates(lake):
    for name in "portfolio_candidates.json", "portfolio_candidates_raw.json":
        wanted = [c["symbol"] for c in json.loads((lake / name).read_text())]
        got = candidates(lake / name)
        assert got["faults"] == [] and list(got["symbols"]) == list(dict.fromkeys(wanted))


def test_exports_of_a_scanner(tmp_path):
    run = tmp_path / "export" / "20260119-120000"
    run.mkdir(parents=True)
    rows = [{"symbol": "BINANCE:BTCUSDT.P", "Value.Traded": 1.2e9, "close": 1.5, "ADX": None, "sector": None},
            {"symbol": "NASDAQ:AAPL", "Value.Traded": 5e8, "close": 200, "sector": "Technology"}]
    meta = {"data_category": "x", "logic": "trend", "direction": "LONG"}
    (run / "b.json").write_text(json.dumps({"meta": meta, "data": rows}))
    (run / "a.json").write_text(json.dumps({"meta": meta, "data": rows[1:] + [{"name": "AAPL"}]}))
    wants(tmp_path / "candidates.json", "NYSE:KO", "NASDAQ:AAPL")
    got = candidates(tmp_path / "candidates.json", run)
    assert list(got["symbols"]) == ["NYSE:KO", "NASDAQ:AAPL", "BINANCE:BTCUSDT.P"]
    assert got["symbols"]["NASDAQ:AAPL"] == [
        [str(tmp_path / "candidates.json"), 1], [f"{run}/a.json", 0], [f"{run}/b.json", 1]]
    assert got["faults"] == [
        f"'{run}/a.json', candidate 1: it has no text as its symbol, expected is EXCHANGE:SYMBOL"]


# --- tvfs schema ----------------------------------------------------------------------------------


def test_schema_of_json(tool, lake, tmp_path):
    files = sorted(lake.glob("*.json"))
    out = tool.schema(*files, words=["--json"])
    checked = {f["kind"]: f["checked"] for f in json.loads(out.stdout)["files"]}
    assert out.returncode == 0, out.stdout
    assert {"catalog", "health", "candidates", "selection audit"} <= {k for k, v in checked.items() if v}
    broken = tmp_path / "portfolio_candidates_raw.json"
    raw = json.loads((lake / broken.name).read_text())
    raw[3]["symbol"] = None
    raw[5]["alpha_score"] = raw[7]["alpha_score"] = "high"
    broken.write_text(json.dumps(raw))
    (tmp_path / "catalog.json").write_text('{"A:B": ')
    out = tool.schema(broken, tmp_path / "catalog.json", lake / "foundation_health.json")
    assert out.returncode == 13
    assert out.stdout.splitlines() == [
        f"{broken}: symbol, row 3: there is no value",
        f"{broken}: alpha_score, row 5: it is a text, wanted is double (2 such rows)",
        f"{tmp_path}/catalog.json: is not valid JSON: line 1: it ends in the middle"]
