"""`tvfs audit` of real prices: a clean lakehouse, and one with a defect of each kind planted by pandas."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_support import BIN, clean_environment
from market import COLUMNS, DAY, Market
from price_server import serving


def run(path, *words, status=0, **more):
    done = subprocess.run([BIN / "tvfs", *map(str, words)], capture_output=True, text=True, cwd=path, timeout=120,
                          env=clean_environment(), check=False, **more)
    assert done.returncode == status, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


def audit(path, *words, status=0, **more):
    return json.loads(run(path, "audit", "--json", *words, status=status, **more).stdout)


def kinds(doc):
    """What was found: {symbol: kinds}."""
    found = {}
    for f in doc["findings"]:
        found.setdefault(f.get("symbol", f["file"]), set()).add(f["kind"])
    return found


def finding(doc, symbol, kind):
    return next(f for f in doc["findings"] if f.get("symbol") == symbol and f["kind"] == kind)


# --- what is planted: rows -> rows, or what to write ------------------------------------------------

def scaled(frame, first, end, factor):
    frame.loc[frame.index[first:end], ["open", "high", "low", "close"]] *= factor
    return frame


def toxic(frame):
    return scaled(frame, -30, -29, 1571)


def restated(frame):
    return scaled(frame, 100, 103, 1.013)


def split(frame):
    return scaled(frame, 0, -20, 0.5)


def rounded(frame):
    """Within the tolerance: no finding, but the catalog knows other bytes."""
    return scaled(frame, 100, 103, 1.0001)


def stepped(frame, steps):
    """Prices whose last closes go these steps, in logarithms."""
    n = len(steps)
    close = frame["close"].iloc[-n - 1] * np.exp(np.cumsum(steps))
    last = frame.index[-n:]
    factor = close / frame.loc[last, "close"].to_numpy()
    frame.loc[last, ["open", "high", "low", "close"]] = frame.loc[last, ["open", "high", "low", "close"]].mul(
        factor, axis=0)
    return frame


def wild(frame):
    returns = np.log(frame["close"]).diff().to_numpy()[-60:]
    return stepped(frame, np.clip((returns - returns.mean()) * 15, -0.8, 0.8))


def interpolated(frame):
    return stepped(frame, np.full(60, 0.001) + np.arange(60) * 1e-9)


def float32(frame):
    return frame.astype({"volume": "float32"})


def weekend(frame):
    friday = next(i for i, t in enumerate(frame["timestamp"]) if time.gmtime(t).tm_wday == 4 and i > 5)
    extra = frame.iloc[[friday]].assign(timestamp=frame["timestamp"].iloc[friday] + DAY, volume=7.0)
    return pd.concat([frame.iloc[:friday + 1], extra, frame.iloc[friday + 1:]])


def with_nulls(frame):
    frame.loc[frame.index[5], "volume"] = None
    return frame


HOSTILE = "<script>alert('x')</script>&amp;\"\u202e"

# symbol: (what is planted, kinds that are found, a word of the reasons)
DEFECTS = {
    "TOXIC": (toxic, {"toxicity", "restatement", "catalog"}, "and back"),
    "RESTATED": (restated, {"restatement", "catalog"}, "rows changed: 3, gone: 0; "),
    "SPLIT": (split, {"restatement", "catalog"}, "rows changed: 280"),
    "ROUNDED": (rounded, {"catalog"}, "sha256"),
    "HEADLESS": (lambda f: f.iloc[50:], {"shrunk", "catalog"}, "start_date"),
    "HOLEY": (lambda f: f.drop(f.index[[50, 60]]), {"shrunk", "catalog"}, "rows is 300, the file has 298"),
    "WEEKEND": (weekend, {"session", "catalog"}, ""),
    "FLOAT32": (float32, {"schema", "catalog"}, "column 'volume': its type is float, wanted is double"),
    "LACKING": (lambda f: f.drop(columns="volume"), {"schema"}, "volume"),
    "EXTRA": (lambda f: f.assign(**{HOSTILE: 1.0}), {"schema"}, "no such column"),
    "NULLS": (with_nulls, {"schema"}, "volume"),
    "DISORDER": (lambda f: f.iloc[[1, 0, *range(2, 300)]], {"order", "catalog"}, ""),
    "NEGATIVE": (lambda f: f.assign(low=-1.0), {"values", "restatement", "catalog"}, "low is -1"),
    "EMPTY": (lambda f: f.iloc[:0], {"empty", "catalog"}, ""),
    "TEXT": (lambda f: b"timestamp,open\n", {"unreadable"}, "cannot be read as Parquet"),
    "GONE": (lambda f: None, {"shrunk"}, "gone"),
    "WILD": (wild, {"distribution", "catalog"}, "times; distance"),
    "SMOOTH": (interpolated, {"distribution", "catalog"}, "times; distance"),
    "STALE": (lambda f: f.iloc[:-15], {"stale", "shrunk", "catalog"}, "sessions are missing since"),
    "CAUGHT": (toxic, set(), ""),  # is quarantined already
    "FINE": (lambda f: f, set(), ""),
}
FIRST = {"WILD": 240, "SMOOTH": 240}  # rows that are there before


def file_of(symbol):
    return f"{symbol.replace(':', '_')}_1d.parquet"


def plant(path, what):
    frame = pd.read_parquet(path)
    new = what(frame)
    if new is None:
        path.unlink()
    elif isinstance(new, bytes):
        path.write_bytes(new)
    else:
        new.to_parquet(path, index=False, row_group_size=97)


def age(path, symbol, days):
    """The catalog says that it was fetched so long ago."""
    catalog = json.loads(path.read_text())
    then = time.gmtime(time.time() - days * DAY)
    catalog[symbol]["freshness"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", then)
    path.write_text(json.dumps(catalog))


class Drifted:
    """A store with three foundations: ingested; ingested again, with one symbol refused; and one with every defect
    planted by pandas. Folders hold the last two."""

    def __init__(self, path, lake):
        self.path, self.lake = path, path / "data" / "lakehouse"
        self.lake.mkdir(parents=True)
        self.symbols = [f"NASDAQ:{name}" for name in DEFECTS] + ["BINANCE:BTCUSDT"]
        with serving() as server:
            market = Market(server, lake)
            run(path, "init")
            file = path / "tvfs.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | market.settings()))
            whole = market.bars["AAPL"]
            for name in DEFECTS:
                market.bars[name] = whole[:FIRST.get(name, 299)]
                server.routes[f"/v8/finance/chart/{name}"] = market.chart
            run(path, "ingest", *self.symbols)
            self.first = self.commit()
            for name in DEFECTS:
                market.bars[name] = whole if name not in FIRST else whole[:240]
            market.defect["CAUGHT"] = lambda rows: [*rows[:-1], [rows[-1][0], *(1570 * v for v in rows[-1][1:5]), 1.0]]
            run(path, "ingest", "--fresh", "0", *self.symbols, status=13)
        self.clean = self.commit()
        shutil.copytree(self.lake, path / "clean")
        self.plant(whole)
        run(path, "commit", "--force", "-m", "by hand")
        self.bad = self.commit()
        shutil.copytree(self.lake, path / "bad")

    def commit(self):
        return json.loads(run(self.path, "show", "--json").stdout)["commit"]

    def plant(self, whole):
        for name, (what, _, _) in DEFECTS.items():
            path = self.lake / file_of(f"NASDAQ:{name}")
            if name in FIRST:
                pd.DataFrame(whole, columns=COLUMNS).astype({"timestamp": "int64"}).to_parquet(path, index=False)
            if name != "FINE":
                plant(path, what)
        age(self.lake / "catalog.json", "NASDAQ:STALE", 30)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory, lake):
    return Drifted(tmp_path_factory.mktemp("audit"), lake)


@pytest.fixture(scope="module")
def report(drifted):
    return audit(drifted.path, "--html", "audit.html", status=13)


def test_clean_prices_have_no_findings(drifted):
    n = len(drifted.symbols)
    doc = audit(drifted.path, drifted.first)
    assert doc["assets"] == n and doc["findings"] == [] and doc["against"] is None and "error" not in doc
    doc = audit(drifted.path, drifted.clean)
    assert doc["findings"] == [] and doc["counts"] == {}
    assert doc["commit"] == drifted.clean and doc["against"]["commit"] == drifted.first
    assert doc["compared"] == n - 4 and doc["same"] == 4, "WILD, SMOOTH, CAUGHT and BTCUSDT had nothing new"
    assert audit(drifted.path, drifted.clean, "--against", drifted.clean)["same"] == n
    said = run(drifted.path, "audit", drifted.clean).stdout
    assert "0 with findings, 1 quarantined" in said and drifted.clean[:12] not in said


def test_what_is_quarantined_is_no_new_finding(drifted, report):
    for doc in (audit(drifted.path, drifted.clean), report):
        assert [q["symbol"] for q in doc["quarantined"]] == ["NASDAQ:CAUGHT"]
        assert "toxicity" in doc["quarantined"][0]["reason"]
    assert {f["kind"] for f in report["quarantined"][0]["findings"]} == {"toxicity", "restatement", "catalog"}


@pytest.mark.parametrize("name", DEFECTS)
def test_planted(report, name):
    _, wanted, word = DEFECTS[name]
    symbol = f"NASDAQ:{name}"
    assert kinds(report).get(symbol, set()) == wanted
    reasons = [f["reason"] for f in report["findings"] if f["symbol"] == symbol]
    assert not wanted or any(word in reason for reason in reasons), reasons


def test_the_report(drifted, report):
    assert report["error"]["exit"] == 13 and report["commit"] == drifted.bad
    assert set(kinds(report)) == {f"NASDAQ:{name}" for name, (_, wanted, _) in DEFECTS.items() if wanted}
    counts = {}
    for f in report["findings"]:
        counts[f["kind"]] = counts.get(f["kind"], 0) + 1
    assert report["counts"] == counts
    files = [f["file"] for f in report["findings"]]
    assert files == sorted(files)
    told = finding(report, "NASDAQ:RESTATED", "restatement")
    assert told["times"] == 3 and len(told["told"]) == 3 and "prices by at most 1.3 %" in told["reason"]
    assert "split of 2 to 1" in finding(report, "NASDAQ:SPLIT", "restatement")["told"][0]
    assert "begins on" in finding(report, "NASDAQ:HEADLESS", "shrunk")["reason"]
    assert "fetched last on" in finding(report, "NASDAQ:STALE", "stale")["reason"]


def test_the_table(drifted, report):
    done = run(drifted.path, "audit", status=13)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines if line[0] != "quarantined"] == [
        kind for kind, n in report["counts"].items() for _ in range(n)], "grouped by kind"
    assert f"{len(kinds(report))} with findings, 1 quarantined before" in done.stdout
    assert "have findings" in done.stderr and report["against"]["foundation_hash"] in done.stdout


def test_folders_give_the_same(drifted, report):
    """Without a store; and against nothing only what shows in itself."""
    doc = audit(drifted.path, "--folder", "bad", "--against", "clean", status=13)
    assert doc["findings"] == report["findings"] and doc["quarantined"] == report["quarantined"]
    assert doc["folder"] == "bad" and "commit" not in doc
    alone = kinds(audit(drifted.path, "--folder", "bad", status=13))
    assert alone["NASDAQ:TOXIC"] == {"toxicity", "catalog"} and alone["NASDAQ:WILD"] == {"distribution", "catalog"}
    assert alone["NASDAQ:GONE"] == {"catalog"}, "the catalog still has it"
    assert audit(drifted.path, "--folder", "clean")["findings"] == []


def test_nothing_is_written(drifted):
    def state():
        return {p: p.stat().st_mtime_ns for p in (drifted.path / "bad").rglob("*")}

    before = state()
    audit(drifted.path, "--folder", "bad", status=13)
    run(drifted.path, "audit", status=13)
    assert state() == before and drifted.commit() == drifted.bad


def test_many_threads_give_one_result(drifted, tmp_path):
    """More than 300 assets, with one processor and with all."""
    for folder in ("bad", "clean"):
        (tmp_path / folder).mkdir()
        for i in range(16):
            for name in DEFECTS:
                source = drifted.path / folder / file_of(f"NASDAQ:{name}")
                if source.exists():
                    os.link(source, tmp_path / folder / file_of(f"NASDAQ:{name}{i:02}"))
    words = ["--folder", "bad", "--against", "clean"]
    one = audit(tmp_path, *words, status=13, preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
    several = audit(tmp_path, *words, status=13)
    assert one["assets"] == 320 and one["compared"] > 150 and len(one["findings"]) > 300
    for doc in (one, several):
        del doc["when"], doc["seconds"]
    assert one == several


# --- tables ------------------------------------------------------------------------------------------

def test_tables_that_are_not_what_they_should_be(drifted, tmp_path):
    """They are findings, and the assets are judged all the same."""
    lake = tmp_path / "lake"
    shutil.copytree(drifted.path / "clean", lake)
    (lake / "catalog.json").write_text('{"NASDAQ:FINE": {"freshness": "2026-01-01"')
    pq.write_table(pa.table({"symbol": ["NASDAQ:FINE"], "active": ["yes"]}), lake / "symbols.parquet")
    plant(lake / file_of("NASDAQ:FINE"), toxic)
    doc = audit(tmp_path, "--folder", "lake", status=13)
    # when the files were fetched nobody knows
    assert kinds(doc) == {"catalog.json": {"schema"}, "symbols.parquet": {"schema"}, "NASDAQ:FINE": {"toxicity"},
                          "NASDAQ:WILD": {"stale"}, "NASDAQ:SMOOTH": {"stale"}}


def test_the_catalog_and_the_files(drifted, tmp_path):
    """What only one of them has; an asset that is no longer traded does not get stale."""
    lake = tmp_path / "lake"
    shutil.copytree(drifted.path / "clean", lake)
    shutil.copy(lake / file_of("NASDAQ:FINE"), lake / file_of("NASDAQ:NEW"))
    (lake / file_of("NASDAQ:GONE")).unlink()
    for name in ("WILD", "SMOOTH"):  # 60 rows are missing
        age(lake / "catalog.json", f"NASDAQ:{name}", 30)
    symbols = pd.read_parquet(lake / "symbols.parquet")
    symbols.loc[symbols["symbol"] == "NASDAQ:SMOOTH", "active"] = False
    symbols.to_parquet(lake / "symbols.parquet", index=False)
    doc = audit(tmp_path, "--folder", "lake", status=13)
    assert kinds(doc) == {"NASDAQ:NEW": {"catalog"}, "NASDAQ:GONE": {"catalog"}, "NASDAQ:WILD": {"stale"}}
    assert doc["recorded"]["stale"] == 1


# --- the page ----------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """Fails where a tag is not closed, or something is fetched or run."""

    EMPTY = {"meta", "br"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.cells = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            assert key not in ("src", "href", "style", "srcset", "action") and not key.startswith("on"), (tag, key)
            assert key == "content" or "url(" not in (value or ""), value
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "bdi" in self.open:
            self.cells.append(data)
        self.text.append(data)


def test_the_page(drifted, report):
    text = (drifted.path / "audit.html").read_text()
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and "http://" not in text and "https://" not in text
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in text and "default-src 'none'" in text and "prefers-color-scheme:dark" in text
    words = set(page.cells)
    for f in report["findings"]:
        assert {f["symbol"], f["reason"]} <= words
    assert {report["commit"], report["foundation_hash"], report["against"]["commit"], report["when"]} <= words
    assert report["quarantined"][0]["reason"] in words
    assert page.tags.count("rect") == len(report["counts"]) and page.tags.count("circle") >= 5
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<bdi>.*?</bdi>", "", text))
    assert any(HOSTILE in cell for cell in page.cells), "as text"


def test_hostile_names_and_reasons(drifted, tmp_path):
    """Names of files, and what tables say, are text."""
    lake = tmp_path / "lake"
    lake.mkdir()
    bad = "<img src=x onerror=alert(1)>&\"'"
    (lake / f"NASDAQ_{bad}_1d.parquet").write_bytes(b"no")
    with open(os.fsencode(lake) + b"/NASDAQ_\xff\x1b[31m_1d.parquet", "wb") as file:
        file.write(b"no")
    health = {"NASDAQ:Q": {"status": "quarantined", "last_audit": "2026-01-19T12:00:00Z",
                           "reason": f"</bdi></td>{bad}\u2028\x01<b>"}}
    (lake / "foundation_health.json").write_text(json.dumps(health))
    done = run(tmp_path, "audit", "--folder", "lake", "--html", "page.html", status=13)
    assert "\x1b" not in done.stdout
    page = Page((tmp_path / "page.html").read_text())
    assert f"NASDAQ:{bad}" in page.cells and "NASDAQ:\ufffd\ufffd[31m" in page.cells
    assert f"</bdi></td>{bad}\u2028\ufffd<b>" in page.cells and "b" not in page.tags
    clean = tmp_path / "none"
    clean.mkdir()
    run(tmp_path, "audit", "--folder", "none", "--html", "page.html")
    assert "No findings." in (tmp_path / "page.html").read_text(), "replaced"


def test_words_that_are_wrong(drifted, tmp_path):
    assert "revision" in run(drifted.path, "audit", "--folder", "bad", "main", status=2).stderr
    run(drifted.path, "audit", "nosuch", status=1)
    run(drifted.path, "audit", "--against", "nosuch", status=1)
    run(drifted.path, "audit", "--folder", "nosuch", status=1)
    run(tmp_path, "audit", status=10)
    before = (drifted.path / "audit.html").read_bytes() if (drifted.path / "audit.html").exists() else None
    run(drifted.path, "audit", drifted.clean, "--html", "no/such/page.html", status=1)
    assert before is None or (drifted.path / "audit.html").read_bytes() == before
    assert [p for p in drifted.path.iterdir() if ".tmp" in p.name] == []
