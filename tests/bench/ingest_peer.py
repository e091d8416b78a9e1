"""The data cycle as a usual script does it, with pandas and requests: what `./dev bench ingest` compares with.

usage: ingest_peer.py ingest LAKE CANDIDATES URL | features LAKE | matrix LAKE | validate LAKE
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
import time

import numpy
import pandas

DAY = 86400
PRICES = ["open", "high", "low", "close"]
COLUMNS = ["timestamp", *PRICES, "volume"]
THREADS = 8


# --- ingest --------------------------------------------------------------------------------------------


def fetch(session, url, name, start, end):
    answer = session.get(f"{url}/v8/finance/chart/{name}", timeout=30,
                         params={"period1": start, "period2": end, "interval": "1d"})
    answer.raise_for_status()
    result = answer.json()["chart"]["result"][0]
    frame = pandas.DataFrame(result["indicators"]["quote"][0])
    frame["timestamp"] = numpy.array(result["timestamp"], dtype="int64") // DAY * DAY
    return frame[COLUMNS].astype(dict.fromkeys(COLUMNS[1:], "float64"))


def problems(frame):
    """What a table of daily bars may not be."""
    values = frame[COLUMNS[1:]]
    if not frame["timestamp"].is_monotonic_increasing or frame["timestamp"].duplicated().any():
        return "timestamps are not in order"
    if not numpy.isfinite(values).all().all() or (values < 0).any().any():
        return "prices that are none"
    if (frame["high"] < frame[["open", "close", "low"]].max(axis=1)).any() or \
            (frame["low"] > frame[["open", "close"]].min(axis=1)).any():
        return "high or low"
    if (frame["close"].pct_change().abs() > 5).any():
        return "toxic return"
    if (pandas.to_datetime(frame["timestamp"], unit="s").dt.dayofweek >= 5).any():
        return "weekend bars"
    if frame["timestamp"].iloc[-1] > time.time():
        return "bars of the future"
    padded = (frame["volume"] == 0) & (frame["close"].diff() == 0)
    if padded.rolling(5).sum().max() == 5:
        return "padding"
    return None


def ingest_one(session, url, lake, symbol, now):
    path = lake / f"{symbol.replace(':', '_')}_1d.parquet"
    old = pandas.read_parquet(path) if path.exists() else None
    start = 946684800 if old is None else int(old["timestamp"].iloc[-1]) - 10 * DAY
    frame = fetch(session, url, symbol.split(":")[1], start, now // DAY * DAY)
    if old is not None:
        both = old.merge(frame, on="timestamp")
        if not numpy.allclose(both["close_x"], both["close_y"], rtol=1e-4):
            return symbol, {"status": "quarantined", "reason": "history was restated"}
        frame = pandas.concat([old[old["timestamp"] < start], frame], ignore_index=True)
    reason = problems(frame)
    if reason:
        return symbol, {"status": "quarantined", "reason": reason}
    temp = path.with_suffix(".tmp")
    frame.to_parquet(temp, compression="snappy", index=False)
    os.replace(temp, path)
    days = pandas.to_datetime(frame["timestamp"].iloc[[0, -1]], unit="s").dt.strftime("%Y-%m-%d")
    return symbol, {"status": "ok", "freshness": now, "start_date": days.iloc[0], "end_date": days.iloc[1],
                    "rows": len(frame), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def ingest(lake, candidates, url):
    import requests
    import requests.adapters

    lake = pathlib.Path(lake)
    symbols = [entry["symbol"] for entry in json.loads(pathlib.Path(candidates).read_text())]
    session, now = requests.Session(), int(time.time())
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    path = lake / "catalog.json"
    catalog = json.loads(path.read_text()) if path.exists() else {}
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for symbol, entry in pool.map(lambda s: ingest_one(session, url, lake, s, now), symbols):
            catalog[symbol] = entry
    path.with_suffix(".tmp").write_text(json.dumps(catalog, indent=1))
    os.replace(path.with_suffix(".tmp"), path)
    os.sync()


def symbols(lake, candidates):
    """What features read the sectors from."""
    names = [entry["symbol"] for entry in json.loads(pathlib.Path(candidates).read_text())]
    frame = pandas.DataFrame({"symbol": names, "sector": "Technology"})
    frame.to_parquet(pathlib.Path(lake) / "symbols.parquet", index=False)


# --- features ------------------------------------------------------------------------------------------


def wilder(series, n):
    return series.ewm(alpha=1 / n, adjust=False, min_periods=n).mean()


def weighted(series, n):
    weights = numpy.arange(1, n + 1)
    return series.rolling(n).apply(lambda x: (x * weights).sum() / weights.sum(), raw=True)


def averages(out, close):
    for n in (10, 20, 30, 50, 100, 200):
        out[f"sma_{n}"] = close.rolling(n).mean()
        out[f"ema_{n}"] = close.ewm(span=n, adjust=False, min_periods=n).mean()
    fast, slow = (close.ewm(span=n, adjust=False).mean() for n in (12, 26))
    out["macd"] = fast - slow
    out["macd_signal"] = out["macd"].ewm(span=9, adjust=False).mean()
    out["hull_ma"] = weighted(2 * weighted(close, 4) - weighted(close, 9), 3)


def directions(out, bars, true_range):
    up, down = bars["high"].diff(), -bars["low"].diff()
    span = wilder(true_range, 14)
    out["plus_di"] = 100 * wilder(up.where((up > down) & (up > 0), 0.0), 14) / span
    out["minus_di"] = 100 * wilder(down.where((down > up) & (down > 0), 0.0), 14) / span
    total = out["plus_di"] + out["minus_di"]
    out["adx"] = wilder(100 * (out["plus_di"] - out["minus_di"]).abs() / total, 14)
    out["atr"] = span


def oscillators(out, bars):
    high, low, close = bars["high"], bars["low"], bars["close"]
    change = close.diff()
    gain, loss = wilder(change.clip(lower=0), 14), wilder(-change.clip(upper=0), 14)
    out["rsi"] = 100 * gain / (gain + loss)
    bottom, top = low.rolling(14).min(), high.rolling(14).max()
    out["stoch_k"] = (100 * (close - bottom) / (top - bottom)).rolling(3).mean()
    out["stoch_d"] = out["stoch_k"].rolling(3).mean()
    out["williams_r"] = 100 * (close - top) / (top - bottom)
    least, most = out["rsi"].rolling(14).min(), out["rsi"].rolling(14).max()
    out["stoch_rsi_k"] = (100 * (out["rsi"] - least) / (most - least)).rolling(3).mean()
    out["stoch_rsi_d"] = out["stoch_rsi_k"].rolling(3).mean()
    typical = (high + low + close) / 3
    mean = typical.rolling(20).mean()
    spread = numpy.lib.stride_tricks.sliding_window_view(typical.to_numpy(), 20)
    deviation = numpy.abs(spread - spread.mean(axis=1)[:, None]).mean(axis=1)
    out["cci"] = (typical - mean) / (0.015 * numpy.concatenate([numpy.full(19, numpy.nan), deviation]))
    middle = (high + low) / 2
    out["ao"] = middle.rolling(5).mean() - middle.rolling(34).mean()
    out["mom"] = close.diff(10)
    base = close.ewm(span=13, adjust=False, min_periods=13).mean()
    out["bull_power"], out["bear_power"] = high - base, low - base
    out["ichimoku_base"] = (low.rolling(26).min() + high.rolling(26).max()) / 2
    out["vwma"] = (close * bars["volume"]).rolling(20).sum() / bars["volume"].rolling(20).sum()


def ultimate(out, bars, true_range):
    pressure = bars["close"] - numpy.minimum(bars["low"], bars["close"].shift())
    parts = [pressure.rolling(n).sum() / true_range.rolling(n).sum() for n in (7, 14, 28)]
    out["uo"] = 100 * (4 * parts[0] + 2 * parts[1] + parts[2]) / 7


def vote(buy, sell):
    return buy.astype("float64") - sell.astype("float64")


def ratings(out, bars):
    close = bars["close"]
    names = [f"{kind}_{n}" for kind in ("sma", "ema") for n in (10, 20, 30, 50, 100, 200)] + ["hull_ma", "vwma"]
    votes = [numpy.sign(close - out[name]) for name in names]
    out["recommend_ma"] = pandas.concat(votes, axis=1).mean(axis=1)
    rsi, cci, k, d = out["rsi"], out["cci"], out["stoch_k"], out["stoch_d"]
    ao, trend, up = out["ao"], out["ema_50"], out["plus_di"] > out["minus_di"]
    strong = (out["adx"] > 20) & (out["adx"] > out["adx"].shift())
    votes = [vote((rsi < 30) & (rsi > rsi.shift()), (rsi > 70) & (rsi < rsi.shift())),
             vote((k < 20) & (d < 20) & (k > d), (k > 80) & (d > 80) & (k < d)),
             vote((cci < -100) & (cci > cci.shift()), (cci > 100) & (cci < cci.shift())),
             vote(strong & up, strong & ~up), vote((ao > 0) & (ao > ao.shift()), (ao < 0) & (ao < ao.shift())),
             vote(out["mom"] > out["mom"].shift(), out["mom"] < out["mom"].shift()),
             vote(out["macd"] > out["macd_signal"], out["macd"] < out["macd_signal"]),
             vote((close < trend) & (out["stoch_rsi_k"] < 20), (close > trend) & (out["stoch_rsi_k"] > 80)),
             vote(out["williams_r"] < -80, out["williams_r"] > -20),
             vote((close > trend) & (out["bear_power"] < 0), (close < trend) & (out["bull_power"] > 0)),
             vote(out["uo"] > 70, out["uo"] < 30)]
    out["recommend_other"] = pandas.concat(votes, axis=1).mean(axis=1)
    out["recommend_all"] = (out["recommend_ma"] + out["recommend_other"]) / 2


def features_of(path):
    bars = pandas.read_parquet(path)
    before = bars["close"].shift()
    true_range = numpy.maximum(bars["high"], before) - numpy.minimum(bars["low"], before)
    out = {}
    averages(out, bars["close"])
    oscillators(out, bars)
    directions(out, bars, true_range)
    ultimate(out, bars, true_range)
    ratings(out, bars)
    out = pandas.DataFrame(out)
    out.insert(0, "symbol", path.name.removesuffix("_1d.parquet").replace("_", ":", 1))
    out.insert(1, "timestamp", pandas.to_datetime(bars["timestamp"], unit="s", utc=True))
    return out


def features(lake):
    """Both files, in portions of symbols: the whole would not fit into memory."""
    import pyarrow
    import pyarrow.parquet

    lake, writers = pathlib.Path(lake), {}
    sectors = pandas.read_parquet(lake / "symbols.parquet").set_index("symbol")["sector"]
    (lake / "features").mkdir(exist_ok=True)
    paths = sorted(lake.glob("*_1d.parquet"))
    for at in range(0, len(paths), 50):
        frame = pandas.concat([features_of(path) for path in paths[at:at + 50]], ignore_index=True)
        both = {"features/tv_technicals_1d.parquet": frame}
        frame = frame.copy()
        frame.insert(2, "sector", frame["symbol"].map(sectors))
        both["features_matrix.parquet"] = frame
        for name, part in both.items():
            table = pyarrow.Table.from_pandas(part, preserve_index=False)
            if name not in writers:
                writers[name] = pyarrow.parquet.ParquetWriter(lake / name, table.schema, compression="snappy")
            writers[name].write_table(table)
    for writer in writers.values():
        writer.close()
    os.sync()


# --- matrix, validate ----------------------------------------------------------------------------------


def matrix(lake):
    lake, columns = pathlib.Path(lake), {}
    for path in sorted(lake.glob("*_1d.parquet")):
        bars = pandas.read_parquet(path, columns=["timestamp", "close"])
        symbol = path.name.removesuffix("_1d.parquet").replace("_", ":", 1)
        columns[symbol] = bars.set_index("timestamp")["close"]
    closes = pandas.concat(columns, axis=1, join="inner")
    returns = closes.pct_change().iloc[1:]
    returns.index = pandas.to_datetime(returns.index, unit="s", utc=True)
    returns.to_parquet(lake / "returns_matrix.parquet", compression="snappy")
    os.sync()


def validate(lake):
    lake = pathlib.Path(lake)
    catalog, bad = json.loads((lake / "catalog.json").read_text()), []
    for symbol, entry in catalog.items():
        path = lake / f"{symbol.replace(':', '_')}_1d.parquet"
        data = path.read_bytes()
        frame = pandas.read_parquet(path)
        if hashlib.sha256(data).hexdigest() != entry["sha256"] or len(frame) != entry["rows"] or problems(frame):
            bad.append(symbol)
    for name, wanted in (("returns_matrix.parquet", ["timestamp"]),
                         ("features_matrix.parquet", ["symbol", "timestamp", "sector"])):
        import pyarrow.parquet
        names = pyarrow.parquet.read_schema(lake / name).names
        bad += [name for column in wanted if column not in names]
        if time.time() - (lake / name).stat().st_mtime > DAY:
            bad.append(name)
    if bad:
        raise SystemExit(f"bad: {bad[:10]}")


if __name__ == "__main__":
    {"ingest": ingest, "symbols": symbols, "features": features, "matrix": matrix, "validate": validate}[sys.argv[1]](*sys.argv[2:])
