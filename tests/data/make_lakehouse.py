#!/usr/bin/env python3
"""Makes a demo lakehouse of real prices, in the shape the platform's scripts expect.

usage: make_lakehouse.py DEST [--copies N]

Prices come from the packages in tests/requirements-data.txt, of which only the data files are read:
  bokeh-sampledata  daily bars of AAPL, FB, GOOG, IBM and MSFT
  backtesting       EURUSD by the hour (made into days), BTCUSD by the month
  skfolio           30 years of daily closes of S&P 500 names (open = high = low = close, volume 0)
The same arguments give the same bytes. --copies N adds N more files a symbol, COPY<k>_<SYMBOL>, each
without its first k bars (half of them at most), so that few files are equal.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

NOW = pd.Timestamp("2026-01-19T12:00:00Z")  # when the catalogs say that they were made
COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]
COMPANIES = {
    "NASDAQ:AAPL": ("Apple Inc.", "Technology", "Consumer Electronics"),
    "NASDAQ:AMD": ("Advanced Micro Devices, Inc.", "Technology", "Semiconductors"),
    "NYSE:BAC": ("Bank of America Corporation", "Financials", "Banks"),
    "NYSE:BBY": ("Best Buy Co., Inc.", "Consumer Discretionary", "Specialty Retail"),
    "NYSE:CVX": ("Chevron Corporation", "Energy", "Oil & Gas"),
    "NASDAQ:FB": ("Facebook, Inc.", "Communication Services", "Interactive Media"),
    "NYSE:GE": ("General Electric Company", "Industrials", "Conglomerates"),
    "NASDAQ:GOOG": ("Google Inc.", "Communication Services", "Interactive Media"),
    "NYSE:HD": ("The Home Depot, Inc.", "Consumer Discretionary", "Specialty Retail"),
    "NYSE:IBM": ("International Business Machines", "Technology", "IT Services"),
    "NYSE:JNJ": ("Johnson & Johnson", "Health Care", "Pharmaceuticals"),
    "NYSE:JPM": ("JPMorgan Chase & Co.", "Financials", "Banks"),
    "NYSE:KO": ("The Coca-Cola Company", "Consumer Staples", "Beverages"),
    "NYSE:LLY": ("Eli Lilly and Company", "Health Care", "Pharmaceuticals"),
    "NYSE:MRK": ("Merck & Co., Inc.", "Health Care", "Pharmaceuticals"),
    "NASDAQ:MSFT": ("Microsoft Corporation", "Technology", "Software"),
    "NASDAQ:PEP": ("PepsiCo, Inc.", "Consumer Staples", "Beverages"),
    "NYSE:PFE": ("Pfizer Inc.", "Health Care", "Pharmaceuticals"),
    "NYSE:PG": ("The Procter & Gamble Company", "Consumer Staples", "Household Products"),
    "NYSE:RRC": ("Range Resources Corporation", "Energy", "Oil & Gas"),
    "NYSE:UNH": ("UnitedHealth Group Incorporated", "Health Care", "Managed Care"),
    "NYSE:WMT": ("Walmart Inc.", "Consumer Staples", "Retail"),
    "NYSE:XOM": ("Exxon Mobil Corporation", "Energy", "Oil & Gas"),
}
BARS = ["NASDAQ:AAPL", "NASDAQ:FB", "NASDAQ:GOOG", "NYSE:IBM", "NASDAQ:MSFT"]
# Since then the exchanges quote in cents; before, in sixteenths of a dollar.
DECIMAL = {"NYSE": pd.Timestamp("2001-01-29", tz="UTC"),
           "NASDAQ": pd.Timestamp("2001-04-09", tz="UTC")}


def source(package, path, **options):
    """A data file of a package, without importing the package."""
    folder = Path(find_spec(package).submodule_search_locations[0])
    return pd.read_csv(folder / path, **options)


def bars(frame, dates):
    """The documented schema: Unix seconds in UTC, then five doubles; no index column."""
    frame = frame.rename(columns=str.lower)
    seconds = pd.DatetimeIndex(dates).as_unit("s").asi8
    out = pd.DataFrame({"timestamp": seconds})
    for name in COLUMNS[1:]:
        out[name] = frame[name].to_numpy(dtype="float64")
    return out.sort_values("timestamp", ignore_index=True)


def equities():
    prices = {}
    for symbol in BARS:
        frame = source("bokeh_sampledata", f"_data/{symbol.split(':')[1]}.csv", parse_dates=["Date"])
        prices[symbol] = bars(frame, frame["Date"])
    closes = source("skfolio", "datasets/data/sp500_dataset.csv.gz", parse_dates=["Date"])
    for symbol in COMPANIES.keys() - prices.keys():
        close = closes[symbol.split(":")[1]]
        frame = pd.DataFrame({name: close for name in ("open", "high", "low", "close")})
        known = close.notna()
        prices[symbol] = bars(frame.assign(volume=0.0)[known], closes["Date"][known])
    return dict(sorted(prices.items()))


def currencies():
    hourly = source("backtesting", "test/EURUSD.csv", index_col=0, parse_dates=True)
    daily = hourly.resample("1D").agg(
        {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}
    ).dropna()
    monthly = source("backtesting", "test/BTCUSD.csv", index_col=0, parse_dates=True)
    return bars(daily, daily.index), bars(monthly, monthly.index)


def file_name(symbol, period="1d"):
    return f"{symbol.replace(':', '_')}_{period}.parquet"


def write_json(dest, name, value):
    (dest / name).write_text(json.dumps(value, indent=2) + "\n")


def iso(seconds):
    return pd.Timestamp(seconds, unit="s", tz="UTC").strftime("%Y-%m-%d")


def symbol_rows(symbol, frame):
    """Slowly changing dimension, type 2: a symbol that saw the change to cents has two rows."""
    exchange, base = symbol.split(":")
    name, sector, industry = COMPANIES[symbol]
    row = {
        "symbol": symbol, "exchange": exchange, "base": base, "quote": "USD", "type": "stock",
        "subtype": "common", "profile": "EQUITY", "description": name, "sector": sector,
        "industry": industry, "country": "United States", "pricescale": 100, "minmov": 1,
        "tick_size": 0.01, "timezone": "America/New_York", "session": "0930-1600", "active": True,
        "valid_from": pd.Timestamp(int(frame["timestamp"].iloc[0]), unit="s", tz="UTC"),
        "valid_until": pd.NaT, "updated_at": NOW,
    }
    change = DECIMAL[exchange]
    if row["valid_from"] >= change:
        return [row]
    old = {**row, "pricescale": 16, "tick_size": 0.0625, "valid_until": change}
    return [old, {**row, "valid_from": change}]


def write_dimensions(dest, prices):
    symbols = pd.DataFrame([row for s, frame in prices.items() for row in symbol_rows(s, frame)])
    symbols["valid_until"] = pd.to_datetime(symbols["valid_until"], utc=True)
    symbols.to_parquet(dest / "symbols.parquet", index=False)
    pd.DataFrame(
        [
            ("CRYPTO", "Etc/UTC", True, "", "Crypto currencies", NOW),
            ("FX", "Etc/UTC", False, "", "Foreign exchange", NOW),
            ("NASDAQ", "America/New_York", False, "United States", "Nasdaq Stock Market", NOW),
            ("NYSE", "America/New_York", False, "United States", "New York Stock Exchange", NOW),
        ],
        columns=["exchange", "timezone", "is_crypto", "country", "description", "updated_at"],
    ).to_parquet(dest / "exchanges.parquet", index=False)
    pd.DataFrame(
        [
            (s, s.split(":")[0], 1.0, 1.0, 1.0, 0.01, 0.0, 0.0005, 1.0, NOW)
            for s in prices
        ],
        columns=["symbol", "venue", "lot_size", "min_notional", "step_size", "tick_size",
                 "maker_fee", "taker_fee", "contract_size", "updated_at"],
    ).to_parquet(dest / "execution.parquet", index=False)


def write_catalogs(dest, prices):
    catalog, health = {}, {}
    for symbol, frame in prices.items():
        full = bool((frame["volume"] > 0).any())
        catalog[symbol] = {
            "freshness": NOW.isoformat(),
            "start_date": iso(frame["timestamp"].iloc[0]),
            "end_date": iso(frame["timestamp"].iloc[-1]),
            "data_quality_score": 1.0 if full else 0.8,
        }
        health[symbol] = {"status": "ok" if full else "warn", "last_audit": NOW.isoformat()}
        if not full:
            health[symbol]["reason"] = "closes only, no volume"
    write_json(dest, "catalog.json", catalog)
    write_json(dest, "foundation_health.json", health)


def candidate(symbol, frame):
    close = frame["close"]
    score = float(close.iloc[-1] / close.iloc[-64] - 1.0)
    direction = "LONG" if score >= 0 else "SHORT"
    traded = float((close * frame["volume"]).tail(20).mean())
    return {
        "symbol": symbol, "atom_id": f"{symbol}_trend_{direction}", "physical_symbol": symbol,
        "market": "america", "asset_class": "EQUITY", "identity": symbol.split(":")[1],
        "value_traded": round(traded, 2), "logic": "trend", "direction": direction,
        "alpha_score": round(score, 6),
    }


def write_selection(dest, prices):
    raw = [candidate(symbol, frame) for symbol, frame in prices.items()]
    chosen = sorted(raw, key=lambda c: (-abs(c["alpha_score"]), c["symbol"]))[:12]
    write_json(dest, "portfolio_candidates_raw.json", raw)
    write_json(dest, "portfolio_candidates.json", chosen)
    write_json(dest, "selection_audit.json", {
        "timestamp": NOW.isoformat(),
        "discovery": {"files": 1, "candidates": len(raw)},
        "merging": {"raw": len(raw), "unique": len({c["identity"] for c in raw})},
        "final_selection": [c["symbol"] for c in chosen],
        "selection": {"top_n": len(chosen), "by": "abs(alpha_score)"},
        "selection_history": [],
    })


def write_returns(dest, prices):
    """Days that every symbol has: nothing is padded."""
    closes = pd.concat(
        {
            symbol: frame.set_index(pd.to_datetime(frame["timestamp"], unit="s", utc=True))["close"]
            for symbol, frame in prices.items()
        },
        axis=1, join="inner",
    )
    returns = closes.pct_change().iloc[1:]
    returns.index.name = "timestamp"
    returns.to_parquet(dest / "returns_matrix.parquet")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dest", type=Path)
    parser.add_argument("--copies", type=int, default=0, metavar="N")
    args = parser.parse_args()
    dest = args.dest
    dest.mkdir(parents=True, exist_ok=True)

    prices = equities()
    eurusd, btcusd = currencies()
    for symbol, frame in {**prices, "FX:EURUSD": eurusd}.items():
        frame.to_parquet(dest / file_name(symbol), index=False)
        for copy in range(1, args.copies + 1):
            name = f"COPY{copy:04}_{symbol.split(':')[1]}_1d.parquet"
            frame.iloc[min(copy, len(frame) // 2):].to_parquet(dest / name, index=False)
    btcusd.to_parquet(dest / file_name("CRYPTO:BTCUSD", "1M"), index=False)

    write_dimensions(dest, prices)
    write_catalogs(dest, prices)
    write_selection(dest, prices)
    write_returns(dest, prices)
    files = [path for path in dest.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{dest}: {len(files)} files, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
