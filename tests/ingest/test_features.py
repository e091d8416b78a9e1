"""Indicators against TA-Lib on real prices, ratings against their rules, and the files that hold them."""

import subprocess

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import talib

from ingest_support import helper

NAMES = ["recommend_ma", "recommend_other", "recommend_all"]
PERIODS = [10, 20, 30, 50, 100, 200]
DAY = 86400


def write(kind, out, symbols, *words):
    """Writes a file of symbols, {name: (sector, path)}; the helper's answer."""
    lines = "".join(f"{name}\t{sector or ''}\t{path}\n" for name, (sector, path) in symbols.items())
    return run(kind, out, *words, stdin=lines)


def run(kind, out, *words, stdin=""):
    done = subprocess.run([helper("features"), kind, out, *map(str, words)], input=stdin, text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def peak(answer):
    """The megabytes of a good answer."""
    assert answer.startswith("ok "), answer
    return int(answer.split()[1]) / 1000


@pytest.fixture(scope="module")
def symbols(lake):
    """All real symbols with daily bars, and their sectors."""
    rows = pd.read_parquet(lake / "symbols.parquet")
    sectors = dict(zip(rows["symbol"], rows["sector"])) | {"FX:EURUSD": None}
    return {name: (sector, lake / f"{name.replace(':', '_')}_1d.parquet")
            for name, sector in sectors.items()}


@pytest.fixture(scope="module")
def technicals(symbols, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features" / "tv_technicals_1d.parquet"
    path.parent.mkdir()
    peak(write("technicals", path, symbols))
    return path


@pytest.fixture(scope="module")
def frames(technicals):
    """The features of each symbol."""
    return {name: frame.reset_index(drop=True)
            for name, frame in pd.read_parquet(technicals).groupby("symbol")}


def windows(x, n):
    """The last n values of each row; nan in rows that have fewer."""
    out = np.full((len(x), n), np.nan)
    if len(x) >= n:
        out[n - 1:] = np.lib.stride_tricks.sliding_window_view(x, n)
    return out


def expected(bars):
    """What each indicator has to be: TA-Lib's, or put together from TA-Lib's parts."""
    h, l, c, v = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
    want = {}
    for n in PERIODS:
        want[f"sma_{n}"], want[f"ema_{n}"] = talib.SMA(c, n), talib.EMA(c, n)
    want["rsi"] = talib.RSI(c, 14)
    want["stoch_k"], want["stoch_d"] = talib.STOCH(h, l, c, fastk_period=14, slowk_period=3, slowd_period=3)
    want["cci"] = talib.CCI(h, l, c, 20)
    want["adx"] = talib.ADX(h, l, c, 14)
    want["plus_di"], want["minus_di"] = talib.PLUS_DI(h, l, c, 14), talib.MINUS_DI(h, l, c, 14)
    middle = talib.MEDPRICE(h, l)
    want["ao"] = talib.SMA(middle, 5) - talib.SMA(middle, 34)
    want["mom"] = talib.MOM(c, 10)
    want["macd"], want["macd_signal"], _ = talib.MACD(c, 12, 26, 9)
    _, want["stoch_rsi_k"] = talib.STOCHRSI(c, 14, 14, 3)
    # TA-Lib sums from the first number on.
    want["stoch_rsi_d"] = talib.SMA(want["stoch_rsi_k"], 3)
    want["williams_r"] = talib.WILLR(h, l, c, 14)
    want["bull_power"], want["bear_power"] = h - talib.EMA(c, 13), l - talib.EMA(c, 13)
    want["uo"] = talib.ULTOSC(h, l, c, 7, 14, 28)
    want["ichimoku_base"] = talib.MIDPRICE(h, l, 26)
    volume = windows(v, 20).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        want["vwma"] = np.where(volume > 0, windows(c * v, 20).sum(axis=1) / volume, np.nan)
    want["hull_ma"] = talib.WMA(2 * talib.WMA(c, 4) - talib.WMA(c, 9), 3)
    want["atr"] = talib.ATR(h, l, c, 14)
    return want


def assert_close(got, want, what):
    """To 1e-9, of the value where that is above 1; and nothing in the same rows."""
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert (np.isnan(got) == np.isnan(want)).all(), (what, np.flatnonzero(np.isnan(got) != np.isnan(want))[:5])
    off = np.abs(got - want) / np.maximum(1, np.abs(want))
    assert not np.nanmax(off, initial=0) > 1e-9, (what, np.nanargmax(off), np.nanmax(off))


def test_every_indicator_agrees(symbols, frames):
    assert set(frames) == set(symbols)
    traded = 0
    for name, (_, path) in symbols.items():
        bars, got = pd.read_parquet(path), frames[name]
        assert (got["timestamp"] == pd.to_datetime(bars["timestamp"], unit="s", utc=True)).all()
        want = expected(bars)
        assert list(got.columns) == ["symbol", "timestamp", *NAMES, *(c for c in got.columns if c in want)]
        assert set(want) == set(got.columns) - {"symbol", "timestamp", *NAMES}
        for column, values in want.items():
            assert_close(got[column], values, (name, column))
        traded += got["vwma"].notna().any()
    assert traded >= 5


def votes(columns, length):
    """The mean of votes: {(buy, sell, what must be there)}."""
    total, count = np.zeros(length), np.zeros(length)
    for buy, sell, *there in columns:
        known = ~np.isnan(np.vstack(there)).any(axis=0)
        total += np.where(known, buy.astype(float) - sell.astype(float), 0)
        count += known
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def ratings(bars, f):
    """The rules of docs/features.md, written a second time, over columns."""
    h, l, c = (bars[name].to_numpy() for name in ("high", "low", "close"))
    f = {name: f[name].to_numpy(dtype=float) for name in f.columns if name not in ("symbol", "timestamp")}

    def back(x, n):
        return np.concatenate([np.full(min(n, len(x)), np.nan), x[:max(0, len(x) - n)]])

    conversion, base = talib.MIDPRICE(h, l, 9), f["ichimoku_base"]
    a, b = back((conversion + base) / 2, 26), back(talib.MIDPRICE(h, l, 52), 26)
    means = [f[n] for n in f if n[:4] in ("sma_", "ema_")] + [f["hull_ma"], f["vwma"]]
    assert len(means) == 14
    rows = [(c > m, c < m, m) for m in means]
    rows.append(((a > b) & (base > a) & (conversion > base) & (c > conversion),
                 (a < b) & (base < a) & (conversion < base) & (c < conversion), a, b, base, conversion))
    ma = votes(rows, len(c))

    k, d, kr, dr, trend = f["stoch_k"], f["stoch_d"], f["stoch_rsi_k"], f["stoch_rsi_d"], f["ema_50"]
    rows = [((k < 20) & (d < 20) & (k > d), (k > 80) & (d > 80) & (k < d), k, d),
            ((c < trend) & (kr < 20) & (dr < 20) & (kr > dr),
             (c > trend) & (kr > 80) & (dr > 80) & (kr < dr), trend, kr, dr),
            (f["macd"] > f["macd_signal"], f["macd"] < f["macd_signal"], f["macd"], f["macd_signal"]),
            (f["uo"] > 70, f["uo"] < 30, f["uo"])]
    for name, low, high in (("rsi", 30, 70), ("cci", -100, 100), ("williams_r", -80, -20)):
        x, x1 = f[name], back(f[name], 1)
        rows.append(((x < low) & (x > x1), (x > high) & (x < x1), x, x1))
    x, x1 = f["adx"], back(f["adx"], 1)
    strong, up, down = (x > 20) & (x > x1), f["plus_di"], f["minus_di"]
    rows.append((strong & (up > down), strong & (up < down), x, x1, up, down))
    x, x1, x2 = (back(f["ao"], n) for n in range(3))
    rows.append((((x > 0) & (x1 <= 0)) | ((x > 0) & (x1 > 0) & (x > x1) & (x2 > x1)),
                 ((x < 0) & (x1 >= 0)) | ((x < 0) & (x1 < 0) & (x < x1) & (x2 < x1)), x, x1, x2))
    x, x1 = f["mom"], back(f["mom"], 1)
    rows.append((x > x1, x < x1, x, x1))
    bull, bear = f["bull_power"], f["bear_power"]
    rows.append(((c > trend) & (bear < 0) & (bear > back(bear, 1)),
                 (c < trend) & (bull > 0) & (bull < back(bull, 1)), trend, back(bull, 1)))
    assert len(rows) == 11
    other = votes(rows, len(c))
    both = np.where(np.isnan(ma), other, np.where(np.isnan(other), ma, (ma + other) / 2))
    return {"recommend_ma": ma, "recommend_other": other, "recommend_all": both}


def test_ratings_follow_their_rules(symbols, frames):
    seen = set()
    for name, (_, path) in symbols.items():
        got = frames[name]
        for column, values in ratings(pd.read_parquet(path), got).items():
            assert_close(got[column], values, (name, column))
            assert got[column].dropna().between(-1, 1).all()
            seen |= set(np.sign(got[column].dropna()))
    assert seen == {-1, 0, 1}


def cut(symbols, folder, rows):
    """The same symbols with their first rows only."""
    some = {}
    for name, (sector, path) in symbols.items():
        pd.read_parquet(path).iloc[:rows].to_parquet(folder / path.name, index=False)
        some[name] = (sector, folder / path.name)
    return some


@pytest.mark.parametrize("rows", [1, 9, 40, 199, 230, 600])
def test_later_rows_change_no_earlier_one(symbols, technicals, tmp_path, rows):
    some = {name: symbols[name] for name in ("NASDAQ:AAPL", "FX:EURUSD", "NYSE:KO")}
    peak(write("technicals", tmp_path / "t.parquet", cut(some, tmp_path, rows)))
    short = pd.read_parquet(tmp_path / "t.parquet")
    whole = pd.read_parquet(technicals)
    whole = whole[whole["symbol"].isin(some)].groupby("symbol").head(rows).reset_index(drop=True)
    pd.testing.assert_frame_equal(short, whole, check_exact=True)


def test_files_follow_the_schema(tool, symbols, technicals, tmp_path):
    assert tool.schema(technicals).stdout == ""
    path = tmp_path / "features_matrix.parquet"
    peak(write("matrix", path, symbols, 0))
    out = tool.schema(path)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    schema = pq.read_schema(path)
    assert schema.names[:6] == ["symbol", "timestamp", "sector", *NAMES]
    assert schema.types[:3] == [pa.string(), pa.timestamp("us", tz="UTC"), pa.string()]
    assert set(schema.types[3:]) == {pa.float64()}
    matrix, plain = pd.read_parquet(path), pd.read_parquet(technicals)
    pd.testing.assert_frame_equal(matrix.drop(columns="sector"), plain, check_exact=True)
    sectors = matrix.groupby("symbol", sort=False)["sector"].first()
    assert list(sectors.index) == sorted(symbols)
    assert {s: x for s, x in sectors.items()} == {s: x for s, (x, _) in symbols.items()}
    rows = duckdb.sql("SELECT count(*), count(DISTINCT symbol) FROM read_parquet(?)", params=[str(path)])
    assert rows.fetchone() == (len(plain), len(symbols))


@pytest.mark.parametrize("last", [1, 5])
def test_the_last_rows_only(symbols, technicals, tmp_path, last):
    path = tmp_path / "features_matrix.parquet"
    peak(write("matrix", path, symbols, last))
    got = pd.read_parquet(path).drop(columns="sector")
    want = pd.read_parquet(technicals).groupby("symbol").tail(last).reset_index(drop=True)
    pd.testing.assert_frame_equal(got, want, check_exact=True)


def test_same_bytes(symbols, technicals, tmp_path):
    """Whatever order the symbols come in."""
    for kind, words in (("technicals", []), ("matrix", [0]), ("returns", ["outer", 0])):
        backwards = dict(reversed(symbols.items()))
        peak(write(kind, tmp_path / "a", symbols, *words))
        peak(write(kind, tmp_path / "b", backwards, *words))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        if kind == "technicals":
            assert (tmp_path / "a").read_bytes() == technicals.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def closes_of(symbols):
    closes = {}
    for name, (_, path) in sorted(symbols.items()):
        bars = pd.read_parquet(path)
        closes[name] = bars.set_index(pd.to_datetime(bars["timestamp"], unit="s", utc=True))["close"]
    return closes


def assert_returns(path, want):
    got = pd.read_parquet(path)
    assert got.index.name == "timestamp" and str(got.index.dtype) == "datetime64[us, UTC]"
    assert got.columns.dtype == object and set(got.dtypes) == {np.dtype("float64")}
    pd.testing.assert_frame_equal(got, want, check_freq=False, check_index_type=False, rtol=0, atol=1e-12)
    flat = pq.read_table(path)
    assert flat.column_names == ["timestamp", *want.columns]
    assert duckdb.sql("SELECT * FROM read_parquet(?)", params=[str(path)]).df().shape == (
        len(want), len(want.columns) + 1)


def test_inner_returns_are_those_of_pandas(tool, lake, symbols, tmp_path):
    """The lakehouse's own matrix, as pandas made it of the same closes."""
    path = tmp_path / "returns_matrix.parquet"
    stocks = {name: value for name, value in symbols.items() if not name.startswith("FX")}
    peak(write("returns", path, stocks, "inner", 0))
    assert tool.schema(path).returncode == 0
    want = pd.read_parquet(lake / "returns_matrix.parquet")
    assert_returns(path, want)
    peak(write("returns", path, stocks, "inner", 100))
    assert_returns(path, want[want.index > want.index[-1] - pd.Timedelta(days=100)])


def test_outer_returns_are_each_symbols_own(tool, symbols, tmp_path):
    path = tmp_path / "returns_matrix.parquet"
    peak(write("returns", path, symbols, "outer", 0))
    assert tool.schema(path).returncode == 0
    own = {name: close.pct_change() for name, close in closes_of(symbols).items()}
    want = pd.concat(own, axis=1, join="outer").sort_index().dropna(how="all")
    want.index.name = "timestamp"
    assert want.isna().any(axis=None)
    assert_returns(path, want)
    peak(write("returns", path, symbols, "outer", 365))
    assert_returns(path, want[want.index > want.index[-1] - pd.Timedelta(days=365)])


@pytest.mark.parametrize("alignment", ["inner", "outer"])
def test_later_rows_change_no_earlier_return(symbols, tmp_path, alignment):
    some = {name: symbols[name] for name in ("NASDAQ:AAPL", "NASDAQ:MSFT", "NYSE:IBM")}
    peak(write("returns", tmp_path / "all", some, alignment, 0))
    peak(write("returns", tmp_path / "some", cut(some, tmp_path, 700), alignment, 0))
    whole, short = pd.read_parquet(tmp_path / "all"), pd.read_parquet(tmp_path / "some")
    assert 0 < len(short) < len(whole)
    pd.testing.assert_frame_equal(short, whole[:len(short)], check_exact=True, check_freq=False)


def test_nothing_in_common(symbols, tmp_path):
    bars = pd.read_parquet(symbols["NASDAQ:AAPL"][1])
    bars.iloc[:100].to_parquet(tmp_path / "a", index=False)
    bars.iloc[99:300].to_parquet(tmp_path / "b", index=False)
    some = {"X:A": (None, tmp_path / "a"), "X:B": (None, tmp_path / "b")}
    answer = write("returns", tmp_path / "out", some, "inner", 0)
    assert answer.startswith("15 ") and "100 of X:A" in answer
    assert not (tmp_path / "out").exists()
    some["X:B"] = (None, tmp_path / "none")
    answer = write("technicals", tmp_path / "out", some)
    assert answer.startswith("1 ") and f": X:B: cannot open '{tmp_path}/none'" in answer
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_five_thousand_columns(tool, tmp_path):
    path = tmp_path / "returns_matrix.parquet"
    megabytes = peak(run("returns", path, "inner", 0, "made-up", 5000, 260))
    assert megabytes < 500
    got = pd.read_parquet(path)
    assert got.shape == (259, 5000) and got.notna().all(axis=None)
    assert list(got.columns) == sorted(got.columns)


def test_memory_does_not_grow_with_symbols(tmp_path):
    few = peak(run("technicals", tmp_path / "few", "made-up", 60, 2500))
    many = peak(run("technicals", tmp_path / "many", "made-up", 180, 2500))
    assert many < 500 and many < few * 1.3, (few, many)
    assert pq.read_metadata(tmp_path / "many").num_rows == 180 * 2500
