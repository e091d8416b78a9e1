"""A data job of the old kind: rewrites the NASDAQ price files in place, over and over, until stopped.

Round after round all prices are doubled or halved, so a reader can tell torn files (they do not
parse) and mixed days (files of different rounds) from good reads. Ends with the original prices.
Usage: live_writer.py STOP_FILE
"""

import glob
import os
import sys

import pandas as pd

PRICES = ["open", "high", "low", "close"]


def main(stop_file):
    paths = sorted(glob.glob("data/lakehouse/NASDAQ_*_1d.parquet"))
    original = {path: pd.read_parquet(path) for path in paths}
    doubled = {path: frame.assign(**{c: frame[c] * 2 for c in PRICES}) for path, frame in original.items()}
    rounds = 0
    while not os.path.exists(stop_file):
        rounds += 1
        for path in paths:
            (doubled if rounds % 2 else original)[path].to_parquet(path, index=False)
    for path in paths:
        original[path].to_parquet(path, index=False)
    print(rounds)


if __name__ == "__main__":
    main(sys.argv[1])
