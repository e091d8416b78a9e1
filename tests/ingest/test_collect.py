"""From symbols to rows: each kind of source against a server, a folder or a program that misbehaves."""

import errno
import json
import os
import re
import signal
import sys
import time

import pandas
import pytest

from ingest_support import call
from price_server import Answer, serving

DAY = 86400
START = 1704067200  # 2024-01-01
BARS = [[START + n * DAY, 10 + n, 12 + n, 9 + n, 11 + n, 100 + n] for n in range(5)]
SPAN = ("2024-01-01", "2024-01-06")
HEAD = "timestamp,open,high,low,close,volume\n"


def csv(bars=BARS):
    return HEAD + "".join(",".join(map(str, bar)) + "\n" for bar in bars)


def binance(bars=BARS):
    return json.dumps([[t * 1000, *map(str, rest), (t + DAY) * 1000 - 1, "0", 1, "0", "0", "0"]
                       for t, *rest in bars]).encode()


def coinbase(bars=BARS):
    return json.dumps([[t, low, high, opened, closed, volume]
                       for t, opened, high, low, closed, volume in reversed(bars)]).encode()


def kraken(bars=BARS, name="XXBTZUSD"):
    rows = [[t, *map(str, prices), "1", str(volume), 3] for t, *prices, volume in bars]
    return json.dumps({"error": [], "result": {name: rows, "last": START}}).encode()


def yahoo(bars=BARS, name="AAPL"):
    names = ("open", "high", "low", "close", "volume")
    quote = {key: [bar[n + 1] for bar in bars] for n, key in enumerate(names)}
    return json.dumps({"chart": {"error": None, "result": [{
        "meta": {"symbol": name, "gmtoffset": -18000},
        "timestamp": [bar[0] + 14 * 3600 + 1800 for bar in bars],
        "indicators": {"quote": [quote]}}]}}).encode()


def stooq(bars=BARS):
    dates = [time.strftime("%Y-%m-%d", time.gmtime(bar[0])) for bar in bars]
    lines = [",".join([date, *map(str, bar[1:])]) for date, bar in zip(dates, bars, strict=True)]
    return "\r\n".join(["Date,Open,High,Low,Close,Volume", *lines, ""]).encode()


# kind: (symbol, path that is asked for, maker of its answer)
KINDS = {
    "binance": ("BTCUSDT", "/api/v3/klines", binance),
    "coinbase": ("BTCUSD", "/products/BTC-USD/candles", coinbase),
    "kraken": ("XBTUSD", "/0/public/OHLC", kraken),
    "yahoo": ("AAPL", "/v8/finance/chart/AAPL", yahoo),
    "stooq": ("AAPL", "/q/d/l/", stooq),
}


@pytest.fixture
def collect(tmp_path):
    def run(settings, *symbols, span=SPAN, status=0, **more):
        path = tmp_path / "sources.json"
        path.write_text(json.dumps(settings))
        lines, printed = call("collect", path, *span, *symbols, status=status, **more)
        return {line["symbol"]: line for line in lines[:-1]} | {None: lines[-1]}, printed
    return run


@pytest.fixture(params=KINDS)
def kind(request, server):
    symbol, path, make = KINDS[request.param]
    settings = {"S": {"kind": request.param, "base": server.base}}
    return settings, symbol, path, make


def test_rows_arrive(collect, server, kind):
    settings, symbol, path, make = kind
    server.routes = {path: Answer(make())}
    got, _ = collect(settings, f"S:{symbol}")
    assert got[symbol]["error"] == "" and got[symbol]["rows"] == BARS
    assert len(server.seen) == 1


# name: (answers that stay, code, what is said, whether it is asked for again)
BAD = {
    "html": (lambda _: Answer(b"<html>maintenance</html>", type="text/html"), errno.EPROTO, "HTML", True),
    "malformed": (lambda body: Answer(b'{"a": [' + body[:5]), errno.EPROTO, "", True),
    "cut": (lambda body: Answer(body, cut=len(body) // 2), errno.ECONNABORTED, "", True),
    "endless": (lambda _: Answer(b"[" * 65536, endless=True), errno.EFBIG, "more than", False),
    "large": (lambda _: Answer(b"[" * (2 << 20)), errno.EFBIG, "more than", False),
    "500": (lambda _: Answer(b"oops", 500), errno.EREMOTEIO, "HTTP 500", True),
    "429": (lambda _: Answer(b"slow down", 429, headers={"Retry-After": "7"}), errno.EBUSY, "HTTP 429",
            True),
    "404": (lambda _: Answer(b"<html>none</html>", 404), errno.ENODATA, "HTTP 404", False),
    "403": (lambda _: Answer(b"", 403), errno.EACCES, "HTTP 403", False),
    "empty": (lambda _: Answer(b""), errno.EPROTO, "an empty answer", True),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_answers(collect, server, kind, bad):
    """What stays bad is told; what is good later is taken; the other symbol is served either way."""
    settings, symbol, path, make = kind
    answer, code, says, again = BAD[bad]
    server.routes = {path: answer(make())}
    with serving() as other:
        other.routes = {"/good": Answer(csv().encode())}
        settings["OTHER"] = {"kind": "csv", "url": f"{other.base}/good"}
        got, _ = collect(settings, f"S:{symbol}", "OTHER:good")
    assert got["good"]["rows"] == BARS and got[None]["code"] == 0
    assert got[symbol]["code"] == code, got[symbol]
    assert got[symbol]["rows"] == [] and says in got[symbol]["error"]
    assert got[symbol]["error"].startswith(f"{symbol} from S: ")
    assert len(server.seen) == (3 if again else 1)
    server.routes = {path: [answer(make()), Answer(make())]}
    got, _ = collect(settings | {"OTHER": settings["S"]}, f"S:{symbol}")
    assert got[symbol]["rows"] == (BARS if again else [])


def test_the_evidence_is_kept(collect, server):
    server.routes = {"/a": Answer(b'{"x": 1}')}
    got, _ = collect({"S": {"kind": "json", "url": f"{server.base}/a"}}, "S:A")
    assert got["A"]["evidence"] == '{"x": 1}'


@pytest.mark.parametrize("name, body, says", [
    ("yahoo", yahoo(name="MSFT"), "the answer is for MSFT, not for AAPL"),
    ("kraken", kraken(name="XETHZUSD"), "the answer is for XETHZUSD, not for XBTUSD"),
])
def test_the_wrong_symbol(collect, server, name, body, says):
    symbol, path, _ = KINDS[name]
    server.routes = {path: Answer(body)}
    got, _ = collect({"S": {"kind": name, "base": server.base}}, f"S:{symbol}")
    assert got[symbol]["code"] == errno.EPROTO and says in got[symbol]["error"]


def test_an_unknown_symbol_is_asked_for_once(collect, server):
    answer = Answer(b'{"code": -1121, "msg": "Invalid symbol."}', 400)
    server.routes = {"/api/v3/klines": answer}
    got, _ = collect({"S": {"kind": "binance", "base": server.base}}, "S:NONE")
    assert got["NONE"]["code"] == errno.ENODATA and "Invalid symbol" in got["NONE"]["error"]
    assert len(server.seen) == 1


def test_duplicated_and_unordered_rows_are_left_to_the_gates(collect, server):
    bars = [BARS[2], BARS[0], BARS[0], BARS[4]]
    server.routes = {"/api/v3/klines": Answer(binance(bars))}
    got, _ = collect({"S": {"kind": "binance", "base": server.base}}, "S:A")
    assert got["A"]["rows"] == bars


def test_the_day_that_is_not_over_is_dropped_and_the_future_is_not(collect, server):
    bars = BARS + [[START + 5 * DAY, 1, 1, 1, 1, 1], [START + 9 * DAY, 1, 1, 1, 1, 1]]
    server.routes = {"/api/v3/klines": Answer(binance(bars))}
    got, _ = collect({"S": {"kind": "binance", "base": server.base}}, "S:A")
    assert got["A"]["rows"] == BARS + bars[-1:]


def test_pages_are_put_together_in_order(collect, server):
    """The later pages answer first."""
    def page(request):
        first = START + int((float(request.query["start"]) - START) // DAY) * DAY
        days = [first + n * DAY for n in range(2) if first + n * DAY < START + 5 * DAY]
        return Answer(csv([bar for bar in BARS if bar[0] in days]).encode(),
                      delay=0.2 if first == START else 0)
    server.routes = {"/a": page}
    source = {"kind": "csv", "url": server.base + "/a?start={from}&end={to}", "page_days": 2}
    got, _ = collect({"S": source}, "S:A")
    assert got["A"]["rows"] == BARS and len(server.seen) == 3
    assert sorted(int(r.query["end"]) for r in server.seen)[-1] == START + 5 * DAY


def test_one_bad_page_spoils_the_symbol(collect, server):
    server.routes = {"/a": lambda r: Answer(csv().encode() if r.query["d"] == "20240101" else b"x,y\n1,2\n")}
    source = {"kind": "csv", "url": server.base + "/a?d={from_ymd}", "page_days": 3}
    got, _ = collect({"S": source}, "S:A")
    assert got["A"]["code"] == errno.EPROTO and got["A"]["rows"] == []


def test_a_redirect_to_another_host_gives_nothing(collect, server):
    with serving() as other:
        other.routes = {"/a": Answer(csv().encode())}
        server.routes = {"/a": Answer(b"", 302, headers={"Location": f"{other.base}/a"})}
        got, _ = collect({"S": {"kind": "csv", "url": f"{server.base}/a"}}, "S:A")
        assert got["A"]["code"] == errno.EXDEV and other.seen == []


def test_a_folder_of_csv_files(collect, tmp_path):
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "A.csv").write_text(csv())
    (tmp_path / "outside.csv").write_text(csv())
    settings = {"S": {"kind": "folder", "path": str(tmp_path / "prices")}}
    got, _ = collect(settings, "S:A", "S:B", "S:../outside")
    assert got["A"]["rows"] == BARS
    assert got["B"]["code"] == errno.ENODATA and "B.csv" in got["B"]["error"]
    assert got["../outside"]["code"] == errno.EINVAL


def test_a_folder_of_parquet_files(collect, tmp_path):
    """By the symbol's name or by the lakehouse's; in any row groups and column order."""
    columns = ["timestamp", "open", "high", "low", "close", "volume"]
    frame = pandas.DataFrame(BARS, columns=columns)
    frame.astype({"volume": "int64"})[columns[::-1]].to_parquet(tmp_path / "A.parquet", row_group_size=1)
    frame.to_parquet(tmp_path / "S_B_1d.parquet")
    frame.drop(columns="close").to_parquet(tmp_path / "C.parquet")
    (tmp_path / "D.parquet").write_bytes(b"PAR1")
    got, _ = collect({"S": {"kind": "folder", "path": str(tmp_path)}}, "S:A", "S:B", "S:C", "S:D")
    assert got["A"]["rows"] == got["B"]["rows"] == BARS
    assert got["C"]["code"] == got["D"]["code"] == errno.EPROTO
    assert "close" in got["C"]["error"] and "D.parquet" in got["D"]["error"]


def program(text, **more):
    return {"P": {"kind": "exec", "argv": [sys.executable, "-c", text, "{symbol}", "{from_date}"],
                  "env": ["PATH"]} | more}


def test_a_program_prints_rows(collect):
    got, _ = collect(program(f"import sys; assert sys.argv[1:] == ['A', '2024-01-01']; print({csv()!r})"),
                     "P:A")
    assert got["A"]["rows"] == BARS, got["A"]


def test_a_program_writes_rows_to_a_file(collect, tmp_path):
    text = (f"import os, sys; f = sys.argv[3] + '.new'; open(f, 'w').write({csv()!r}); "
            "os.replace(f, sys.argv[3]); print('chatter')")
    settings = program(text, output="file")
    settings["P"]["argv"].append("{output}")
    got, _ = collect(settings, "P:A", env={"TMPDIR": str(tmp_path)})
    assert got["A"]["rows"] == BARS, got["A"]
    assert [p.name for p in tmp_path.iterdir()] == ["sources.json"], "the file is gone"


def script(tmp_path, text, **more):
    """A program in a file: the braces of its text are not a template's."""
    (tmp_path / "fetcher.py").write_text(text)
    made = program("", **more)
    made["P"]["argv"][1:3] = [str(tmp_path / "fetcher.py")]
    return made


FETCHER = """
import pandas, sys
frame = pandas.DataFrame({bars!r}, columns=["Date", "Open", "High", "Low", "Close", "Volume"])
frame["Date"] = pandas.to_datetime(frame["Date"], unit="s", utc=True)
frame = frame.set_index("Date").astype({{"Volume": "int64"}}).assign(Dividends=0.0)
{change}
{to}
"""
TO_STDOUT, TO_FILE = "sys.stdout.buffer.write(frame.to_parquet())", "frame.to_parquet(sys.argv[3])"


@pytest.mark.parametrize("to, change, more", [
    (TO_STDOUT, "", {}),
    (TO_FILE, "", {}),
    (TO_FILE, "frame = frame.iloc[:, ::-1].reset_index()", {}),
    (TO_FILE, "frame.index.name = None", {}),
    (TO_FILE, "frame.index = frame.index.astype('int64') // 10**6", {}),
    (TO_FILE, "frame = frame.drop(columns='Volume').rename(columns={'Close': 'last'})",
     {"columns": {"close": "last", "volume": None}}),
], ids=["stdout", "file", "other-order", "index-without-name", "milliseconds", "other-names"])
def test_a_fetcher_with_pandas(collect, tmp_path, to, change, more):
    """What it prints or writes may be Parquet, in pandas' own shapes."""
    settings = script(tmp_path, FETCHER.format(bars=BARS, change=change, to=to), **more)
    if to == TO_FILE:
        settings["P"] |= {"output": "file", "argv": [*settings["P"]["argv"], "{output}"]}
    got, _ = collect(settings, "P:A", env={"TMPDIR": str(tmp_path)})
    wanted = [[*bar[:5], 0] if "columns" in more else bar for bar in BARS]
    assert got["A"]["error"] == "" and got["A"]["rows"] == wanted
    assert {p.name for p in tmp_path.iterdir()} == {"fetcher.py", "sources.json"}


@pytest.mark.parametrize("text, says", [
    ("import os; os.write(1, b'PAR1 and no more')", "what the program printed' cannot be read as Parquet"),
    ("import pandas, sys; sys.stdout.buffer.write(pandas.DataFrame({'timestamp': [1]}).to_parquet())",
     "there is no column open"),
    ("import pandas, sys; sys.stdout.buffer.write(pandas.DataFrame({c: ['x'] for c in "
     "('time', 'open', 'high', 'low', 'close', 'vol')}).to_parquet())", "its type is text"),
])
def test_parquet_that_is_none(collect, tmp_path, text, says):
    """It is evidence."""
    got, _ = collect(script(tmp_path, text), "P:A")
    assert got["A"]["code"] == errno.EPROTO and says in got["A"]["error"], got["A"]["error"]
    assert got["A"]["evidence"].startswith("PAR1")


@pytest.mark.parametrize("text, says", [
    ("import sys; sys.exit('x' * 1000 + ' no such symbol')", r"exit code 1; it says: x+ no such symbol$"),
    ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ("pass", "an empty answer"),
    ("print('<html>')", "HTML instead of CSV"),
    ("print('timestamp,open,high,low,close,volume'); print('1,2')", "line 2: 2 fields"),
    ("while True: print('x' * 65536)", "more than"),
])
def test_programs_that_fail(collect, text, says):
    got, _ = collect(program(text), "P:A")
    assert got["A"]["code"] != 0 and got["A"]["rows"] == []
    assert re.search(says, got["A"]["error"]), got["A"]["error"]
    assert len(got["A"]["error"]) < 500, "only the tail is shown"


def test_a_program_that_is_not_there(collect):
    got, _ = collect({"P": {"kind": "exec", "argv": ["/nonexistent/program"]}}, "P:A")
    assert got["A"]["code"] == errno.ENOENT and "/nonexistent/program" in got["A"]["error"]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().split()[2] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("stays", [True, False], ids=["deadline", "left-behind"])
def test_nothing_of_a_programs_group_survives(collect, tmp_path, stays):
    """Neither at its deadline, nor when it ends and leaves a child with its pipes open."""
    text = ("import os, subprocess, time; "
            f"p = subprocess.Popen(['sleep', '100']); open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); "
            f"print({csv()!r}, flush=True); " + ("time.sleep(100)" if stays else "os._exit(0)"))
    begun = time.monotonic()
    got, _ = collect(program(text, deadline="1s" if stays else "20s"), "P:A")
    assert time.monotonic() - begun < 15
    if stays:
        assert got["A"]["code"] == errno.ETIMEDOUT and "within 1 s" in got["A"]["error"]
    else:
        assert got["A"]["rows"] == BARS
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    if alive(pid):
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the child lived on")


KEY = "planted+key/0123456789"


def test_a_programs_environment(collect):
    """What is named goes through, a key too; nothing else does; and no error shows the key."""
    text = ("import os, sys; assert 'UNNAMED' not in os.environ and os.environ['NAMED'] == 'n'; "
            "sys.exit('key ' + os.environ['TOKEN'])")
    settings = program(text, env=["PATH", "NAMED", "TOKEN={token}"],
                       keys={"token": {"env": "PLANTED"}})
    got, printed = collect(settings, "P:A", env={"PLANTED": KEY, "NAMED": "n", "UNNAMED": "u"})
    assert got["A"]["error"].endswith("it says: key ***")
    assert KEY not in printed and "planted" not in printed


def test_keys_do_not_go_into_arguments(collect):
    settings = program("pass", keys={"token": {"env": "PLANTED"}})
    settings["P"]["argv"].append("{token}")
    got, printed = collect(settings, "P:A", env={"PLANTED": KEY})
    assert got["A"]["code"] == errno.EINVAL and "nothing is known as {token}" in got["A"]["error"]
    assert "planted" not in printed


def test_a_key_from_a_file(collect, server, tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    server.routes = {"/a": Answer(b"invalid token " + KEY.encode())}
    source = {"kind": "csv", "url": server.base + "/a?k={token}", "headers": ["X-Key: {token}"],
              "keys": {"token": {"file": str(key)}}}
    got, printed = collect({"S": source}, "S:A")
    assert server.seen[0].query["k"] == KEY and server.seen[0].headers["X-Key"] == KEY
    assert got["A"]["error"] == "A from S: the source says: invalid token ***"
    assert got["A"]["evidence"] == "invalid token ***"
    assert "planted" not in printed
    key.chmod(0o640)
    got, printed = collect({"S": source}, "S:A", status=1)
    assert got[None]["code"] == errno.EACCES and "chmod 600" in got[None]["error"]
    assert "planted" not in printed
