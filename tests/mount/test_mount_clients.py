"""The users' libraries on a view: pandas, pyarrow and DuckDB, reading and writing in place."""

import json
import pathlib
import shutil
import tempfile

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from mount_support import Foundation, View, fill

SYMBOLS = ["NASDAQ_AAPL", "NASDAQ_GOOG", "NASDAQ_MSFT", "NYSE_IBM"]


def prices(symbol, days=2000):
    rng = np.random.default_rng(len(symbol) + ord(symbol[-1]))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, days)))
    return pd.DataFrame({
        "timestamp": np.arange(days, dtype="int64") * 86400 + 1_500_000_000, "open": close * 0.99,
        "high": close * 1.01, "low": close * 0.98, "close": close,
        "volume": rng.integers(1, 10**6, days).astype("float64")})


def fill_prices(lake):
    fill(lake)
    for symbol in SYMBOLS:
        prices(symbol).to_parquet(lake / f"{symbol}_1d.parquet", index=False)
    for day in range(3):
        folder = lake / "features" / f"date=2026-01-{day + 1:02}"
        folder.mkdir(parents=True)
        pd.DataFrame({"symbol": SYMBOLS, "rsi": np.arange(4.0) + day}).to_parquet(folder / "part-0.parquet")
    (lake / "catalog.json").write_text(json.dumps({s: {"freshness": 1} for s in SYMBOLS}))


@pytest.fixture(scope="session")
def markets():
    return {}


@pytest.fixture
def view(way, foundation, markets, base, tools):
    """A foundation with prices beside the usual files."""
    owner = "user" if foundation.user else "root"
    if owner not in markets:
        markets[owner] = Foundation(base, f"market-{owner}", foundation.user, tools, fill_prices)
    home = pathlib.Path(tempfile.mkdtemp(prefix="market-view-", dir=base))
    made = View(markets[owner], way, home, tools).start()
    yield made
    made.close()
    shutil.rmtree(home)


@pytest.mark.smoke
def test_pandas(lake):
    path = lake / "NASDAQ_AAPL_1d.parquet"
    df = pd.read_parquet(path)
    pd.testing.assert_frame_equal(df, prices("NASDAQ_AAPL"))
    df["close"] *= 2
    df.to_parquet(path, index=False)  # truncates the file that it has just read
    pd.testing.assert_frame_equal(pd.read_parquet(path), df)
    df.tail(10).to_csv(lake / "tail.csv", index=False)
    assert len(pd.read_csv(lake / "tail.csv")) == 10
    df.to_pickle(lake / "portfolio_returns.pkl")
    pd.testing.assert_frame_equal(pd.read_pickle(lake / "portfolio_returns.pkl"), df)


def test_pyarrow(lake):
    table = pq.read_table(lake / "NYSE_IBM_1d.parquet", memory_map=True)
    assert table.num_rows == 2000
    mapped = pq.ParquetFile(lake / "NYSE_IBM_1d.parquet", memory_map=True)
    pq.write_table(table.slice(0, 100), lake / "NYSE_IBM_1d.parquet.tmp")
    (lake / "NYSE_IBM_1d.parquet.tmp").replace(lake / "NYSE_IBM_1d.parquet")
    assert mapped.read().equals(table), "what was open keeps its bytes"
    assert pq.read_metadata(lake / "NYSE_IBM_1d.parquet").num_rows == 100
    features = pa.dataset.dataset(lake / "features", partitioning="hive")
    assert features.count_rows() == 12
    pa.dataset.write_dataset(pa.table({"symbol": ["X"], "rsi": [1.0], "date": ["2026-01-09"]}), lake / "features",
                             format="parquet", partitioning=["date"], partitioning_flavor="hive",
                             existing_data_behavior="overwrite_or_ignore")
    assert pa.dataset.dataset(lake / "features", partitioning="hive").count_rows() == 13


def test_duckdb(lake):
    with duckdb.connect() as db:
        assert db.execute(f"select count(*) from '{lake}/*_1d.parquet'").fetchone()[0] == 8000
        assert db.execute(f"select count(distinct date) from read_parquet('{lake}/features/*/*.parquet', "
                          "hive_partitioning=true)").fetchone()[0] == 3
        db.execute(f"copy (select * from '{lake}/NASDAQ_GOOG_1d.parquet' limit 5) "
                   f"to '{lake}/NASDAQ_GOOG_1d.parquet' (format parquet)")
        assert db.execute(f"select count(*) from '{lake}/NASDAQ_GOOG_1d.parquet'").fetchone()[0] == 5


def test_reads_are_the_frozen_ones_while_the_live_file_is_torn(lake, foundation, view):
    """A writer truncates the live file; the view shows the committed one, time and again."""
    live = view.foundation.lake / "NASDAQ_AAPL_1d.parquet"
    wanted = prices("NASDAQ_AAPL")
    for i in range(20):
        try:
            with open(live, "wb") as f:
                f.write(b"PAR1 torn" * i)
        except PermissionError:  # another user's; the foundation's own tests change it
            pass
        pd.testing.assert_frame_equal(pd.read_parquet(lake / "NASDAQ_AAPL_1d.parquet"), wanted)


def test_the_audit_step(lake):
    """A lock file, a temp file beside the target, a replacement: as the selection step does it."""
    import fcntl
    import os
    for i in range(5):
        with open(lake / "selection_audit.json.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            audit = json.loads((lake / "selection_audit.json").read_text())
            audit[str(i)] = i
            with tempfile.NamedTemporaryFile("w", dir=lake, delete=False) as temp:
                json.dump(audit, temp)
            os.replace(temp.name, lake / "selection_audit.json")
    assert len(json.loads((lake / "selection_audit.json").read_text())) == 5
    shutil.copy2(lake / "catalog.json", lake / "catalog.json.bak")
    assert (lake / "catalog.json.bak").stat().st_mtime_ns == (lake / "catalog.json").stat().st_mtime_ns
