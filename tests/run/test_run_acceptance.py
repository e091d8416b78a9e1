"""The five things that break today, each with clients that behave like the platform's scripts."""

import json
import os

import pytest

from run_support import PYTHON, SOURCE, snapshot, wait_for

pd = pytest.importorskip("pandas")

WRITER = """
import os, sys
import pandas as pd
paths = [f"data/lakehouse/NASDAQ_S{i}_1d.parquet" for i in range(4)]
frames = [pd.read_parquet(p) for p in paths]
n = 0
open("export-writing", "w").close()
while not os.path.exists("export-stop"):
    n += 1
    for path, frame in zip(paths, frames):
        frame.assign(close=frame["close"] + n).to_parquet(path, index=False)  # in place, O_TRUNC
print(n)
"""

# pyarrow's threads may abort a process as its interpreter ends (Arrow's issue 34314), so a reader ends without that.
READER = """
import json, os, sys
import pandas as pd
torn = mixed = 0
first = {}
for i in range(int(sys.argv[1])):
    path = f"data/lakehouse/NASDAQ_S{i % 4}_1d.parquet"
    try:
        total = float(pd.read_parquet(path)["close"].sum())
    except Exception:
        torn += 1
        continue
    mixed += first.setdefault(path, total) != total
print(json.dumps({"torn": torn, "mixed": mixed}), flush=True)
os._exit(0)
"""

CLEAN_UP = """
import glob, json, os
import pandas as pd
for path in glob.glob("data/lakehouse/portfolio_candidates*.json"):
    os.remove(path)
assert glob.glob("data/lakehouse/portfolio_candidates*.json") == []
pd.DataFrame({"symbol": ["X"], "maker_fee": [0.1]}).to_parquet("data/lakehouse/execution.parquet")
with open("data/lakehouse/hedge_anchors.json", "w") as f:
    json.dump({"anchors": []}, f)
with open("data/lakehouse/catalog.json", "r+") as f:
    catalog = json.load(f)
    catalog["seen"] = True
    f.seek(0); f.truncate(); json.dump(catalog, f)
"""


@pytest.fixture
def market(project):
    """A project with price files."""
    for i in range(4):
        frame = pd.DataFrame({"timestamp": range(20000), "close": [i + 1.0] * 20000,
                              "volume": [k * 0.37 % 11 for k in range(20000)]})
        frame.to_parquet(project.lake / f"NASDAQ_S{i}_1d.parquet", index=False)
    project.write("catalog.json", '{"S0": {}}')
    project.commit("-m", "prices")
    return project


def test_1_no_links_at_the_literal_path(market):
    """Symlink snapshots: reads gave ENOENT, creation said success, resolve() left the folder."""
    code = """
import os, pathlib
base = pathlib.Path("data/lakehouse")
assert base.resolve() == pathlib.Path(os.getcwd(), "data/lakehouse")
for path in base.rglob("*"):
    assert path.exists() and not path.is_symlink()
    assert path.resolve().is_relative_to(base.resolve())
(base / "made.json").write_text("{}")
assert (base / "made.json").read_text() == "{}" and "made.json" in os.listdir(base)
"""
    market.py(code, "--run-id", "r1")
    assert (market.run_dir("r1") / "data/lakehouse/made.json").read_text() == "{}"
    assert not (market.lake / "made.json").exists()


def test_2_an_in_place_rewrite_does_not_reach_a_run(market):
    """Hard-link snapshots change with the file that is truncated and rewritten in place."""
    process = market.start_run("sh", "-ec", "sha256sum data/lakehouse/*.parquet; touch export-ready;"
                               "while ! test -e export-go; do sleep 0.05; done; sha256sum data/lakehouse/*.parquet",
                               ready="export-ready")
    inode = (market.lake / "NASDAQ_S0_1d.parquet").stat().st_ino
    for i in range(4):
        path = market.lake / f"NASDAQ_S{i}_1d.parquet"
        with open(path, "r+b") as f:
            f.truncate()
            f.write(b"rewritten")
        os.utime(path, (0, 0))
    assert (market.lake / "NASDAQ_S0_1d.parquet").stat().st_ino == inode
    (market.path / "export-go").touch()
    lines = market.finish(process).out.splitlines()
    assert len(lines) == 8 and lines[:4] == lines[4:]


def plain_reads(p, n):
    """Of the live folder, without tvfs."""
    return json.loads(p.finish(p.start(PYTHON, "-c", READER, n)).out)


def test_3_no_torn_reads(market):
    """With a writer rewriting the files in a loop, 0 of the reads in a run are torn or mixed."""
    writer = market.start(PYTHON, "-c", WRITER)
    try:
        wait_for((market.path / "export-writing").exists, what="the writer")
        runs = [market.start(market.bin / "tvfs", "run", "-q", "--", PYTHON, "-c", READER, "200")
                for _ in range(2)]
        for run in runs:
            assert json.loads(market.finish(run).out) == {"torn": 0, "mixed": 0}
        plain = plain_reads(market, 200)
    finally:
        (market.path / "export-stop").touch()
        rounds = int(market.finish(writer).out)
    assert rounds > 0
    # the same reads without tvfs: the writer was at work
    assert plain["torn"] + plain["mixed"] > 0, plain


def test_4_a_read_only_run_leaves_the_lakehouse_alone(market):
    """Clean-up steps and constructors that write: a whiteout and an overlay, not a deletion."""
    before = snapshot(market.lake)
    for profile in ("production", "development", "data"):
        market.py(CLEAN_UP, "--run-id", profile, "--profile", profile)
        assert snapshot(market.lake) == before
        overlay = market.run_dir(profile) / "data/lakehouse"
        assert (overlay / "execution.parquet").exists() and (overlay / "hedge_anchors.json").exists()
        assert json.loads((overlay / "catalog.json").read_text())["seen"]
    assert (market.run_dir("data") / "data/lakehouse/.wh.portfolio_candidates.json").exists()
    assert market("status", "--json", status=None).status == 0


def test_5_two_workers_share_a_folder_but_not_a_lakehouse(market):
    """As two actors of one node: one parent, one working directory, wrapped in `tvfs run`."""
    driver = f"""
import json, subprocess, sys
worker = '''
import json, os, sys, time
mine = sys.argv[1]
path = "data/lakehouse/portfolio_candidates.json"
for i in range(30):
    with open(path + ".tmp", "w") as f:
        json.dump([mine, i], f)
    os.replace(path + ".tmp", path)
    time.sleep(0.005)
    with open(path) as f:
        assert json.load(f) == [mine, i]
    assert json.load(open(os.environ["CANDIDATES_SELECTED"])) == [mine, i]
print(mine)
'''
jobs = [subprocess.Popen(["tvfs", "run", "-q", "--run-id", "w%d" % i, "--", sys.executable, "-c", worker,
                          "w%d" % i], stdout=subprocess.PIPE) for i in range(4)]
print([job.communicate()[0].decode().strip() for job in jobs], [job.returncode for job in jobs])
"""
    done = market.finish(market.start(PYTHON, "-c", driver))
    assert done.out.strip() == "['w0', 'w1', 'w2', 'w3'] [0, 0, 0, 0]", done.err
    for i in range(4):
        path = market.run_dir(f"w{i}") / "data/portfolio_candidates.json"
        assert json.loads(path.read_text()) == [f"w{i}", 29]
    assert json.loads((market.lake / "portfolio_candidates.json").read_text()) == ["frozen"]
    market.assert_clean()


def test_the_platforms_scripts(base, market):
    """The legacy scripts that the demo shows, unmodified."""
    backtest = SOURCE / "tests/legacy/backtest.py"
    if not backtest.exists():
        pytest.skip("machine cannot: find the demo's scripts")
    before = snapshot(market.lake)
    for mode in ("clean", "rewrite"):
        done = market.run(PYTHON, backtest, "12", mode, options=["--run-id", mode])
        assert json.loads(done.out)["torn"] == 0
    assert snapshot(market.lake) == before
    assert json.loads((market.run_dir("rewrite") / "data/portfolio_candidates.json").read_text())


def test_duckdb_and_pyarrow(market):
    code = """
import duckdb, pyarrow.parquet as pq, pyarrow.dataset as ds
n = duckdb.sql("select count(*) from 'data/lakehouse/NASDAQ_S*_1d.parquet'").fetchone()[0]
assert n == 80000, n
assert pq.read_table("data/lakehouse/NASDAQ_S1_1d.parquet", memory_map=True).num_rows == 20000
assert ds.dataset("data/lakehouse/NASDAQ_S2_1d.parquet").count_rows() == 20000
duckdb.sql("copy (select 1 as x) to 'data/lakehouse/out.parquet'")
assert pq.read_table("data/lakehouse/out.parquet").num_rows == 1
con = duckdb.connect("data/lakehouse/scratch.duckdb")
con.execute("create table t as select * from 'data/lakehouse/NASDAQ_S3_1d.parquet'")
assert con.execute("select count(*) from t").fetchone()[0] == 20000
con.close()
"""
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    market.py(code)
    market.py(code, "--passthrough", "off")


def test_mtimes_are_kept(market):
    """Scripts gate on the age of files."""
    os.utime(market.lake / "catalog.json", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))
    market.commit("-m", "aged")
    assert market.py("import os; print(os.stat('data/lakehouse/catalog.json').st_mtime_ns)").out \
        == "1000000000123456789\n"


def test_xargs_and_friends(market):
    """find | xargs -P 8, cp -p, tar, rm -r: coreutils as clients."""
    done = market.sh("find data/lakehouse -name '*.parquet' | xargs -P 8 -n 1 sha256sum | sort | wc -l;"
                     "cp -rp data/lakehouse data/lakehouse/copy 2>/dev/null || cp -rp data/lakehouse/sub data/lakehouse/copy;"
                     "tar cf - -C data/lakehouse . | tar tf - | wc -l; rm -r data/lakehouse/sub; ls data/lakehouse/copy >/dev/null")
    assert done.out.splitlines()[0] == "4"
