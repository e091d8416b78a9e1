"""Kills `tvfs ingest` and `tvfs flow data`, and every step of it, in front of calls that write, and makes such
calls fail. Afterwards fsck finds no damage, the published foundation is the old or the new one, no live file
is torn, and the same words finish the work.

TVFS_CRASH=full takes every call (`./dev soak cycle`); otherwise some of them, picked by TVFS_CRASH_SEED.
The prices come from a folder of CSV files. Foundations are compared without the times that tell when it was.
"""

import base64
import json
import random
import shutil
import subprocess
import sys
import time

import crashkit
import pytest
from test_crash_run import EIO, EMFILE, ENOSPC, JOBS, calls, run_cases, traced

TOOL = crashkit.BUILD / "single" / "libexec" / "tvfs" / "tvfs-ingest-tool"
DAY = 86400
SAMPLE = {"ingest": 16, "flow": 18}  # cases of each kind, where not all are taken
WHEN = {"freshness", "last_audit", "updated_at", "valid_from", "valid_until"}
SYMBOLS = ["NASDAQ:AAA", "NASDAQ:BBB", "NASDAQ:CCC"]
SETTINGS = {"settle": "0s", "sources": {"NASDAQ": {"kind": "folder", "path": "prices"}},
            "ingest": {"start": "2010-01-01"}}


# --- a project with prices --------------------------------------------------------------------------


def bars(number, days):
    """Rows of the last so many days of trade but one."""
    today = int(time.time()) // DAY * DAY
    traded = [t for t in range(today - 90 * DAY, today, DAY) if time.gmtime(t).tm_wday not in (5, 6)]
    lines = ["timestamp,open,high,low,close,volume"]
    for i, t in enumerate(traded[:days]):
        price = 100 + number + (i * 7 + number) % 13 / 2
        lines.append(f"{t},{price},{price + 1},{price - 1},{price + 0.25},{1000 + i}")
    return "\n".join(lines) + "\n"


def prices(p, **days):
    folder = p.folder / "prices"
    folder.mkdir(exist_ok=True)
    for number, (name, n) in enumerate(days.items()):
        (folder / f"{name}.csv").write_text(bars(number, n))


def published(p):
    """AAA's last rows are missing and its turn has come, BBB is fresh, CCC is not there yet."""
    p.make()
    (p.folder / "tvfs.json").write_text(json.dumps(SETTINGS))
    prices(p, AAA=40, BBB=45)
    p.tvfs("flow", "data", *SYMBOLS[:2])
    catalog = json.loads((p.live / "catalog.json").read_text())
    catalog["NASDAQ:AAA"]["freshness"] = "2020-01-01T00:00:00Z"
    crashkit.settle()
    p.put("catalog.json", json.dumps(catalog, indent=1))
    p.tvfs("commit", "-m", "AAA has aged")
    prices(p, AAA=45, BBB=45, CCC=45)
    crashkit.settle()


SCENARIOS = {
    name: crashkit.Scenario(name, published, [*words, *SYMBOLS], [".tvfs", "data"])
    for name, words in (("ingest", ["ingest"]), ("flow", ["flow", "data"]))
}


# --- what a foundation says -------------------------------------------------------------------------


# pyarrow starts threads, and this process must have none: it goes back to its mounts in the end.
READER = """
import base64, io, json, sys
import pyarrow.parquet
for line in sys.stdin:
    rows = pyarrow.parquet.read_table(io.BytesIO(base64.b64decode(line))).to_pylist()
    print(json.dumps(rows, default=str), flush=True)
"""


class Reader:
    """The rows of Parquet files."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", READER], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE)

    def rows(self, text):
        self.process.stdin.write(text.replace("\n", "") + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def without_times(entry):
    return {k: v for k, v in entry.items() if k not in WHEN}


def table(reader, name, text):
    """What a table tells but for times; its bytes are given in base64."""
    if name.endswith(".json"):
        entries = json.loads(base64.b64decode(text))
        return {symbol: without_times(entry) for symbol, entry in entries.items()}
    return sorted(str(without_times(row)) for row in reader.rows(text))


def content(p, reader):
    """Every file of main: its hash, or, of tables that tell when something was, the rest of what they tell."""
    out = {}
    for line in p.tvfs("ls", "--hash", "main").splitlines():
        sha, name = line.split(maxsplit=1)
        name = name.lstrip("*")
        if name in ("catalog.json", "foundation_health.json", "symbols.parquet", "exchanges.parquet"):
            done = p.run(["sh", "-c", f'"$0" cat main:{name} | base64', p.binary])
            out[name] = table(reader, name, done.stdout)
        else:
            out[name] = sha
    return out


def drafts(p):
    return [line for line in p.tvfs("branch").splitlines() if line.startswith("draft/")]


def commits(p):
    return [line for line in p.tvfs("log").splitlines() if line.startswith("commit")]


PARTIAL = (13, 15)


# --- what must hold afterwards ----------------------------------------------------------------------


def differs(what, now, wanted):
    names = sorted(n for n in now.keys() | wanted.keys() if now.get(n) != wanted.get(n))
    return f"{what}: differs in {names[:4]}"


def torn(stage):
    """A live file that is neither what it was nor what is published."""
    p = stage.project
    for name, now in crashkit.tree(p.live).items():
        known = name in stage.old_live or name in stage.new_live  # others are temp files
        if not known or now[0] != "file" or now == stage.old_live.get(name):
            continue
        done = p.run(["sh", "-c", '"$0" cat "main:$1" | cmp - "$2"', p.binary, name, p.live / name])
        if done.returncode != 0:
            return f"live {name} is neither old nor new"
    return ""


def check(stage, status):
    p = stage.project
    if damage := p.fsck():
        return damage
    now = content(p, stage.reader)
    partial = status in PARTIAL
    if now not in (stage.old_content, stage.new_content) and not (partial and some_symbols(stage, now)):
        return differs("published", now, stage.new_content)
    if status == 0 and now != stage.new_content:
        return "it exits 0, and what it should publish is not there"
    if len(drafts(p)) > 1:
        return f"more than one draft: {drafts(p)}"
    return torn(stage) or repeat(stage, {1, 2} if partial else {1})


def some_symbols(stage, now):
    """A symbol whose own source could not be read is left out; the others are published, whole."""
    old, new = stage.old_content, stage.new_content
    bars = [n for n in old.keys() | new.keys() | now.keys() if n.endswith("_1d.parquet") and "/" not in n]
    return all(now.get(n) in (old.get(n), new.get(n)) for n in bars)


def repeat(stage, more):
    p = stage.project
    done = p.run(stage.argv)
    if done.returncode != 0:
        return f"repeated: {done.returncode} {done.stdout}{done.stderr}"
    if (now := content(p, stage.reader)) != stage.new_content:
        return differs("repeated", now, stage.new_content)
    if len(commits(p)) - stage.old_commits not in more:
        return f"repeated: {len(commits(p))} commits, there were {stage.old_commits}"
    if drafts(p) or list((p.folder / ".tvfs" / "spool").glob("*.parquet")):
        return "repeated: something is left over"
    status = p.run(p.command("status"))
    if crashkit.tree(p.live).keys() != stage.new_live.keys() or torn(stage):
        return f"repeated: the live folder is not what is published: {status.stdout}"
    return p.fsck()


# --- cases ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["ingest", "flow"])
def stages(request, tracing, work):
    crashkit.single()
    if not TOOL.exists():
        pytest.skip("machine cannot: DuckDB cannot be had")
    made = []
    for i in range(JOBS):
        folder = work / f"{request.param}-{i}"
        stage = crashkit.Stage(SCENARIOS[request.param], folder, crashkit.single())
        stage.reader = Reader()
        stage.old_content, stage.old_commits = content(stage.project, stage.reader), len(commits(stage.project))
        stage.finish()
        stage.new_content = content(stage.project, stage.reader)
        assert stage.new_content != stage.old_content
        made.append(stage)
    yield made
    for stage in made:
        stage.reader.end()
        shutil.rmtree(stage.project.folder.parent, ignore_errors=True)


def disturbed(stage, *options):
    return traced(stage, "--also", TOOL, *options)


def some(stages, listed):
    """All of them, or as many as take seconds."""
    name = stages[0].scenario.name
    if crashkit.FULL or len(listed) <= SAMPLE[name]:
        return listed
    return random.Random(crashkit.SEED).sample(listed, SAMPLE[name])


def kill(stage, process, number):
    done = disturbed(stage, "--kill", f"{process}:{number}")
    return "something still runs" if done.returncode == 124 else check(stage, done.returncode)


def fail(stage, process, number, error, *options):
    done = disturbed(stage, *options, "--fail", f"{process}:{number}:{error}")
    if done.returncode == 124:
        return "something still runs"
    if done.returncode >= 126:
        return f"status {done.returncode}: {done.stderr}"
    if done.returncode != 0 and not done.stderr.strip():
        return f"exit {done.returncode} without a word"
    return check(stage, done.returncode)


def test_killed_at_writing_calls(stages, work):
    listed = calls(stages[0], work, "--also", TOOL)
    processes = {p for p, *_ in listed}
    assert len(processes) >= (4 if stages[0].scenario.name == "flow" else 1), listed
    cases = [(f"process {p} killed at call {n}: {name} {what}", lambda s, p=p, n=n: kill(s, p, n))
             for p, n, name, what in some(stages, listed)]
    run_cases(stages, cases)
    print(f"\n{stages[0].scenario.name}: {len(cases)} of {len(listed)} calls of {len(processes)} processes")


SYSTEM = ("/lib", "/usr", "/etc", "/proc", "/sys", "/dev")


def test_calls_that_fail(stages, work):
    writes = [(p, n, e, f"error {e} in process {p} at call {n}: {name} {what}", ())
              for p, n, name, what in calls(stages[0], work, "--also", TOOL) for e in (EIO, ENOSPC)
              if what != "anon_inode:[eventfd]"]
    opens = [(p, n, EMFILE, f"EMFILE in process {p} at open {n}: {what}", ("--opens",))
             for p, n, name, what in calls(stages[0], work, "--also", TOOL, "--opens")
             if not what.startswith((*SYSTEM, str(crashkit.BUILD)))]
    cases = [(what, lambda s, p=p, n=n, e=e, o=options: fail(s, p, n, e, *o))
             for p, n, e, what, options in some(stages, writes + opens)]
    run_cases(stages, cases)
    print(f"\n{stages[0].scenario.name}: {len(cases)} of {len(writes) + len(opens)} errors")


def test_it_is_one_thread(stages, work):
    """The recorder counts calls, which threads would mix: DuckDB and libcurl make none here."""
    out = work / "threads"
    stages[0].reset()
    done = stages[0].project.run(["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o", out, "--",
                                  *stages[0].argv])
    if done.returncode != 0 and "strace" in done.stderr:
        pytest.skip(f"machine cannot: strace: {done.stderr.strip()[:100]}")
    assert done.returncode == 0, done.stderr
    assert "CLONE_THREAD" not in out.read_text()
