"""The schema: its JSON against its words, real files against it, and every kind of fault in them."""

import json
import os
import re
import subprocess

import numpy as np
import pandas as pd
import pytest

from ingest_support import BIN, BUILD, SOURCE, TOOL

REGISTRY = SOURCE / "docs" / "lakehouse_schema_registry.md"
SCHEMA = json.loads((SOURCE / "ingest" / "schema.json").read_text())


def documented():
    """Each file of the registry, in the form of schema.json."""
    files = re.split(r"^## ", REGISTRY.read_text().split("## Files")[1], flags=re.M)[0]
    parts = re.split(r"^### `(.+)`$", files, flags=re.M)
    for path, text in zip(parts[1::2], parts[2::2]):
        what, facts, *_ = re.split(r"\n\n", text.strip())
        facts = dict(f.split(": ") if ": " in f else (f, True) for f in facts.split("; "))
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")]
                for line in text.splitlines() if line.startswith("| ")][1:]
        columns = [{"name": n, "type": t, "null": null == "yes", "what": w} for n, t, null, w in rows]
        yield {"path": path, "what": what, "facts": facts, "columns": columns}


def test_registry_and_json_agree():
    found = list(documented())
    assert [f["path"] for f in found] == [f["path"] for f in SCHEMA["files"]]
    for words, file in zip(found, SCHEMA["files"]):
        assert words["what"].rstrip(".").lower() == file["what"].lower()
        facts = {"format": file["format"]}
        facts |= {"rows": file["rows"]} if "rows" in file else {}
        facts |= {"key": ", ".join(file["key"])} if "key" in file else {}
        facts |= {"ordered": True} if file.get("ordered") else {}
        assert words["facts"] == facts
        columns = [{"null": False} | c for c in file["columns"]]
        if "others" in file:
            columns.append({"name": "*others*", **file["others"]})
        assert words["columns"] == columns


def test_types_are_explained():
    used = {c["type"] for f in SCHEMA["files"] for c in [*f["columns"], *filter(None, [f.get("others")])]}
    explained = re.findall(r"^\| (\w+) \|", REGISTRY.read_text().split("## Files")[0], flags=re.M)
    assert used <= set(explained)


def test_it_prints_its_schema(tool):
    assert tool.schema().stdout == (SOURCE / "ingest" / "schema.json").read_text()
    assert json.loads(tool.schema(words=["--json"]).stdout) == SCHEMA


def test_a_real_lakehouse_follows_it(tool, lake):
    files = sorted(lake.glob("*.parquet"))
    out = tool.schema(*files)
    # Monthly bars are no file of the schema.
    assert out.returncode == 0 and out.stdout == "", out.stdout
    assert re.findall(r"note: '(.*)' is not checked", out.stderr) == [
        str(lake / "CRYPTO_BTCUSD_1M.parquet")], out.stderr
    doc = json.loads(tool.schema(*files, words=["--json"]).stdout)
    assert {f["kind"] for f in doc["files"] if f["checked"]} == {
        "bars", "symbols", "exchanges", "execution", "returns matrix"}


def test_relative_paths(tool, lake):
    assert tool.schema("symbols.parquet", "./NYSE_KO_1d.parquet", cwd=lake).stderr == ""


def findings(tool, path):
    out = tool.schema(path, words=["--json"])
    doc = json.loads(out.stdout)
    (file,) = doc["files"]
    assert out.returncode == (13 if file["findings"] else 0), out.stderr
    assert ("error" in doc) == bool(file["findings"])
    return [(f.get("column"), f.get("row"), f["what"].split(" (")[0]) for f in file["findings"]]


def test_planted_faults_are_found(tool, lake, tmp_path):
    """Random places, each with one fault; and none in what is whole."""
    rng = np.random.default_rng(11)
    good = pd.read_parquet(lake / "NASDAQ_GOOG_1d.parquet")
    path = tmp_path / "NASDAQ_GOOG_1d.parquet"
    for _ in range(4):
        column = str(rng.choice(["open", "high", "low", "close", "volume"]))
        row = int(rng.integers(1, len(good)))
        faults = {
            "null": (good[column].where(good.index != row), "there is no value"),
            "inf": (good[column].where(good.index != row, -np.inf), "not a finite number"),
        }
        for values, what in faults.values():
            good.assign(**{column: values}).to_parquet(path, index=False, row_group_size=500)
            assert findings(tool, path) == [(column, row, what)]
        swapped = good["timestamp"].to_numpy().copy()
        swapped[[row - 1, row]] = swapped[[row, row - 1]]
        good.assign(timestamp=swapped).to_parquet(path, index=False)
        assert findings(tool, path) == [("timestamp", row, "the row before has a greater key")]
        twice = pd.concat([good[:row], good[row - 1:row], good[row:]])
        twice.to_parquet(path, index=False)
        assert findings(tool, path) == [("timestamp", row, "an earlier row has the same key")]
        part = good.iloc[:row]
        part.to_parquet(path, index=False)
        assert findings(tool, path) == []


def test_nan_is_found(tool, lake, tmp_path):
    """pandas writes a missing value for NaN; a NaN that stays one comes from others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pd.read_parquet(lake / "NASDAQ_FB_1d.parquet")
    frame.loc[5, "close"] = np.nan
    path = tmp_path / "NASDAQ_FB_1d.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(frame[c].to_numpy()) for c in frame], list(frame)), path)
    assert findings(tool, path) == [("close", 5, "not a finite number")]


def test_columns_of_all_kinds(tool, lake, tmp_path):
    symbols = pd.read_parquet(lake / "symbols.parquet")
    path = tmp_path / "symbols.parquet"
    symbols.assign(sector=None).to_parquet(path, index=False)
    assert findings(tool, path) == []
    symbols.astype({"active": int}).drop(columns="quote").assign(note="x").to_parquet(path, index=False)
    assert sorted(f[0] for f in findings(tool, path)) == ["active", "note", "quote"]
    symbols.assign(symbol=symbols["symbol"].where(symbols.index != 2)).to_parquet(path, index=False)
    assert findings(tool, path) == [("symbol", 2, "there is no value")]
    symbols.astype({"sector": "category"}).to_parquet(path, index=False)
    assert findings(tool, path) == []


def test_a_wide_matrix(tool, tmp_path):
    """A returns matrix of 1,500 symbols, as pandas writes it: the index is a column."""
    days = pd.date_range("2020-01-01", periods=60, tz="UTC", name="timestamp")
    frame = pd.DataFrame(np.full((60, 1500), 0.01), index=days,
                         columns=[f"X:S\"{i}" for i in range(1500)])
    frame.iloc[:30, 7] = np.nan
    path = tmp_path / "returns_matrix.parquet"
    frame.to_parquet(path)
    assert findings(tool, path) == []
    frame.iloc[44, 1203] = np.inf
    frame.to_parquet(path)
    assert findings(tool, path) == [("X:S\"1203", 44, "not a finite number")]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100, b"{}"])
def test_no_parquet(tool, tmp_path, content):
    path = tmp_path / "A_B_1d.parquet"
    path.write_bytes(content)
    ((column, row, what),) = findings(tool, path)
    assert column is None and row is None and "cannot be read as Parquet" in what


def test_missing_and_unknown(tool, tmp_path):
    out = tool.schema(tmp_path / "A_B_1d.parquet")
    assert out.returncode == 1 and "A_B_1d.parquet" in out.stderr
    for name in "notes.txt", "portfolio_returns.pkl":
        (tmp_path / name).write_text("x")
        out = tool.schema(tmp_path / name)
        assert out.returncode == 0 and "not checked" in out.stderr


def test_mounts_and_runs_do_not_load_duckdb():
    tvfs = (BIN / "tvfs").read_bytes()
    assert b"libduckdb" not in tvfs
    assert b"libduckdb" in TOOL.read_bytes()


def test_installed(lake, tmp_path):
    """The installed program finds its other half, and that finds DuckDB beside it."""
    subprocess.run(["cmake", "--install", BUILD, "--prefix", tmp_path], check=True,
                   stdout=subprocess.DEVNULL)
    tool = tmp_path / "libexec" / "tvfs" / "tvfs-ingest-tool"
    env = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    loaded = subprocess.run(["ldd", tool], env=env, check=True, capture_output=True, text=True).stdout
    (found,) = re.findall(r"libduckdb\S* => (\S+)", loaded)
    assert found == str(tool.with_name("libduckdb.so")) or not found.startswith(str(SOURCE))
    for name in "tvfs", "tvfs-schema":
        words = ["schema"] if name == "tvfs" else []
        out = subprocess.run([tmp_path / "bin" / name, *words, lake / "symbols.parquet"], env=env,
                             capture_output=True, text=True)
        assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    tool.unlink()
    out = subprocess.run([tmp_path / "bin" / "tvfs", "schema"], env=env, capture_output=True, text=True)
    assert out.returncode == 1 and "built without DuckDB" in out.stderr
