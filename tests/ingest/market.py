"""Real prices behind the APIs of two sources, with defects planted on demand.

Dates are moved by whole weeks, so that the last bar is of the week that is over.
"""

import json
import time

import pandas

from price_server import Answer

DAY = 86400
COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]


def moved(frame, rows):
    """The last `rows` bars, as if they had ended last Friday at the latest."""
    bars = [list(row) for row in frame[COLUMNS].tail(rows).itertuples(index=False)]
    today = int(time.time()) // DAY * DAY
    weeks = (today - DAY - int(bars[-1][0])) // (7 * DAY)
    return [[int(t) + weeks * 7 * DAY, *map(float, rest)] for t, *rest in bars]


class Market:
    """`bars`: symbol -> rows. `defect`: symbol -> function of the rows that are about to be sent, or an Answer."""

    def __init__(self, server, lake, rows=300):
        self.server, self.bars, self.defect = server, {}, {}
        for name in ("AAPL", "MSFT", "GOOG", "FB"):
            self.bars[name] = moved(pandas.read_parquet(lake / f"NASDAQ_{name}_1d.parquet"), rows)
            server.routes[f"/v8/finance/chart/{name}"] = self.chart
        self.bars["BTCUSDT"] = self.every_day(rows)
        server.routes["/api/v3/klines"] = self.klines

    def every_day(self, rows):
        """Prices of a share, on all days of the week."""
        last = int(time.time()) // DAY * DAY - DAY
        prices = self.bars["AAPL"][-rows:]
        return [[last - (len(prices) - 1 - i) * DAY, *row[1:]] for i, row in enumerate(prices)]

    def settings(self, **more):
        return {"sources": {"NASDAQ": {"kind": "yahoo", "base": self.server.base},
                            "BINANCE": {"kind": "binance", "base": self.server.base}},
                "ingest": {"start": "2010-01-01", "tries": 2, "host_per_second": 0}} | more

    def rows(self, name, first, end):
        """What the API sends: the rows in a span, with the symbol's defect."""
        rows = [list(row) for row in self.bars[name] if first <= row[0] < end]
        defect = self.defect.get(name)
        return defect if isinstance(defect, Answer) else defect(rows) if defect else rows

    def chart(self, request):
        name = request.path.rsplit("/", 1)[1]
        rows = self.rows(name, int(request.query["period1"]), int(request.query["period2"]))
        if isinstance(rows, Answer):
            return rows
        quote = {key: [row[n + 1] for row in rows] for n, key in enumerate(COLUMNS[1:])}
        return Answer(json.dumps({"chart": {"error": None, "result": [{
            "meta": {"symbol": name, "gmtoffset": -18000},
            "timestamp": [row[0] + 14 * 3600 + 1800 for row in rows],
            "indicators": {"quote": [quote]}}]}}).encode())

    def klines(self, request):
        rows = self.rows(request.query["symbol"], int(request.query["startTime"]) // 1000,
                         int(request.query["endTime"]) // 1000 + 1)
        if isinstance(rows, Answer):
            return rows
        return Answer(json.dumps([[t * 1000, *map(str, rest), (t + DAY) * 1000 - 1, "0", 1, "0", "0", "0"]
                                  for t, *rest in rows[:1000]]).encode())
