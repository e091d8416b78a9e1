"""`tvfs select`: a run's own copy of what its candidates need, all of it or nothing, and no network."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

import pandas
import pytest

from ingest_support import BIN, clean_environment
from market import Market
from price_server import serving
from test_ingest import STOCKS, Project

LIST = "selected_assets.json"
FILES = [f"{s.replace(':', '_')}_1d.parquet" for s in STOCKS]


@pytest.fixture(scope="module")
def made(tmp_path_factory, lake):
    """A store with real prices that were ingested just now."""
    with serving() as server:
        project = Project(tmp_path_factory.mktemp("project"), Market(server, lake).settings(), folder=False)
        project.ingest(*STOCKS, "BINANCE:BTCUSDT")
        return project


class Selector:
    """A project and the directory of a run that is not tvfs's."""

    def __init__(self, project, path):
        self.project, self.path, self.run = project, path, path / "run"
        self.data = self.run / "data"
        self.run.mkdir()

    def candidates(self, *symbols, name="candidates.json"):
        path = self.path / name
        path.write_text(json.dumps([{"symbol": s} for s in symbols]))
        return path

    def words(self, *words):
        return [BIN / "tvfs", "select", "--json", "--run-dir", self.run, *words]

    def __call__(self, *words, status=0, env=None):
        done = subprocess.run(list(map(str, self.words(*words))), capture_output=True, text=True,
                              cwd=self.project.path, env=clean_environment() | (env or {}), timeout=120,
                              check=False)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def there(self):
        """What the folder holds, to the byte, and which files these are."""
        return {p.name: (p.read_bytes(), p.stat().st_ino, p.stat().st_mtime_ns) for p in self.data.iterdir()}

    def check(self, symbols):
        """The list is true, and names all there is."""
        doc = json.loads((self.data / LIST).read_text())
        assert [a["symbol"] for a in doc["assets"]] == sorted(symbols)
        assert {p.name for p in self.data.iterdir()} == {LIST, *(a["file"] for a in doc["assets"])}
        for asset in doc["assets"]:
            path, original = self.data / asset["file"], self.project.lake / asset["file"]
            assert path.read_bytes() == original.read_bytes()
            assert hashlib.sha256(path.read_bytes()).hexdigest() == asset["sha256"]
            assert asset["size"] == path.stat().st_size and asset["rows"] == len(pandas.read_parquet(path))
            assert path.stat().st_mtime_ns == original.stat().st_mtime_ns
        return doc


@pytest.fixture
def select(made, tmp_path):
    return Selector(made, tmp_path)


def test_selects_and_does_it_once(select):
    names = select.candidates(*STOCKS)
    done = select("--candidates", names)
    assert done["selected"] == done["copied"] == 3 and not done["unchanged"]
    doc = select.check(STOCKS)
    assert doc["foundation_hash"] == done["foundation_hash"]
    before = select.there()
    again = select("--candidates", names)
    assert again["unchanged"] and not again["copied"] and select.there() == before


def test_shapes_of_lists(select):
    """A scanner's export, a list of texts, a folder of lists; several at once."""
    export = select.path / "export"
    export.mkdir()
    (export / "a.json").write_text(json.dumps({"meta": {}, "data": [{"symbol": STOCKS[0]}]}))
    (export / "b.json").write_text(json.dumps([STOCKS[1]]))
    select("--candidates", export, "--candidates", select.candidates(STOCKS[2]))
    select.check(STOCKS)


def test_another_selection_takes_the_place(select):
    """Only what is selected stays; what somebody changed is theirs, and what is damaged is made again."""
    select("--candidates", select.candidates(*STOCKS))
    (select.data / FILES[0]).write_bytes(b"damaged")
    (select.data / FILES[2]).write_bytes(b"mine now")
    (select.data / "notes.txt").write_text("mine")
    done = select("--candidates", select.candidates(*STOCKS[:2]))
    assert done["copied"] == 1
    assert (select.data / FILES[2]).read_bytes() == b"mine now"
    (select.data / FILES[2]).unlink()
    (select.data / "notes.txt").unlink()
    select.check(STOCKS[:2])
    select("--candidates", select.candidates(STOCKS[0]))
    select.check(STOCKS[:1])


MISSING = {
    "unknown": (["NASDAQ:NONE"], [], "NASDAQ:NONE", "not there"),
    "not a symbol": (["AAPL"], [], "", "AAPL"),
    "stale": ([], ["--fresh", "1s"], "NASDAQ:AAPL", "stale: it was fetched"),
}


@pytest.mark.parametrize("name", MISSING)
def test_nothing_when_something_is_missing(select, name):
    more, words, symbol, reason = MISSING[name]
    select("--candidates", select.candidates(STOCKS[0]))
    before = select.there()
    if name == "stale":
        entry = select.project.json("catalog.json")["NASDAQ:AAPL"]["freshness"]
        fetched = pandas.Timestamp(entry).timestamp()
        while time.time() < fetched + 3:
            time.sleep(0.1)
    doc = select("--candidates", select.candidates(*STOCKS, *more), *words, status=15)
    told = {(f["symbol"], f["reason"]) for f in doc["missing"]}
    assert any(s == symbol and reason in why for s, why in told), told
    assert len(told) == (3 if name == "stale" else 1) and select.there() == before


def test_all_that_is_missing_is_told(select):
    symbols = [f"NASDAQ:X{i}" for i in range(300)]
    doc = select("--candidates", select.candidates(*STOCKS, *symbols), status=15)
    assert [f["symbol"] for f in doc["missing"]] == sorted(symbols)
    assert not select.data.exists() or not list(select.data.iterdir())
    done = subprocess.run([w for w in map(str, select.words("--candidates", select.path / "candidates.json"))
                           if w != "--json"], capture_output=True, text=True, cwd=select.project.path, check=False)
    assert done.returncode == 15 and done.stderr.count("is not there") >= 200 and "and 100 more" in done.stderr


def test_a_catalog_that_is_not_the_files(made, tmp_path):
    """The catalog speaks of other bytes, or is not there, or is broken."""
    project = Project(tmp_path / "p", {}, folder=False)
    shutil.copytree(made.lake, project.lake, dirs_exist_ok=True)
    select = Selector(project, tmp_path)
    names = select.candidates(*STOCKS)
    catalog = project.json("catalog.json")
    catalog["NASDAQ:AAPL"]["sha256"] = "0" * 64
    del catalog["NASDAQ:GOOG"]
    (project.lake / "catalog.json").write_text(json.dumps(catalog))
    project.tvfs("commit", "-m", "x")
    doc = select("--candidates", names, status=15)
    assert [f["symbol"] for f in doc["missing"]] == ["NASDAQ:AAPL", "NASDAQ:GOOG"]
    (project.lake / "catalog.json").unlink()
    project.tvfs("commit", "-m", "x")
    assert "catalog" in select("--candidates", names, status=15)["error"]["message"]
    (project.lake / "catalog.json").write_text("[]")
    project.tvfs("commit", "-m", "x")
    select("--candidates", names, status=13)
    select("--candidates", names, "main~2", status=15)


def test_words_that_are_off(select):
    names = select.candidates(*STOCKS)
    subprocess.run([BIN / "tvfs", "select", "--candidates", names], cwd=select.project.path, check=False)
    assert select.project.tvfs("select", "--candidates", names, status=2)
    assert select.project.tvfs("select", "--run-dir", select.run, status=2)
    select("--candidates", select.path / "none.json", status=1)
    select("--candidates", select.candidates(), status=1)
    select("--candidates", names, "nowhere", status=1)
    select("--candidates", names, "--fresh", "soon", status=2)


def test_one_at_a_time(select):
    names = select.candidates(*STOCKS)
    select.data.mkdir()
    held = os.open(select.data, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    select("--candidates", names, status=11)
    os.close(held)
    select("--candidates", names)
    select.check(STOCKS)


def test_bytes_that_are_not_the_foundations(made, tmp_path):
    """A damaged blob is not given to anybody."""
    project = Project(tmp_path / "p", {}, folder=False)
    shutil.copytree(made.lake, project.lake, dirs_exist_ok=True)
    project.tvfs("commit", "-m", "x")
    select = Selector(project, tmp_path)
    want = (project.lake / FILES[0]).read_bytes()
    blob = next(p for p in (project.path / ".tvfs" / "blobs").rglob("*") if p.is_file() and p.read_bytes() == want)
    blob.chmod(0o600)
    blob.write_bytes(want[:-9] + b"x" + want[-8:])
    select("--candidates", select.candidates(*STOCKS[::-1]), status=14)
    assert not list(select.data.iterdir())


TRACED = "renameat2,renameat,openat,mkdirat,unlinkat,write,ioctl,copy_file_range,syncfs,fsync,utimensat"


def calls_of(select, names, tmp_path):
    """How often each call is made after the selection began to write."""
    log = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-o", log, "-e", f"trace={TRACED}", *map(str, select.words(
        "--candidates", names))], cwd=select.project.path, env=clean_environment(), capture_output=True, check=False)
    if done.returncode != 0 and "ptrace" in done.stderr.decode():
        pytest.skip("machine cannot: trace a process")
    assert done.returncode == 0, done.stderr
    counts, seen = {}, False
    first = {}
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if not match:
            continue
        counts[match[1]] = counts.get(match[1], 0) + 1
        if not seen and ".tvfs-select" in line:
            seen, first = True, dict(counts)
    return {call: (first.get(call, 1), n) for call, n in counts.items()}


@pytest.mark.skipif(not shutil.which("strace"), reason="machine cannot: there is no strace")
@pytest.mark.parametrize("how", ["error", "signal"])
def test_failing_at_every_call(select, tmp_path, how):
    """An error leaves everything as it was; a kill leaves no list, the old one or the new one, which is true."""
    old, names = select.candidates(STOCKS[0], "BINANCE:BTCUSDT", name="old.json"), select.candidates(*STOCKS)
    select("--candidates", old)
    (select.data / FILES[1]).write_bytes(b"of somebody")
    kept = select.path / "kept"
    shutil.copytree(select.data, kept)
    contents = {p.name: p.read_bytes() for p in kept.iterdir()}
    counts = calls_of(select, names, tmp_path)
    select.check(STOCKS)
    assert counts["renameat2"][1] == 3
    tried = 0
    for call, (first, last) in counts.items():
        for n in range(first, last + 1):
            shutil.rmtree(select.data)
            shutil.copytree(kept, select.data)
            what = "error=ENOSPC" if how == "error" else "signal=KILL"
            done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                   f"inject={call}:{what}:when={n}",
                                   *map(str, select.words("--candidates", names))], cwd=select.project.path,
                                  env=clean_environment(), capture_output=True, check=False)
            tried += 1
            there = {p.name: p.read_bytes() for p in select.data.iterdir() if p.name != ".tvfs-select"}
            if how == "error" and done.returncode != 0 and (call, n) != ("write", last):  # its own report
                assert there == contents, (call, n, done.stdout)
            listed = json.loads(there[LIST])["assets"] if LIST in there else []
            for asset in listed:
                assert hashlib.sha256(there[asset["file"]]).hexdigest() == asset["sha256"], (call, n)
            assert [a["symbol"] for a in listed] in ([], sorted(STOCKS), ["BINANCE:BTCUSDT", STOCKS[0]])
    assert tried > 20
    select("--candidates", names)
    select.check(STOCKS)


@pytest.mark.skipif(not shutil.which("strace"), reason="machine cannot: there is no strace")
def test_no_network(select, tmp_path):
    """No call of the network is made, and none could be: the filter is there before a list is read."""
    log = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-o", log, "-e", "trace=%network,io_uring_setup,seccomp,openat",
                           *map(str, select.words("--candidates", select.candidates(*STOCKS)))],
                          cwd=select.project.path, env=clean_environment(), capture_output=True, check=False)
    if done.returncode != 0 and b"ptrace" in done.stderr:
        pytest.skip("machine cannot: trace a process")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    calls = [re.match(r"\d+ +(\w+)\(", line) for line in lines]
    assert {m[1] for m in calls if m} <= {"openat", "seccomp"}
    filtered = next(i for i, line in enumerate(lines) if "SECCOMP_SET_MODE_FILTER" in line and line.endswith("= 0"))
    opened = next(i for i, line in enumerate(lines) if "candidates.json" in line and "openat" in line)
    store = next(i for i, line in enumerate(lines) if "data.mdb" in line)
    assert filtered < min(opened, store)


@pytest.mark.skipif(not shutil.which("strace"), reason="machine cannot: there is no strace")
def test_without_a_filter_it_does_not_go_on(select):
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=seccomp", "-e",
                           "inject=seccomp:error=EINVAL", *map(str, select.words(
                               "--candidates", select.candidates(*STOCKS)))],
                          cwd=select.project.path, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0 and "ptrace" in done.stderr:
        pytest.skip("machine cannot: trace a process")
    assert done.returncode == 1 and "network" in done.stderr and not select.data.exists()


def test_the_shared_list_in_strict_isolation(made, select):
    """Refused under all its names; a list of the run's own is fine."""
    shared = made.lake / "portfolio_candidates.json"
    shared.write_text(json.dumps([{"symbol": s, "atom_id": s} for s in STOCKS]))
    link, hard, own = (select.path / name for name in ("link.json", "hard.json", "own.json"))
    link.symlink_to(shared)
    os.link(shared, hard)
    shutil.copy(shared, own)
    strict = {"TV_STRICT_ISOLATION": "1"}
    for path in (shared, link, hard, made.lake):
        doc = select("--candidates", path, env=strict, status=1)
        assert doc["error"]["code"] == errno.errorcode[errno.EACCES] and "strictly isolated" in doc["error"]["message"]
    shared.unlink()
    doc = select("--candidates", shared, env=strict, status=1)
    assert "has not written its own" in doc["error"]["message"]
    select("--candidates", own, env=strict)
    select.check(STOCKS)


def test_a_run_keeps_to_its_foundation(made, select):
    """What its record says goes before what the ref has become."""
    doc = select("--candidates", select.candidates(STOCKS[0]))
    (select.run / "config").mkdir()
    head = json.loads(made.tvfs("show", "--json").stdout)
    record = {"commit": head["commit"], "foundation_hash": head["foundation_hash"]}
    (select.run / "config" / "run.json").write_text(json.dumps(record))
    (made.lake / "extra.json").write_text("{}")
    made.tvfs("commit", "-m", "later")
    try:
        assert select("--candidates", select.candidates(STOCKS[0]))["foundation_hash"] == doc["foundation_hash"]
        assert "another foundation" in select("--candidates", select.candidates(STOCKS[0]), "main",
                                              status=1)["error"]["message"]
        select("--candidates", select.candidates(STOCKS[0]), doc["foundation_hash"][:12])
    finally:
        (made.lake / "extra.json").unlink()
        made.tvfs("commit", "-m", "as before")


def in_a_run(project, script, *words, status=0):
    """A shell script inside a run; what it printed, and the run's data folder."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("machine cannot: no /dev/fuse")
    run_id = f"select-{time.monotonic_ns()}"
    done = subprocess.run([BIN / "tvfs", "run", "--run-id", run_id, *words, "--", "sh", "-ec", script],
                          cwd=project.path, env=clean_environment() | {"TVFS": str(BIN / "tvfs")},
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 125 and "mount" in done.stderr:
        pytest.skip("machine cannot: " + done.stderr.splitlines()[-1])
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done, project.path / "artifacts" / "summaries" / "runs" / run_id / "data"


def test_inside_of_a_run(made):
    """Through the view: the store is hidden there. The list is the run's own, in its routed place."""
    done, data = in_a_run(made, f"""
        echo '{json.dumps(STOCKS)}' >"$CANDIDATES_SELECTED"
        "$TVFS" select --json --candidates "$TV_LAKEHOUSE_DIR/portfolio_candidates.json"
        "$TVFS" select --json --candidates "$CANDIDATES_SELECTED" "$TV_FOUNDATION_HASH"
        """)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["copied"] == 3 and second["unchanged"]
    for name in FILES:
        assert (data / name).read_bytes() == (made.lake / name).read_bytes()
    listed = json.loads((data / LIST).read_text())
    assert listed["foundation_hash"] == first["foundation_hash"] and len(listed["assets"]) == 3
    assert not (data / ".tvfs-select").exists()


def test_what_a_run_changed_is_not_its_foundation(made):
    done, data = in_a_run(made, f"""
        echo '{json.dumps(STOCKS)}' >c-run.json
        cp "$TV_LAKEHOUSE_DIR/{FILES[1]}" "$TV_LAKEHOUSE_DIR/{FILES[0]}"
        "$TVFS" select --json --candidates c-run.json || echo "exit $?"
        "$TVFS" select --json --candidates c-run.json main || echo "exit $?"
        "$TVFS" select --json --candidates "$TV_LAKEHOUSE_DIR/portfolio_candidates.json" || echo "exit $?"
        echo '{{}}' >"$TV_LAKEHOUSE_DIR/catalog.json"
        "$TVFS" select --json --candidates c-run.json || echo "exit $?"
        rm c-run.json
        """)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("exit")] == ["exit 15", "exit 1", "exit 1", "exit 15"]
    docs = [json.loads(line) for line in lines if not line.startswith("exit")]
    assert [f["symbol"] for f in docs[0]["missing"]] == STOCKS[:1]
    assert "written by this run" in docs[0]["missing"][0]["reason"]
    assert "only its own" in docs[1]["error"]["message"]
    assert "has not written its own" in docs[2]["error"]["message"]
    assert "catalog" in docs[3]["error"]["message"]
    assert not list(data.glob("*.parquet"))
