"""A backtest of the old kind: reads data/lakehouse literally, cleans up, writes its candidates there.

Usage: backtest.py READS (clean|rewrite|none)
Prints one JSON line: reads, torn (did not parse), mixed (prices of another round than the first read).
"""

import glob
import json
import os
import sys

import pandas as pd

LAKEHOUSE = "data/lakehouse"
CANDIDATES = f"{LAKEHOUSE}/portfolio_candidates.json"


def clean_up():
    """The step that deletes the shared candidate lists before it starts."""
    for path in glob.glob(f"{LAKEHOUSE}/portfolio_candidates*.json"):
        os.remove(path)
    return sorted(glob.glob(f"{LAKEHOUSE}/portfolio_candidates*.json"))


def momentum(frame):
    close = frame["close"]
    return float(close.iloc[-1] / close.iloc[-min(len(close), 60)] - 1)


def main(reads, mode):
    paths = sorted(glob.glob(f"{LAKEHOUSE}/NASDAQ_*_1d.parquet"))
    first, scores, torn, mixed = {}, {}, 0, 0
    if mode == "clean":
        assert clean_up() == []
    for i in range(reads):
        path = paths[i % len(paths)]
        try:
            frame = pd.read_parquet(path)
        except Exception:
            torn += 1
            continue
        level = float(frame["close"].sum())
        if abs(level / first.setdefault(path, level) - 1) > 1e-9:
            mixed += 1
        scores[os.path.basename(path).removesuffix("_1d.parquet")] = momentum(frame)
    if mode == "rewrite":
        best = sorted(scores, key=scores.get, reverse=True)[:5]
        rows = [{"symbol": s, "direction": "LONG", "alpha_score": round(scores[s], 6)} for s in best]
        with open(CANDIDATES, "w") as out:
            json.dump(rows, out, indent=1)
    print(json.dumps({"reads": reads, "torn": torn, "mixed": mixed}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
    sys.stdout.flush()
    os._exit(0)  # pyarrow's threads may abort a process as its interpreter ends (Arrow's issue 34314)
