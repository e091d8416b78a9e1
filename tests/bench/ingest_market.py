"""Real prices as base, and the server that varies them for each symbol."""

import json
import subprocess
import time
import urllib.request

DAY = 86400
ROWS = 2520  # ten years of trading days
HELD = 12    # later bars, of which an update shows one more each time
BASES = ("AAPL", "IBM", "MSFT")
FIELDS = ("Open", "High", "Low", "Close", "Volume")


def base_lines(name):
    """The last ROWS + HELD bars in cents, moved by whole weeks so that they end with a week that is over."""
    import importlib.util
    import pathlib

    import pandas

    folder = pathlib.Path(importlib.util.find_spec("bokeh_sampledata").submodule_search_locations[0])
    frame = pandas.read_csv(folder / "_data" / f"{name}.csv", parse_dates=["Date"]).sort_values("Date")
    frame = frame.tail(ROWS + HELD)
    seconds = (frame["Date"] - pandas.Timestamp(0)) // pandas.Timedelta(seconds=1)
    today = int(time.time()) // DAY * DAY
    weeks = (today - DAY - int(seconds.iloc[-1])) // (7 * DAY)
    opening = weeks * 7 * DAY + 14 * 3600 + 1800  # Yahoo stamps a bar with its session's start
    values = [(frame[f] * (1 if f == "Volume" else 100)).round().astype("int64") for f in FIELDS]
    return [" ".join(map(str, row)) for row in zip(seconds + opening, *values, strict=True)]


class Market:
    """The server, and the symbols it has."""

    def __init__(self, program, folder, name, symbols):
        self.name, self.held = name, HELD
        self.symbols = [f"NASDAQ:S{i:05}" for i in range(symbols)]
        files = []
        for base in BASES:
            files.append(folder / f"{base}.bars")
            files[-1].write_text("\n".join(base_lines(base)) + "\n")
        self.candidates = folder / f"candidates-{name}.json"
        self.candidates.write_text(json.dumps([{"symbol": s, "sector": "Technology"} for s in self.symbols]))
        self.process = subprocess.Popen([program, str(symbols), str(HELD), *files], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.base = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def hold(self, bars):
        """The last so many bars are not there yet."""
        self.held = bars
        with urllib.request.urlopen(f"{self.base}/hold/{bars}") as answer:
            answer.read()

    def settings(self):
        return {"sources": {"NASDAQ": {"kind": "yahoo", "base": self.base}},
                "ingest": {"start": "2000-01-01", "host_per_second": 0, "host_connections": 8}}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
