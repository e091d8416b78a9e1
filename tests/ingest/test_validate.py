"""`tvfs validate` on a lakehouse that ingest, features and matrix made of real prices: good as it is, and each
rule broken once."""

import hashlib
import json
import os
import time

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from market import COLUMNS, Market
from price_server import serving
from test_ingest import STOCKS, Project

APPLE = "NASDAQ:AAPL"


@pytest.fixture(scope="module")
def published(tmp_path_factory, lake):
    """The files of a good lakehouse, whose bars end a week ago, so that it may be as old as that."""
    with serving() as server:
        market = Market(server, lake)
        for rows in market.bars.values():
            rows[:] = [row for row in rows if row[0] < time.time() - 7 * 86400]
        made = Project(tmp_path_factory.mktemp("good"), market.settings(), folder=True)
        where = ["--folder", made.lake]
        made.ingest(*STOCKS, "BINANCE:BTCUSDT")
        made.tvfs("features", *where, "--last", "20")
        made.tvfs("matrix", *where)
        return made.state()


class Lake(Project):
    """A good lakehouse in a store or a folder, and judgements of it."""

    def __init__(self, path, files, folder):
        super().__init__(path, {}, folder)
        for name, content in files.items():
            target = self.lake / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        self.commit()

    def commit(self):
        if not self.folder:
            self.tvfs("commit", "--force", "-m", "x")

    def validate(self, *words, status=0, commit=True):
        if commit:
            self.commit()
        where = ["--folder", self.lake] if self.folder else []
        doc = json.loads(self.tvfs("validate", "--json", *where, *words, status=status).stdout)
        assert doc["good"] == (status == 0)
        assert doc["findings"] == sorted(doc["findings"], key=lambda f: f["subject"])
        assert doc["failing"] == len({f["subject"] for f in doc["findings"]})
        return doc

    def change_json(self, name, change):
        doc = self.json(name)
        change(doc)
        (self.lake / name).write_text(json.dumps(doc))

    def bars(self, symbol, change, told=True):
        """Changes the rows, or the frame; the catalog is told of the new bytes."""
        path = self.lake / f"{symbol.replace(':', '_')}_1d.parquet"
        frame = pandas.read_parquet(path)
        frame = change(frame)
        frame.to_parquet(path, index=False)
        if told:
            self.tell(symbol)

    def tell(self, symbol):
        path = self.lake / f"{symbol.replace(':', '_')}_1d.parquet"
        frame = pandas.read_parquet(path)
        days = pandas.to_datetime(frame["timestamp"], unit="s")
        self.change_json("catalog.json", lambda doc: doc[symbol].update(
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(), rows=len(frame),
            start_date=str(days.iloc[0].date()), end_date=str(days.iloc[-1].date())))


@pytest.fixture(params=["store", "folder"])
def good(request, published, tmp_path):
    return Lake(tmp_path, published, request.param == "folder")


@pytest.fixture
def stored(published, tmp_path):
    return Lake(tmp_path, published, folder=False)


def put(frame, row, column, value):
    frame.loc[frame.index[row], column] = value
    return frame


def hours_ago(n):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - n * 3600))


def remove(lake, name):
    (lake.lake / name).unlink()


def rewrite(lake, name, change):
    path = lake.lake / name
    change(pandas.read_parquet(path)).to_parquet(path, index="returns" in name)


def age(lake, hours):
    lake.change_json("catalog.json", lambda doc: [e.update(freshness=hours_ago(hours)) for e in doc.values()])


def quarantine(lake, symbol):
    lake.change_json("foundation_health.json", lambda doc: doc[symbol].update(status="quarantined", reason="spike"))


def no_good_version(lake):
    """Quarantined from the first day, and somebody put it into the matrix all the same."""
    remove(lake, "NASDAQ_AAPL_1d.parquet")
    lake.change_json("catalog.json", lambda doc: doc.pop(APPLE))
    quarantine(lake, APPLE)


def other_bytes(lake):
    """Quarantined, and the file is not the one that the catalog vouches for."""
    quarantine(lake, APPLE)
    lake.bars(APPLE, lambda f: f.iloc[:-1], told=False)


def as_integers(lake):
    lake.bars(APPLE, lambda f: f.assign(volume=f["volume"].astype("int64")))


def future_row(lake):
    lake.bars(APPLE, lambda f: put(f, -1, "timestamp", (int(time.time()) // 86400 + 30) * 86400))


# name: (what breaks it, subject, check, words of the reason, exit)
RULES = {
    "no returns": (lambda l: remove(l, "returns_matrix.parquet"), "returns_matrix.parquet", "missing", "not there", 15),
    "no features": (lambda l: remove(l, "features_matrix.parquet"), "features_matrix.parquet", "missing", "", 15),
    "no catalog": (lambda l: remove(l, "catalog.json"), "catalog.json", "missing", "", 15),
    "old": (lambda l: age(l, 30), "catalog.json", "stale", "30.0 h ago, over the allowed 24.0 h", 15),
    "features behind": (lambda l: rewrite(l, "features_matrix.parquet",
                                          lambda f: f[f["timestamp"] < f["timestamp"].max()]),
                        "features_matrix.parquet", "stale", "make it again", 15),
    "returns behind": (lambda l: rewrite(l, "returns_matrix.parquet", lambda f: f.iloc[:-20]),
                       "returns_matrix.parquet", "stale", "make it again", 15),
    "no sector": (lambda l: rewrite(l, "features_matrix.parquet", lambda f: f.drop(columns="sector")),
                  "features_matrix.parquet", "schema", "column 'sector': there is no such column", 13),
    "symbols as numbers": (lambda l: rewrite(l, "features_matrix.parquet", lambda f: f.assign(symbol=1.5)),
                           "features_matrix.parquet", "schema", "column 'symbol'", 13),
    "returns as text": (lambda l: rewrite(l, "returns_matrix.parquet", lambda f: f.assign(X="a")),
                        "returns_matrix.parquet", "schema", "column 'X': its type is text", 13),
    "a row twice": (lambda l: rewrite(l, "features_matrix.parquet", lambda f: pandas.concat([f, f.iloc[[5]]])),
                    "features_matrix.parquet", "schema", "an earlier row has the same key", 13),
    "a row twice, by day": (lambda l: rewrite(l, "features_matrix.parquet", lambda f: pandas.concat(
        [f, f.iloc[[5]]]).sort_values(["timestamp", "symbol"])), "features_matrix.parquet", "schema", "same key", 13),
    "types of bars": (as_integers, APPLE, "schema", "column 'volume': its type is int64", 13),
    "one more column": (lambda l: l.bars(APPLE, lambda f: f.assign(adjusted=1.0)), APPLE, "schema", "adjusted", 13),
    "no value": (lambda l: l.bars(APPLE, lambda f: put(f, 5, "close", None)), APPLE, "schema", "row 5", 13),
    "not Parquet": (lambda l: (l.lake / "NASDAQ_AAPL_1d.parquet").write_bytes(b"PAR1 no PAR1"),
                    APPLE, "schema", "cannot be read as Parquet: DuckDB: ", 13),
    "not JSON": (lambda l: (l.lake / "catalog.json").write_text("{"), "catalog.json", "schema", "", 13),
    "no entry": (lambda l: l.change_json("catalog.json", lambda doc: doc.pop(APPLE)),
                 APPLE, "catalog", "no entry", 13),
    "no file": (lambda l: remove(l, "NASDAQ_AAPL_1d.parquet"), APPLE, "catalog", "no file of bars", 13),
    "another file": (lambda l: l.bars(APPLE, lambda f: f.iloc[:-1], told=False), APPLE, "catalog", "sha256", 13),
    "rows": (lambda l: l.change_json("catalog.json", lambda doc: doc[APPLE].update(rows=7)),
             APPLE, "catalog", "its rows are 7, the file's are 29", 13),
    "first day": (lambda l: l.change_json("catalog.json", lambda doc: doc[APPLE].update(start_date="2001-01-01")),
                  APPLE, "catalog", "start_date is 2001-01-01", 13),
    "last day": (lambda l: l.change_json("catalog.json", lambda doc: doc[APPLE].update(end_date="2001-01-01")),
                 APPLE, "catalog", "end_date is 2001-01-01", 13),
    "never fetched": (lambda l: l.change_json("catalog.json", lambda doc: doc[APPLE].update(freshness="?")),
                      APPLE, "catalog", "when it was fetched", 13),
    "fetched tomorrow": (lambda l: l.change_json("catalog.json", lambda doc: doc[APPLE].update(freshness=hours_ago(-24))),
                         APPLE, "catalog", "in the future", 13),
    "no good version": (no_good_version, APPLE, "quarantine", "returns_matrix.parquet has it", 13),
    "not vouched for": (other_bytes, APPLE, "quarantine", "does not vouch", 13),
    "spike": (lambda l: l.bars(APPLE, lambda f: put(f, 9, ["open", "high", "low", "close"], 1e7)),
              APPLE, "bars", "toxicity: ", 13),
    "negative": (lambda l: l.bars(APPLE, lambda f: put(f, 9, "low", -1.0)), APPLE, "bars", "values: ", 13),
    "high below low": (lambda l: l.bars(APPLE, lambda f: put(f, 9, "high", 1e-3)), APPLE, "bars", "ohlc: ", 13),
    "at noon": (lambda l: l.bars(APPLE, lambda f: f.assign(timestamp=f["timestamp"] + 43200)),
                APPLE, "bars", "day: ", 13),
    "on a Sunday": (lambda l: l.bars(APPLE, lambda f: f.assign(timestamp=f["timestamp"] + 2 * 86400)),
                    APPLE, "bars", "session: ", 13),
    "padded": (lambda l: l.bars(APPLE, lambda f: pandas.concat(
        [f.iloc[:100], f.iloc[[100] * 9].assign(timestamp=f["timestamp"].iloc[100:109].to_list(), volume=0.0,
                                                open=1, high=1, low=1, close=1.0).astype(f.dtypes), f.iloc[109:]])),
        APPLE, "bars", "padding: ", 13),
    "unordered": (lambda l: l.bars(APPLE, lambda f: f.iloc[[1, 0, *range(2, len(f))]]), APPLE, "schema",
                  "its key is not greater", 13),
    "future": (future_row, APPLE, "bars", "future: ", 13),
}


# In a folder one of each check, and what is read in another way there.
FOLDERS = ["no returns", "old", "no sector", "not Parquet", "no file", "another file", "not vouched for", "spike"]


@pytest.mark.parametrize("name,folder", [(n, False) for n in RULES] + [(n, True) for n in FOLDERS])
def test_each_rule(published, tmp_path, name, folder):
    good = Lake(tmp_path, published, folder)
    change, subject, check, words, code = RULES[name]
    change(good)
    doc = good.validate(status=code)
    found = [f for f in doc["findings"] if (f["subject"], f["check"]) == (subject, check)]
    assert found and any(words in f["reason"] for f in found) and found[0]["exit"] == code, doc
    assert doc["error"]["exit"] == code and "/proc/" not in json.dumps(doc)
    if not good.folder:  # the same again, of verdicts that are known
        again = good.validate(status=code, commit=False)
        assert again["findings"] == doc["findings"] and again["judged"] == 0


def test_good(good):
    doc = good.validate()
    assert not doc["findings"] and doc["assets"] == 4 and doc["profile"] == "production" and doc["max_age"] == 86400
    assert doc["judged"] == 10 and doc["known"] == 0
    age(good, 100)
    assert good.validate("--profile", "development")["old"] == 0
    quarantine(good, APPLE)
    doc = good.validate("--profile", "development")
    assert doc["quarantined"] == 1, "the version before stands"


def test_all_of_it_is_told(good):
    """Every asset with its reasons; what is bad counts more than what is old."""
    age(good, 30)
    good.bars(APPLE, lambda f: put(f, 9, "low", -1.0))
    good.change_json("catalog.json", lambda doc: doc["NASDAQ:GOOG"].update(rows=1, end_date="2001-01-01"))
    remove(good, "returns_matrix.parquet")
    doc = good.validate(status=13)
    told = {(f["subject"], f["check"], f["exit"]) for f in doc["findings"]}
    assert told == {(APPLE, "bars", 13), ("NASDAQ:GOOG", "catalog", 13), ("catalog.json", "stale", 15),
                    ("returns_matrix.parquet", "missing", 15)}, doc
    assert len([f for f in doc["findings"] if f["subject"] == "NASDAQ:GOOG"]) == 2
    text = good.tvfs("validate", *(["--folder", good.lake] if good.folder else []), status=13)
    assert "NASDAQ:AAPL  bars: values: " in text.stdout and "findings" in text.stderr


def test_what_is_known_is_not_read_again(stored):
    assert stored.validate()["judged"] == 10
    doc = stored.validate(commit=False)
    assert doc["judged"] == 0 and doc["known"] == 10
    stored.bars("NASDAQ:MSFT", lambda f: f.iloc[1:])
    doc = stored.validate()
    assert doc["judged"] == 2 and doc["known"] == 8, "one file of bars and the catalog"

    stored.configure({"gates": {"toxic_return": 4.0}})
    assert stored.validate(commit=False)["judged"] == 4, "another rule for all bars"
    stored.configure({"gates": {"exchanges": {"BINANCE": {"gap_sessions": 9}}}})
    assert stored.validate(commit=False)["judged"] == 4, "the first rules again, and one exchange's"
    stored.configure({"gates": {"exchanges": {"BINANCE": {"gap_sessions": 8}}}})
    assert stored.validate(commit=False)["judged"] == 1, "one exchange's rule"

    frame = pandas.read_parquet(stored.lake / "exchanges.parquet")
    frame.loc[frame["exchange"] == "BINANCE", "is_crypto"] = False
    frame.loc[frame["exchange"] == "BINANCE", "updated_at"] += pandas.Timedelta(seconds=1)
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False),
                                stored.lake / "exchanges.parquet", coerce_timestamps="us")
    doc = stored.validate(status=13)
    assert doc["judged"] == 2 and {f["subject"] for f in doc["findings"]} == {"BINANCE:BTCUSDT"}, doc


def test_verdicts_go_with_their_blobs(stored):
    stored.validate()
    stored.bars(APPLE, lambda f: f.iloc[1:])
    stored.validate()
    stored.tvfs("forget", "--commits", "--keep-last", "1", "--delete")
    stored.tvfs("gc", "--delete")
    assert stored.validate(commit=False)["judged"] == 0
    stored.tvfs("fsck", "--read-data")


def test_of_any_revision(stored):
    """What a revision holds is judged, not the live folder."""
    old = stored.validate()
    remove(stored, "returns_matrix.parquet")
    stored.validate(status=15)
    doc = stored.validate("main~1", commit=False)
    assert doc["foundation_hash"] == old["foundation_hash"]
    (stored.lake / "catalog.json").write_text("{")
    assert stored.validate(old["foundation_hash"][:12], commit=False)["good"]
    stored.tvfs("validate", "nowhere", status=1)
    stored.tvfs("validate", "--folder", stored.lake, "main", status=2)
    stored.tvfs("validate", "--profile", "nobody", status=1)


def test_settings(stored):
    """A profile's age, and the files that it asks for."""
    profile = {"max_age": "2h", "gates": [{"file": "symbols.parquet", "max_age": "1h"},
                                          {"file": "execution.parquet"}]}
    stored.configure({"profiles": {"careful": profile}, "default_profile": "careful"})
    age(stored, 3)
    path = stored.lake / "symbols.parquet"
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    doc = stored.validate(status=15)
    assert [(f["subject"], f["check"]) for f in doc["findings"]] == [
        ("catalog.json", "stale"), ("execution.parquet", "missing"), ("symbols.parquet", "stale")], doc
    assert doc["old"] == 4
    assert stored.validate("--profile", "production", commit=False)["good"]
    stored.configure({"profiles": {"careful": {"max_age": 3}}})
    assert "max_age" in stored.tvfs("validate", status=1).stderr


def test_a_blob_that_is_gone(stored):
    """A known verdict does not hide that the bytes are not there."""
    stored.validate()
    digest = hashlib.sha256((stored.lake / "NASDAQ_AAPL_1d.parquet").read_bytes()).hexdigest()
    blob = next(p for p in (stored.path / ".tvfs" / "blobs").rglob("*")
                if p.is_file() and hashlib.sha256(p.read_bytes()).hexdigest() == digest)
    kept = blob.read_bytes()
    blob.unlink()
    assert "NASDAQ_AAPL" in stored.tvfs("validate", status=14).stderr
    blob.write_bytes(kept[:-1])
    assert "cut short" in stored.tvfs("validate", status=14).stderr
    blob.write_bytes(kept)
    assert stored.validate(commit=False)["good"]


@pytest.mark.parametrize("keys", [["timestamp", "symbol"], ["recommend_all"]])
def test_a_matrix_in_another_order(stored, keys):
    """By days, or anyhow: only that no row is twice counts."""
    rewrite(stored, "features_matrix.parquet", lambda f: f.sort_values(keys))
    assert stored.validate()["good"]


def test_columns_in_another_layout(good):
    """Other people's Parquet: more row groups, another order of columns."""
    path = good.lake / "NASDAQ_AAPL_1d.parquet"
    table = pyarrow.parquet.read_table(path).select(COLUMNS[::-1])
    pyarrow.parquet.write_table(table, path, row_group_size=17)
    good.tell(APPLE)
    assert good.validate()["good"]
