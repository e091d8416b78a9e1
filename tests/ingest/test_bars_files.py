"""Files of bars, between tvfs and pandas, pyarrow and DuckDB: exact both ways, the same bytes each time."""

import os
import stat

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]
TINY = np.array([0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3])


def series(rng, days):
    """Any finite doubles, and often those that are lost first."""
    frame = pd.DataFrame({"timestamp": np.cumsum(rng.integers(1, 9, days)) * 86400 - 10**9})
    for name in COLUMNS[1:]:
        values = rng.integers(0, 2**64, days, dtype=np.uint64).view(np.float64)
        values = np.where(np.isfinite(values), values, 1.0)
        frame[name] = np.where(rng.random(days) < 0.3, rng.choice(TINY, days), values)
    return frame


def bits(frame):
    """What must be the same: -0.0 is not 0.0."""
    return {name: frame[name].to_numpy().tobytes() for name in COLUMNS}


def with_pandas(path):
    return pd.read_parquet(path, columns=None)


def with_pyarrow(path):
    return pq.read_table(path).to_pandas()


def with_duckdb(path):
    return duckdb.sql("SELECT * FROM read_parquet(?)", params=[str(path)]).df()


def test_random_series_come_back(tool, tmp_path):
    """pandas → tvfs → all readers, whatever the layout; tvfs's file → tvfs: the same bytes."""
    rng = np.random.default_rng(20260119)
    words, frames = [], []
    for i, days in enumerate([1, 2, 3, 100, 1000, 2048, 2049, 4000, 130_000]):
        frame = series(rng, days)
        source, ours = tmp_path / f"in-{i}.parquet", tmp_path / f"out-{i}.parquet"
        # Small row groups are dear where there are many.
        layout = rng.choice(["pandas", "pages", "duckdb", "small groups"][:4 if days < 5000 else 3])
        if layout == "duckdb":
            duckdb.sql("COPY frame TO '%s' (FORMAT parquet, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 0)"
                       % source)
        else:
            more = {"pandas": {}, "small groups": {"row_group_size": 7, "compression": "zstd"},
                    "pages": {"data_page_size": 100, "use_dictionary": False, "compression": "gzip",
                              "data_page_version": "2.0"}}[layout]
            shuffled = list(rng.permutation(COLUMNS)) if i % 2 else COLUMNS
            frame[shuffled].to_parquet(source, index=False, **more)
        frames.append(frame)
        words += [source, ours]
    assert tool.copy(*words) == [f"ok {len(frame)}" for frame in frames]
    again = [p for ours in words[1::2] for p in (ours, ours.with_suffix(".again"))]
    tool.copy(*again)
    for frame, ours in zip(frames, words[1::2]):
        for read in with_pandas, with_pyarrow, with_duckdb:
            got = read(ours)
            assert list(got.columns) == COLUMNS
            assert bits(got) == bits(frame), (read.__name__, len(frame))
        assert ours.read_bytes() == ours.with_suffix(".again").read_bytes()


def test_types_that_are_written(tool, lake, tmp_path):
    source, ours = lake / "NASDAQ_AAPL_1d.parquet", tmp_path / "NASDAQ_AAPL_1d.parquet"
    tool.copy(source, ours)
    schema = pq.read_schema(ours)
    assert schema.names == COLUMNS
    assert schema.types == [pa.int64()] + [pa.float64()] * 5
    meta = pq.read_metadata(ours)
    assert meta.row_group(0).column(1).compression == "SNAPPY"
    assert bits(pd.read_parquet(ours)) == bits(pd.read_parquet(source))
    assert tool.schema(ours).returncode == 0
    assert os.listdir(tmp_path) == [ours.name]


def times(frame, unit, zone=None):
    stamps = pd.to_datetime(frame["timestamp"], unit="s")
    return (stamps.dt.tz_localize(zone) if zone else stamps).astype(
        f"datetime64[{unit}, {zone}]" if zone else f"datetime64[{unit}]")


@pytest.fixture
def plain():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"timestamp": np.arange(500, dtype="int64") * 86400 + 1_500_000_000 // 86400 * 86400})
    for name in COLUMNS[1:]:
        frame[name] = rng.integers(1, 1000, 500).astype("float64")
    return frame


ACCEPTED = {
    "int32": lambda f: f.astype({"timestamp": "int32", "volume": "int32"}),
    "uint": lambda f: f.astype({"timestamp": "uint64", "volume": "uint32", "open": "uint16"}),
    "float32": lambda f: f.astype({name: "float32" for name in COLUMNS[1:]}),
    "double-time": lambda f: f.astype({"timestamp": "float64"}),
    "seconds": lambda f: f.assign(timestamp=times(f, "s")),
    "milliseconds": lambda f: f.assign(timestamp=times(f, "ms")),
    "microseconds-utc": lambda f: f.assign(timestamp=times(f, "us", "UTC")),
    "nanoseconds": lambda f: f.assign(timestamp=times(f, "ns")),
    "nanoseconds-utc": lambda f: f.assign(timestamp=times(f, "ns", "UTC")),
    "other-zone": lambda f: f.assign(timestamp=times(f, "ns", "UTC").dt.tz_convert("America/New_York")),
    "date": lambda f: f.assign(timestamp=times(f, "s").dt.date),
    "index-without-name": lambda f: f.set_index(pd.RangeIndex(1, 1001, 2).astype("int64").to_series()),
    "nullable": lambda f: f.convert_dtypes(),
    "time-as-index": lambda f: f.assign(timestamp=times(f, "ns", "UTC")).set_index("timestamp"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_exact_conversions(tool, plain, tmp_path, name):
    ACCEPTED[name](plain).to_parquet(tmp_path / "in.parquet")
    assert tool.copy(tmp_path / "in.parquet", tmp_path / "out.parquet") == ["ok 500"]
    assert bits(pd.read_parquet(tmp_path / "out.parquet")) == bits(plain)


REFUSED = {
    "null": (lambda f: f.assign(close=f["close"].where(f.index != 321)), "column 'close' (double), row 321:"),
    "text": (lambda f: f.astype({"close": str}), "column 'close': its type is text"),
    "decimal": (lambda f: f.assign(close=pd.array(f["close"], dtype=pd.ArrowDtype(pa.decimal128(20, 4)))),
                "column 'close': its type is decimal"),
    "missing": (lambda f: f.drop(columns="volume"), "no column 'volume'"),
    "extra": (lambda f: f.assign(adj_close=f["close"]), "column 'adj_close'"),
    "case": (lambda f: f.rename(columns={"open": "Open"}), "column 'Open'"),
    "half-second": (lambda f: f.assign(timestamp=times(f, "ms") + pd.to_timedelta((f.index == 9) * 1, unit="ms")),
                    "column 'timestamp' (timestamp[ns]), row 9:"),
    "large-integer": (lambda f: f.assign(volume=np.where(f.index == 3, 2**53 + 1, 1)),
                      "column 'volume' (int64), row 3:"),
    "large-unsigned": (lambda f: f.assign(volume=np.full(500, 2**64 - 1, dtype="uint64")), "does not fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tool, plain, tmp_path, name):
    make, message = REFUSED[name]
    make(plain).to_parquet(tmp_path / "in.parquet")
    (answer,) = tool.copy(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert answer.startswith(f"13 '{tmp_path}/in.parquet'") and message in answer, answer
    assert os.listdir(tmp_path) == ["in.parquet"]


def test_two_columns_of_one_name(tool, plain, tmp_path):
    table = pa.Table.from_pandas(plain, preserve_index=False)
    pq.write_table(table.append_column("close", table["close"]), tmp_path / "in.parquet")
    (answer,) = tool.copy(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert answer.startswith("13 ") and "close_1" in answer


def test_damaged_empty_and_missing(tool, lake, tmp_path):
    good = (lake / "NASDAQ_AAPL_1d.parquet").read_bytes()
    contents = {"empty": b"", "text": b"timestamp,open\n", "cut": good[:-9], "half": good[:len(good) // 2],
                "only-ends": b"PAR1" + good[-8:],
                "long-footer": good[:-8] + b"\xff\xff\xff\x7fPAR1", "noise": os.urandom(5000),
                "zeroes": good[:4] + bytes(len(good) - 8) + good[-4:]}
    words = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        words += [tmp_path / name, tmp_path / f"{name}.out"]
    (tmp_path / "folder").mkdir()
    answers = tool.copy(*words, tmp_path / "none", tmp_path / "x", tmp_path / "folder", tmp_path / "x",
                        lake / "NASDAQ_AAPL_1d.parquet", tmp_path / "good.out")
    for name, answer in zip(contents, answers):
        assert answer.startswith(f"13 '{tmp_path}/{name}' cannot be read as Parquet: "), answer
    assert "No such file" in answers[-3] and f"{tmp_path}/none" in answers[-3]
    assert "not a file" in answers[-2]
    assert answers[-1].startswith("ok ")
    assert {p.name for p in tmp_path.glob("*.out")} == {"good.out"}


def test_replacing_keeps_the_mode(tool, lake, tmp_path):
    ours = tmp_path / "x.parquet"
    tool.copy(lake / "NYSE_KO_1d.parquet", ours)
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o666 & ~before
    ours.chmod(0o600)
    tool.copy(lake / "NYSE_PG_1d.parquet", ours)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert bits(pd.read_parquet(ours)) == bits(pd.read_parquet(lake / "NYSE_PG_1d.parquet"))
