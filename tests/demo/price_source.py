#!/usr/bin/env python3
"""A source of real prices on this machine, some of them spoilt, for the demo.

usage: price_source.py LAKE SETTINGS

LAKE is a lakehouse as make_lakehouse.py makes it. SETTINGS (tvfs.json) gets the source's address. It serves until its
stdin ends. GOOG has a spike, FB a bar on a Saturday, MSFT a run of bars that somebody filled in.
"""

import json
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "ingest"))

from market import DAY, Market  # noqa: E402
from price_server import serving  # noqa: E402


def spike(rows):
    rows[-20][1:5] = [1570 * price for price in rows[-20][1:5]]
    return rows


def weekend(rows):
    friday = next(i for i, row in enumerate(rows) if time.gmtime(row[0]).tm_wday == 4 and i > 5)
    return [*rows[:friday + 1], [rows[friday][0] + DAY, *rows[friday][1:5], 1000.0], *rows[friday + 1:]]


def padding(rows):
    price = rows[100][4]
    return [*rows[:101], *([t, price, price, price, price, 0.0] for t, *_ in rows[101:rows_end(rows)]),
            *rows[rows_end(rows):]]


def rows_end(rows):
    return 101 + len(rows) // 3


def main(lake, settings):
    with serving() as server:
        market = Market(server, pathlib.Path(lake), 1000)
        market.defect.update(GOOG=spike, FB=weekend, MSFT=padding)
        path = pathlib.Path(settings)
        path.write_text(json.dumps(json.loads(path.read_text()) | market.settings(), indent=2) + "\n")
        print("serving", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
