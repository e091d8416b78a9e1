"""tvfs run --publish: what a data job wrote becomes a commit, or nothing happens."""

import json

import pytest

from run_support import snapshot, wait_for


def listing(p, rev="main"):
    return dict(reversed(line.split("  ", 1)) for line in p("ls", "-R", "--hash", rev).out.splitlines()
                if not line.startswith("#"))


@pytest.mark.smoke
def test_publish(any_project):
    p = any_project
    first = p.json("show")
    before = snapshot(p.lake)
    done = p.sh('echo new >data/lakehouse/new.txt; echo "{}" >data/lakehouse/ok.json;'
                "rm data/lakehouse/a.txt; mv data/lakehouse/sub data/lakehouse/moved;"
                "echo routed >data/lakehouse/selection_audit.txt",
                "--run-id", "r1", "--publish", "main", "-m", "daily")
    assert "published main" in done.err
    second = p.json("show")
    record = p.record("r1")
    assert record["state"] == "published" and record["profile"] == "data"
    assert record["publish"]["commit"] == second["commit"] != first["commit"]
    assert record["publish"]["foundation_hash"] == second["foundation_hash"]
    assert record["commit"] == first["commit"]
    assert set(listing(p)) == {"moved/b.txt", "new.txt", "ok.json", "portfolio_candidates.json",
                               "portfolio_candidates_raw.json", "selection_audit.txt"}
    assert second["message"] == "daily" and second["trace_id"] == record["trace_id"]
    assert snapshot(p.lake) == before  # the live folder is synced by `tvfs sync`
    p("sync")
    assert not (p.lake / "a.txt").exists() and (p.lake / "moved/b.txt").exists()
    assert p.json("fsck")["damages"] == 0
    p.assert_clean()


def test_publish_is_what_the_run_saw(project):
    """The commit has the bytes, modes and times of the view."""
    done = project.sh("printf x >data/lakehouse/x; chmod 750 data/lakehouse/x; touch -d @1000.5 data/lakehouse/x;"
                      "ln -s x data/lakehouse/latest; mkdir data/lakehouse/empty;"
                      "cd data/lakehouse; stat -c '%n %a %Y' x; sha256sum $(find . -type f | sort)",
                      "--publish", "main")
    project("checkout", "main", project.path / "out")
    out = project.path / "out"
    assert (out / "x").stat().st_mode & 0o777 == 0o750
    assert (out / "x").stat().st_mtime_ns == 1000500000000
    assert (out / "latest").readlink().name == "x" and (out / "empty").is_dir()
    import hashlib
    for line in done.out.splitlines()[1:]:
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_nothing_written(project):
    first = project.json("show")["commit"]
    done = project.sh("true", "--publish", "main", "--run-id", "r1")
    assert "unchanged" in done.err
    assert project.record("r1")["publish"]["status"] == "unchanged"
    assert project.json("show")["commit"] == first


def test_ref_that_cannot_be_published_on(project):
    """Known before the command has worked for hours."""
    project("tag", "v1")
    for ref, text in (("v1", "is a tag"), ("a b", "ref name"), ("deadbeef01", "hash"), ("", "ref"),
                      ("main~1", "ref name")):
        done = project.sh("touch ran", "--publish", ref, "--run-id", "r1", status=125)
        assert text in done.err and "--publish" in done.err, done.err
        assert not (project.path / "ran").exists() and not project.run_dir("r1").exists()
    project.assert_clean()


def test_failed_command_publishes_nothing(project):
    first = project.json("show")["commit"]
    done = project.sh("echo x >data/lakehouse/x; exit 5", "--publish", "main", "--run-id", "r1", status=5)
    assert "nothing was published" in done.err
    assert project.json("show")["commit"] == first
    assert project.record("r1")["publish"]["status"] == "skipped"
    assert (project.run_dir("r1") / "data/lakehouse/x").exists()


def in_between(p, options, script, publish):
    """Runs a job that, when it has begun, sees `publish` happen, and then writes `script`."""
    process = p.start_run("sh", "-ec", "touch export-ready; while ! test -e export-go; do sleep 0.05; done;"
                          + script, options=options, ready="export-ready")
    publish()
    (p.path / "export-go").touch()
    return process


def test_merged_with_what_was_published_meanwhile(project):
    p = project

    def other():
        p.sh("echo theirs >data/lakehouse/theirs.txt", "--publish", "main")
    process = in_between(p, ["--publish", "main", "--run-id", "r1"], "echo ours >data/lakehouse/ours.txt",
                         other)
    p.finish(process)
    assert p.record("r1")["publish"]["merged"] is True
    assert {"ours.txt", "theirs.txt", "a.txt"} <= set(listing(p))


def test_conflict(any_project):
    p = any_project

    def other():
        p.sh("echo theirs >data/lakehouse/a.txt", "--publish", "main")
    process = in_between(p, ["--publish", "main", "--run-id", "r1"],
                         "echo ours >data/lakehouse/a.txt; echo x >data/lakehouse/x", other)
    done = p.finish(process, 12)
    assert "a.txt" in done.err and "not published" in done.err
    record = p.record("r1")
    assert record["publish"]["status"] == "conflict" and record["publish"]["conflicts"] == ["a.txt"]
    assert record["state"] == "failed" and record["exit_status"] == 0
    # nothing of it is to be seen, and nothing of it is lost
    assert p("cat", "main:a.txt").out == "theirs\n" and "x" not in listing(p)
    assert (p.run_dir("r1") / "data/lakehouse/a.txt").read_text() == "ours\n"
    p.assert_clean()


@pytest.mark.parametrize("name, contents", [("bad.json", "{"), ("bad.parquet", "PAR1"),
                                            ("empty.parquet", ""), ("half.json", '[1, 2')])
def test_broken_files_are_refused(project, name, contents):
    first = project.json("show")["commit"]
    done = project.py(f"open('data/lakehouse/{name}', 'w').write('{contents}');"
                      "open('data/lakehouse/good.json', 'w').write('[]')",
                      "--publish", "main", "--run-id", "r1", status=13)
    assert name in done.err
    record = project.record("r1")
    assert record["publish"]["status"] == "refused"
    assert [r["path"] for r in record["publish"]["refused"]] == [name]
    assert project.json("show")["commit"] == first
    assert (project.run_dir("r1") / "data/lakehouse" / name).read_text() == contents
    assert project.json("fsck")["damages"] == 0


def test_ignored_names_are_not_published(project):
    """As in a commit: locks and temporary files that scripts leave behind."""
    project("commit", "-m", "now")
    project.sh("cd data/lakehouse; echo n >new.json.tmp; touch audit.json.lock; mkdir -p x.tmp/deep sub/y;"
               "echo '{' >x.tmp/deep/f.json; echo 1 >sub/y/.bak_1; echo 2 >sub/y/f", "--publish", "main", "--run-id", "r1")
    names = set(project("ls", "-R").out.split())
    assert "sub/y/f" in names and not {n for n in names if "tmp" in n or "lock" in n or "bak" in n}, names
    project("sync")
    assert project.json("commit")["foundation_hash"] == project.json("show")["foundation_hash"]
    project("fsck")


def test_gates_judge_what_is_published(project):
    p = project
    p.configure(profiles={"data": {"gates": [{"file": "a.txt"}, {"file": "sub/b.txt", "max_age": "1h"}]}})
    first = p.json("show")["commit"]
    done = p.sh("rm data/lakehouse/a.txt", "--publish", "main", "--run-id", "r1", status=13)
    assert "a.txt" in done.err and "gate" in done.err and "not published" in done.err
    assert p.record("r1")["publish"]["status"] == "refused" and p.record("r1")["state"] == "failed"
    p.sh("touch -d '3 hours ago' data/lakehouse/sub/b.txt", "--publish", "main", status=13)
    assert p.json("show")["commit"] == first

    # the merged result: somebody else takes away what it needs
    def other():
        p.sh("rm data/lakehouse/a.txt", "--publish", "main", "--profile", "development")
    process = in_between(p, ["--publish", "main"], "echo x >data/lakehouse/x", other)
    assert "a.txt" in p.finish(process, 13).err
    assert "x" not in listing(p)
    p.assert_clean()


def test_new_branch_and_keep_open(project):
    project.sh("echo 1 >data/lakehouse/n", "--publish", "draft/x", "--run-id", "r1", "--keep-open")
    assert project.record("r1")["state"] == "open"
    assert "n" in listing(project, "draft/x") and "n" not in listing(project)
    project.sh("echo 2 >data/lakehouse/m", "--publish", "draft/x", "--run-id", "r1")
    assert project("cat", "draft/x:m").out == "2\n"
    assert project.record("r1")["state"] == "published"


def test_many_jobs_at_once(project):
    jobs = [project.start(project.bin / "tvfs", "run", "-q", "--publish", "main", "--", "sh", "-c",
                          f"echo {i} >data/lakehouse/job{i}.txt") for i in range(10)]
    for job in jobs:
        project.finish(job)
    assert {f"job{i}.txt" for i in range(10)} <= set(listing(project))
    assert project.json("fsck")["damages"] == 0
    project.assert_clean()


def test_kill_while_publishing(project):
    """The ref is the old or the new commit, whatever is killed when."""
    import os
    import random
    import signal
    import time
    rng = random.Random(7)
    old = project.json("show")["commit"]
    for i in range(12):
        process = project.start(project.bin / "tvfs", "run", "-q", "--run-id", f"k{i}", "--publish", "main",
                                "--", "sh", "-c", f"echo {i} >data/lakehouse/k{i}.txt",
                                start_new_session=True)
        path = project.run_dir(f"k{i}") / "config/run.json"
        wait_for(path.exists, what="the record")
        pid = wait_for(lambda: project.record(f"k{i}")["processes"]["supervisor"]["pid"], what="pid")
        time.sleep(rng.random() * 0.08)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        project.finish(process, None)
        new = project.json("show")["commit"]
        if new != old:
            assert project("cat", f"main:k{i}.txt").out == f"{i}\n"
        old = new
    project("prune")
    assert project.json("fsck")["damages"] == 0
    project.assert_clean()


def test_real_parquet(project):
    pd = pytest.importorskip("pandas")
    code = """
import pandas as pd
path = "data/lakehouse/NASDAQ_X_1d.parquet"
pd.DataFrame({"timestamp": [1, 2], "close": [1.0, 2.0]}).to_parquet(path, index=False)
f = pd.read_parquet(path)
pd.concat([f, f]).to_parquet(path, index=False)
"""
    project.py(code, "--publish", "main")
    project("sync")
    assert len(pd.read_parquet(project.lake / "NASDAQ_X_1d.parquet")) == 4
    assert json.loads(project("cat", "main:portfolio_candidates.json").out) == ["frozen"]
