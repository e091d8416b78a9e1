"""`tvfs flow`: one draft, one commit; what interrupts it publishes nothing, and the next call goes on."""

import json
import os
import signal
import subprocess
import time

import pytest

from ingest_support import BIN, SOURCE, clean_environment
from market import Market
from price_server import Answer
from test_ingest import Project, candidates, spike

STOCKS = ["NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOG"]
MADE = ["features_matrix.parquet", "returns_matrix.parquet", "features/tv_technicals_1d.parquet"]


class Flows(Project):
    """A project, and calls of its flows."""

    def flow(self, *words, status=0, **more):
        return json.loads(self.tvfs("flow", "--json", *words, status=status, **more).stdout)

    def data(self, *words, status=0):
        return self.flow("data", *words, status=status)

    def log(self, rev="main"):
        """The commits of a revision, newest first; none where it does not exist."""
        done = subprocess.run([BIN / "tvfs", "log", "--json", rev], cwd=self.path, capture_output=True, text=True,
                              check=False)
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []

    def drafts(self):
        return [b["name"] for b in json.loads(self.tvfs("branch", "--json").stdout)["branches"]
                if b["kind"] == "draft"]

    def meta(self, rev="main"):
        return json.loads(self.tvfs("show", "--json", rev).stdout)["meta"]

    def start(self, *words, **more):
        """A flow that goes on beside the test, in a process group of its own."""
        return subprocess.Popen([BIN / "tvfs", "flow", *map(str, words)], cwd=self.path, text=True,
                                env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                start_new_session=True, **more)

    def fsck(self):
        self.tvfs("fsck", "--read-data")


@pytest.fixture
def market(server, lake):
    return Market(server, lake, rows=60)


@pytest.fixture
def project(market, tmp_path):
    return Flows(tmp_path, market.settings(), False)


@pytest.fixture
def started():
    """Flows that end with the test, whatever it does."""
    all_of_them = []
    yield all_of_them.append
    for flow in all_of_them:
        if flow.poll() is None:
            os.killpg(flow.pid, signal.SIGKILL)
        flow.communicate()


def steps_of(name):
    done = subprocess.run([BIN / "tvfs", "flow", "--json"], capture_output=True, check=True)
    return next(f["steps"] for f in json.loads(done.stdout)["flows"] if f["flow"] == name)


def outcomes(done):
    return {step["step"]: step["outcome"] for step in done["steps"]}


def wait_for_step(flow, name):
    """Reads its messages until it begins a step."""
    for line in flow.stderr:
        if line.startswith("[") and line.rstrip().endswith(f"] {name}"):
            return
    raise AssertionError(f"it never came to {name}")


def end(flow, *how):
    os.kill(flow.pid, *how)
    flow.said = flow.communicate(timeout=60)[1]
    return flow.returncode


def assert_published(project, symbols):
    """Live folder and main agree, and everything that is made from the bars is there."""
    assert project.tvfs("status", "--json") and json.loads(project.tvfs("status", "--json").stdout)
    files = set(project.tvfs("ls", "-R", "main").stdout.split())
    for name in [*MADE, "catalog.json", *(f"{s.replace(':', '_')}_1d.parquet" for s in symbols)]:
        assert name in files and (project.lake / name).exists(), name
    assert sorted(project.json("catalog.json")) == sorted(symbols)


# --- what is published ------------------------------------------------------------------------------


def test_the_steps():
    assert steps_of("data") == ["ingest", "repair check", "features", "matrix", "validate"]
    assert steps_of("repair") == ["repair", "features", "matrix", "validate"]
    assert steps_of("production") == ["validate", "select"]
    assert steps_of("audit") == ["audit"]


def test_one_commit(project):
    done = project.data(candidates(project, *STOCKS), "--trace-id", "the-trace", "-m", "daily")
    assert set(outcomes(done).values()) == {"done"} and list(outcomes(done)) == steps_of("data")
    assert done["published"] and not done["unchanged"] and not done["resumed"] and "draft" not in done
    assert all(step["exit"] == 0 and step["seconds"] > 0 for step in done["steps"])
    assert done["steps"][0]["report"]["fetched"] == 3
    (commit,) = project.log()
    assert commit["commit"] == done["commit"] and commit["foundation_hash"] == done["foundation_hash"]
    assert commit["trace_id"] == done["trace_id"] == "the-trace" and commit["message"] == "daily"
    meta = project.meta()
    assert meta["flow"] == "data" and [s["step"] for s in meta["steps"]] == steps_of("data")
    (report,) = [r for r in meta["reports"] if r.get("kind") == "ingest"]
    assert report["fetched"] == 3
    assert not project.drafts()
    assert_published(project, STOCKS)
    project.fsck()

    again = project.data(candidates(project, *STOCKS), "--trace-id", "the-trace", "-m", "daily")
    assert again["published"] and again["unchanged"] and len(project.log()) == 1 and not project.drafts()
    more = project.data(candidates(project, *STOCKS, "BINANCE:BTCUSDT"))
    assert not more["unchanged"] and [c["commit"] for c in project.log()] == [more["commit"], done["commit"]]
    assert_published(project, [*STOCKS, "BINANCE:BTCUSDT"])


def test_text(project):
    done = project.tvfs("flow", "data", *STOCKS)
    assert [line.split("] ")[1] for line in done.stderr.splitlines() if line.startswith("[")] == steps_of("data")
    assert "3 fetched" in done.stdout and f"on {'main'}" in done.stdout and "foundation" in done.stdout
    assert not [line for line in project.tvfs("flow", "data", "-q", *STOCKS).stderr.splitlines() if line]


def test_one_bad_symbol_does_not_stop_the_others(project, market):
    market.defect["AAPL"] = spike
    done = project.data(*STOCKS, status=13)
    assert done["published"] and outcomes(done)["ingest"] == "partial" and done["steps"][0]["exit"] == 13
    assert "quarantined" in done["error"]["message"] and "published" in done["error"]["message"]
    assert_published(project, STOCKS[1:])
    market.defect["AAPL"] = Answer(b"oops", 500)
    done = project.data(*STOCKS, status=15)
    assert done["published"] and done["unchanged"] and done["error"]["exit"] == 15


def test_a_step_that_refuses_stops_it(project, market):
    """Nothing could be fetched, so there is nothing to make features of."""
    for name in ("AAPL", "MSFT", "GOOG"):
        market.defect[name] = Answer(b"oops", 500)
    done = project.data(*STOCKS, status=15)
    stopped = next(s for s in done["steps"] if s["outcome"] == "refused")
    after = done["steps"][done["steps"].index(stopped) + 1:]
    assert {s["outcome"] for s in after} == {"not reached"} and not done["published"]
    assert "nothing is published" in done["error"]["message"] and stopped["step"] in done["error"]["message"]
    assert not project.log() and not list(project.lake.iterdir())
    assert project.drafts() == [done["draft"]], "it stays, to be looked at"
    market.defect.clear()
    again = project.tvfs("flow", "--json", "data", *STOCKS)
    assert "thrown away: a step refused" in again.stderr
    assert json.loads(again.stdout)["published"] and not project.drafts()


def test_onto_another_ref(project):
    project.data("NASDAQ:AAPL")
    before = project.log()
    done = project.data("NASDAQ:MSFT", "--onto", "draft/next")
    assert done["ref"] == "draft/next" and project.log() == before
    assert project.drafts() == ["draft/next"]
    assert not (project.lake / "NASDAQ_MSFT_1d.parquet").exists()
    assert "NASDAQ_AAPL_1d.parquet" in project.tvfs("ls", "draft/next").stdout, "it began where main stood"
    assert project.log("draft/next")[0]["commit"] == done["commit"]


def test_every_command_takes_a_draft(project):
    """What they make is on the draft; main stands, and the live folder follows main."""
    project.tvfs("ingest", "NASDAQ:AAPL")
    before, live = project.log(), project.state()
    for words in (["ingest", "NASDAQ:MSFT"], ["features"], ["matrix"]):
        project.tvfs(*words, "--onto", "draft/today")
    files = project.tvfs("ls", "-R", "draft/today").stdout.split()
    assert {"NASDAQ_AAPL_1d.parquet", "NASDAQ_MSFT_1d.parquet", *MADE} <= set(files)
    assert project.log() == before and project.state() == live
    assert [c["message"] for c in project.log("draft/today")] == ["returns matrix", "features", "ingest", "ingest"]


# --- interrupted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_ingest(project, market, started, how):
    """The step ends with the flow; the next call asks only for what is missing."""
    market.defect["GOOG"] = Answer(b"{}", delay=60)
    flow = project.start("data", *STOCKS)
    started(flow)
    spool = project.path / ".tvfs" / "spool"
    until = time.monotonic() + 30
    while not spool.exists() or len(list(spool.glob("*.parquet"))) < 2:
        assert time.monotonic() < until and flow.poll() is None
        time.sleep(0.02)
    assert end(flow, how) == (-9 if how == signal.SIGKILL else 130)
    assert how == signal.SIGKILL or "the same words go on with 'ingest'" in flow.said
    assert not project.log() and len(project.drafts()) == 1
    market.defect.clear()
    market.server.seen.clear()
    done = project.data(*STOCKS)
    assert done["resumed"] and done["published"] and outcomes(done)["ingest"] == "done"
    assert market.server.paths() == ["/v8/finance/chart/GOOG"]
    assert len(project.log()) == 1 and not project.drafts()
    assert_published(project, STOCKS)
    project.fsck()


@pytest.mark.parametrize("step", ["features", "matrix"])
def test_killed_in_a_later_step(project, market, started, step):
    """What was done is not done again, and the trace id stays."""
    project.data("BINANCE:BTCUSDT")
    before = project.log()
    flow = project.start("data", *STOCKS)
    started(flow)
    wait_for_step(flow, step)
    draft = project.drafts()
    assert end(flow, signal.SIGKILL) == -9
    assert project.log() == before and project.drafts() == draft
    market.server.seen.clear()
    done = project.data(*STOCKS)
    names = steps_of("data")
    for name, outcome in outcomes(done).items():
        assert outcome == ("earlier" if names.index(name) < names.index(step) else "done")
    assert done["resumed"] and not market.server.seen
    commit = project.log()[0]
    assert commit["trace_id"] == done["trace_id"]
    assert [r["fetched"] for r in project.meta()["reports"] if r.get("kind") == "ingest"] == [3]
    assert len(project.log()) == 2 and not project.drafts()


def killed_after_ingest(project, started, *words):
    flow = project.start("data", *words)
    started(flow)
    wait_for_step(flow, "features")
    end(flow, signal.SIGKILL)


def test_when_a_draft_is_not_gone_on_with(project, market, started):
    """Other words, another list, --restart, or a main that has left it."""
    list_of_them = candidates(project, *STOCKS[:2])

    def begun_anew(why, *words):
        done = project.tvfs("flow", "--json", "data", *words)
        assert f"thrown away: {why}" in done.stderr, done.stderr
        doc = json.loads(done.stdout)
        assert doc["published"] and not doc["resumed"] and not project.drafts()

    killed_after_ingest(project, started, list_of_them)
    begun_anew("the words", list_of_them, "--align", "outer")
    killed_after_ingest(project, started, list_of_them)
    begun_anew("the words", candidates(project, *STOCKS))
    killed_after_ingest(project, started, list_of_them)
    begun_anew("as --restart", "--restart", list_of_them)
    killed_after_ingest(project, started, list_of_them)
    project.tvfs("ingest", "BINANCE:BTCUSDT")
    begun_anew("others have published", list_of_them)
    killed_after_ingest(project, started, list_of_them)
    (project.lake / "notes.txt").write_text("of no step")
    project.tvfs("commit", "-m", "notes")
    done = project.data(list_of_them)
    assert done["resumed"] and done["published"], "what no step reads is merged"
    assert "notes.txt" in project.tvfs("ls", "main").stdout
    project.fsck()


def test_main_moves_while_it_works(project, market):
    """Matrices of a main that is no longer there are not published."""
    other = iter([True])

    def publish_another(rows):
        if next(other, False):
            project.tvfs("ingest", "BINANCE:BTCUSDT")
        return rows

    market.defect["GOOG"] = publish_another
    done = project.tvfs("flow", "--json", "data", *STOCKS)
    assert "beginning anew" in done.stderr
    assert [c["message"] for c in project.log()] == ["flow data", "ingest"]
    assert_published(project, [*STOCKS, "BINANCE:BTCUSDT"])
    import pandas
    assert sorted(pandas.read_parquet(project.lake / "returns_matrix.parquet").columns) == sorted(
        [*STOCKS, "BINANCE:BTCUSDT"])


def test_main_moves_again_and_again(project, market):
    """Then it gives up, and says so."""
    def publish_another(rows):
        evidence = project.lake / "quarantine" / "NYSE_X.body"
        evidence.parent.mkdir(exist_ok=True)
        evidence.write_text(str(len(market.server.seen)))
        project.tvfs("commit", "-m", "another", evidence)
        return rows

    market.defect["GOOG"] = publish_another
    done = project.data("NASDAQ:GOOG", status=12)
    assert not done["published"] and "quarantine/NYSE_X.body" in done["error"]["message"]
    assert len(project.log()) == 4 and {c["message"] for c in project.log()} == {"another"}


def test_two_at_once(project, market, started):
    market.defect["GOOG"] = Answer(b"{}", delay=60)
    flow = project.start("data", *STOCKS)
    started(flow)
    wait_for_step(flow, "ingest")
    done = project.data(*STOCKS, status=11)
    assert "another 'tvfs flow data' is at work" in done["error"]["message"]
    end(flow, signal.SIGTERM)


def test_somebody_else_changed_the_draft(project, market, started):
    """What no step has seen is not published."""
    killed_after_ingest(project, started, *STOCKS)
    (draft,) = project.drafts()
    (project.path / "other").mkdir()
    (project.lake / "NASDAQ_BAD_1d.parquet").write_bytes(b"PAR1 nothing of worth PAR1")
    project.tvfs("commit", "--force", "--ref", draft, "-m", "smuggled")
    done = project.data(*STOCKS, status=13)
    assert not done["published"] and not project.log(), "features reads it"


# --- places and words -------------------------------------------------------------------------------


def test_a_plain_folder(market, tmp_path):
    """Without a store each step works in place; a call that was interrupted is repeated."""
    project = Flows(tmp_path, market.settings(), True)
    done = project.flow("data", "--folder", project.lake, *STOCKS)
    assert set(outcomes(done).values()) == {"done"} and "published" not in done and done["folder"]
    assert all((project.lake / name).exists() for name in MADE)
    market.defect["AAPL"] = spike
    done = project.flow("data", "--folder", project.lake, "--fresh", "0", *STOCKS, status=13)
    assert outcomes(done)["ingest"] == "partial" and outcomes(done)["matrix"] == "done"
    assert "done, but not all symbols" in done["error"]["message"]


def test_in_a_run(project):
    """The run is the transaction: the flow works on its view, and the run publishes."""
    if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
        pytest.skip("machine cannot: mount as this user")
    project.tvfs("ingest", "BINANCE:BTCUSDT")
    done = project.tvfs("run", "--profile", "data", "--publish", "main", "--", BIN / "tvfs", "flow", "data", *STOCKS)
    assert "working on the view of run" in done.stderr
    assert len(project.log()) == 2 and not project.drafts()
    files = project.tvfs("ls", "-R", "main").stdout.split()
    assert all(name in files for name in MADE) and not [f for f in files if f.startswith(".tvfs")], files
    project.tvfs("run", "--profile", "data", "--", BIN / "tvfs", "flow", "data", "--onto", "draft/x", "NASDAQ:FB",
                 status=2)


def test_words_that_are_off(project):
    for words in (["nothing"], ["data"], ["repair", "x.json"], ["audit", "x.json"],
                  ["data", "--folder", "x", "--onto", "y", "NASDAQ:AAPL"], ["--makefile", "data"]):
        project.tvfs("flow", *words, status=2)
    project.tvfs("flow", "data", "--fresh", "soon", "NASDAQ:AAPL", status=2)
    assert not project.log()


# --- make -------------------------------------------------------------------------------------------

MAKEFILE = """include $(shell $(TVFS) flow --makefile)
all:
\t@echo of the project
test: all
"""


def make(project, *words, status=0):
    done = subprocess.run(["make", "-s", f"TVFS={BIN / 'tvfs'}", *words], cwd=project.path, capture_output=True,
                          text=True, env=clean_environment(), timeout=120, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def test_make(project, market):
    (project.path / "Makefile").write_text(MAKEFILE)
    assert make(project).stdout == "of the project\n"
    assert make(project, "test").stdout == "of the project\n"
    names = candidates(project, *STOCKS)
    make(project, "flow-data", f"CANDIDATES={names}", "TVFS_FLAGS=--align outer -m made")
    assert [c["message"] for c in project.log()] == ["made"]
    assert_published(project, STOCKS)
    assert "takes lists of candidates" in make(project, "flow-data", status=2).stderr
    (project.path / "flow-data").write_text("a file of that name is no target")
    assert "nothing changed" in make(project, "flow-data", f"CANDIDATES={names}", "TVFS_FLAGS=--align outer").stdout


def test_make_every_target(project):
    """What each target starts."""
    (project.path / "Makefile").write_text(MAKEFILE)
    for target, words in (("flow-data", "flow data"), ("flow-production", "flow production"),
                          ("data-repair", "flow repair"), ("data-audit", "flow audit")):
        said = make(project, "-n", target, "TVFS_FLAGS=-q").stdout
        assert said.strip().startswith(f"{BIN / 'tvfs'} {words} -q"), said


def test_makefile_is_installed(tmp_path):
    subprocess.run(["cmake", "--install", BIN.parent / "dev", "--prefix", tmp_path], check=True,
                   stdout=subprocess.DEVNULL)
    told = subprocess.run([tmp_path / "bin" / "tvfs", "flow", "--makefile"], capture_output=True, text=True,
                          check=True).stdout.strip()
    assert os.path.samefile(told, tmp_path / "share" / "tvfs" / "tvfs.mk")
    assert open(told).read() == (SOURCE / "tools" / "tvfs.mk").read_text()
    (pc,) = tmp_path.glob("lib/**/tvfs.pc")
    told = subprocess.run(["pkg-config", "--variable=makefile", pc], capture_output=True, text=True, check=True)
    assert os.path.samefile(told.stdout.strip(), tmp_path / "share" / "tvfs" / "tvfs.mk")


# --- flows that only look ---------------------------------------------------------------------------


def test_production(project, market):
    names = candidates(project, *STOCKS)
    project.flow("production", status=1)  # there is nothing yet
    project.tvfs("ingest", names)
    refused = project.flow("production", names, status=15)
    assert outcomes(refused) == {"validate": "refused", "select": "not reached"}, "there are no matrices yet"
    project.data(names)
    done = project.flow("production")
    assert outcomes(done) == {"validate": "done", "select": "left out"} and "published" not in done
    run = project.path / "run"
    run.mkdir()
    env = {"TV_RUN_DIR": str(run)}
    assert outcomes(project.flow("production", names, env=env)) == {"validate": "done", "select": "done"}
    assert sorted(p.name for p in (run / "data").glob("*.parquet")) == sorted(
        f"{s.replace(':', '_')}_1d.parquet" for s in STOCKS)


def test_repair(project, market):
    bars = market.bars["AAPL"]
    market.bars["AAPL"] = bars[:20] + bars[35:]
    project.data(*STOCKS)
    market.bars["AAPL"] = bars
    before = project.log()
    done = project.flow("repair")
    assert done["published"] and not done["unchanged"] and len(project.log()) == len(before) + 1
    assert len(project.frame("NASDAQ:AAPL")) == 60
    assert project.flow("repair")["unchanged"]


def test_audit(project):
    project.data(*STOCKS)
    before = project.log()
    project.flow("audit")
    (page,) = (project.path / "artifacts" / "summaries").glob("audit-*.html")
    assert "No findings" in page.read_text()
    assert project.log() == before
