"""tvfs run: what a command sees, its environment, its exit status, its record."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from run_support import PYTHON, Project, make_project, snapshot, wait_for


@pytest.mark.smoke
def test_frozen_and_private(any_project):
    p = any_project
    p.write("a.txt", "changed after the commit\n")
    before = snapshot(p.lake)
    done = p.sh("cat data/lakehouse/a.txt; echo mine >data/lakehouse/a.txt; rm data/lakehouse/sub/b.txt;"
                "echo new >data/lakehouse/new.txt; cat data/lakehouse/a.txt; ls data/lakehouse/sub",
                "--run-id", "r1")
    assert done.out == "one\nmine\n"
    assert snapshot(p.lake) == before
    overlay = p.run_dir("r1") / "data" / "lakehouse"
    assert (overlay / "a.txt").read_text() == "mine\n"
    assert (overlay / "new.txt").read_text() == "new\n"
    assert (overlay / "sub" / ".wh.b.txt").exists()
    record = p.record("r1")
    assert record["overlay"] == {"added": 1, "changed": 1, "removed": 1}
    p.assert_clean()


def test_parallel_runs_in_one_folder(project):
    script = ("for i in 1 2 3 4 5; do echo $0 >data/lakehouse/mine.txt; sleep 0.05;"
              "test \"$(cat data/lakehouse/mine.txt)\" = $0; done; cat data/lakehouse/a.txt")
    runs = [project.start(project.bin / "tvfs", "run", "--run-id", f"p{i}", "--", "sh", "-ec", script,
                          f"run{i}") for i in range(12)]
    for i, process in enumerate(runs):
        assert project.finish(process).out == "one\n"
        assert (project.run_dir(f"p{i}") / "data/lakehouse/mine.txt").read_text() == f"run{i}\n"
    assert not (project.lake / "mine.txt").exists()
    project.assert_clean()


def test_line_on_stderr_and_quiet(project):
    foundation = project.json("show")["foundation_hash"]
    done = project.sh("echo out", "--run-id", "r1")
    assert done.out == "out\n"
    assert re.fullmatch(rf"run r1 on foundation {foundation} \(commit [0-9a-f]{{12}}\)\n", done.err)
    assert project.sh("true", "--quiet").err == ""
    line = json.loads(project.sh("true", "--json", "--run-id", "r3").err)
    # stdout is the command's, also when tvfs fails after it
    done = project.sh("echo out; echo '{' >data/lakehouse/b.json", "--json", "--publish", "main", status=13)
    assert done.out == "out\n" and json.loads(done.err.splitlines()[-1])["error"]["exit"] == 13
    done = project.run("no-such", options=["--json"], status=127)
    assert done.out == "" and json.loads(done.err.splitlines()[-1])["error"]["exit"] == 127
    assert line["run_id"] == "r3" and line["foundation_hash"] == foundation
    done = project.sh("true")
    assert re.match(r"run \d{8}T\d{6}Z-[0-9a-f]{6} on foundation", done.err)


def test_environment(any_project):
    p = any_project
    done = p.py("import json, os; print(json.dumps(dict(os.environ)))", "--run-id", "r1",
                env={"TVFS_STORE": str(p.path), "MINE": "kept", "TV_RUN_ID": "other"})
    env = json.loads(done.out)
    run_dir = str(p.run_dir("r1"))
    record = p.record("r1")
    assert env["TV_RUN_ID"] == "r1" and env["TV_RUN_DIR"] == run_dir and env["MINE"] == "kept"
    assert env["TV_PROFILE"] == "production" and env["TV_TRACE_ID"] == record["trace_id"]
    assert env["TV_FOUNDATION_HASH"] == record["foundation_hash"]
    assert env["PORTFOLIO_DATA_SOURCE"] == "lakehouse_only"
    assert env["TV_STRICT_HEALTH"] == env["TV_STRICT_ISOLATION"] == "1"
    assert env["CANDIDATES_SELECTED"] == env["CANDIDATES_FILE"] \
        == f"{run_dir}/data/portfolio_candidates.json"
    assert env["CANDIDATES_RAW"] == f"{run_dir}/data/portfolio_candidates_raw.json"
    assert env["SELECTION_AUDIT"] == f"{run_dir}/data/selection_audit.json"
    assert env["RETURNS_MATRIX"] == f"{run_dir}/data/returns_matrix.parquet"
    assert env["TV_SCAN_DIR"] == f"{p.path}/export/r1"
    assert "TVFS_STORE" not in env


def test_exit_statuses(any_project):
    p = any_project
    p.sh("exit 0")
    p.sh("exit 7", status=7)
    p.run("no-such-command", status=127, options=["--run-id", "kept"])
    assert "/etc/passwd" in p.run("/etc/passwd", status=126).err
    # nothing ran, so the id is as free as before, and no folder is left
    assert not p.run_dir("kept").exists()
    p.run("true", options=["--run-id", "kept"])
    assert p.record("kept")["exit_status"] == 0
    done = p.sh("kill -TERM $$", status=-signal.SIGTERM)
    assert "tvfs run:" not in done.err
    assert p("run", "--foundation", "nonsense", "--", "true", status=125).err.count("nonsense") == 1
    assert p("run", "--no-such-option", "--", "true", status=2)
    assert p("run", status=2)
    p("run", "--", "true", cwd="/", status=10)
    p.assert_clean()


@pytest.mark.parametrize("bad", ["a/b", "..", "../x", ".hidden", "-x", "", "a b", "x" * 201])
def test_run_id_refused(project, bad):
    done = project("run", f"--run-id={bad}", "--", "touch", project.path / "ran", status=125)
    assert "run id" in done.err
    assert not (project.path / "ran").exists()
    assert not project.runs.exists() or not list(project.runs.iterdir())


def test_stdin_and_descriptors_reach_the_command(project):
    read, write = os.pipe()
    process = project.start(project.bin / "tvfs", "run", "--", "bash", "-c", f"cat; echo fd >&{write}",
                            stdin=subprocess.PIPE, pass_fds=[write])
    os.close(write)
    out, _ = process.communicate(b"through\n", timeout=60)
    assert out == b"through\n"
    # the end of the pipe shows that neither supervisor nor daemon kept it
    assert os.read(read, 100) == b"fd\n" and os.read(read, 100) == b""
    os.close(read)


def test_stdout_is_closed_when_the_command_ends(project):
    """A reader of the output is not kept waiting by the processes behind the run."""
    done = subprocess.run(f"'{project.bin}/tvfs' run -q -- sh -c 'echo x' | cat", shell=True,
                          cwd=project.path, capture_output=True, timeout=30, check=True)
    assert done.stdout == b"x\n"


def test_working_directory(any_project):
    p = any_project
    (p.path / "scripts").mkdir()
    p.own(p.path / "scripts")
    assert p.sh("pwd; cat ../data/lakehouse/a.txt", cwd=p.path / "scripts").out \
        == f"{p.path}/scripts\none\n"
    # inside the lakehouse: the view, not the folder below it
    p.write("a.txt", "live\n")
    assert p.sh("pwd; cat a.txt; echo x >here.txt", "--run-id", "r1", cwd=p.lake / "sub", status=1)
    done = p.sh("pwd; cat a.txt; echo x >here.txt", "--run-id", "r2", cwd=p.lake)
    assert done.out == f"{p.lake}\none\n"
    assert (p.run_dir("r2") / "data/lakehouse/here.txt").exists()
    assert not (p.lake / "here.txt").exists()


def test_everything_is_plain_at_its_literal_path(project):
    code = """
import os, pathlib, stat
base = pathlib.Path("data/lakehouse")
assert base.resolve() == pathlib.Path.cwd() / "data" / "lakehouse"
for path in [base, *base.rglob("*")]:
    assert not path.is_symlink() and path.resolve().is_relative_to(base.resolve())
    assert path.is_dir() or stat.S_ISREG(path.stat().st_mode)
print(len(list(base.rglob("*"))))
"""
    assert project.py(code).out == "3\n"  # routed names are absent


def test_record(any_project):
    p = any_project
    p.sh("echo out >$TV_RUN_DIR/data/result.txt; echo r >$TV_RUN_DIR/reports/r.md; echo x >data/logs/l",
         "--run-id", "r1", "--trace-id", "trace-7")
    r = p.record("r1")
    assert r["run_id"] == "r1" and r["trace_id"] == "trace-7" and r["state"] == "sealed"
    assert r["profile"] == "production" and r["ref"] == "main" and r["cwd"] == str(p.path)
    assert r["command"][:2] == ["sh", "-ec"] and r["exit_status"] == 0
    assert r["commit"] == p.json("show")["commit"] and r["tvfs_version"]
    assert {"front", "supervisor", "daemon"} <= set(r["processes"])
    (session,) = r["sessions"]
    assert session["exit_status"] == 0 and session["how"] == "exited" and not session["joined"]
    assert session["start"] < session["end"] and session["pid"] > 0
    files = {f["path"]: f for f in r["outputs"]["files"]}
    assert set(files) == {"data/result.txt", "reports/r.md"}
    assert files["data/result.txt"]["size"] == 4
    assert isinstance(r["passthrough"], str)
    # sealed: read-only, for everybody but root
    assert (p.run_dir("r1") / "data/result.txt").stat().st_mode & 0o222 == 0


def test_outputs_that_cannot_be_read(any_project):
    """They are no failure of the run."""
    p = any_project
    p.sh("cd $TV_RUN_DIR; echo s >data/secret; mkdir reports/closed; echo x >reports/closed/x; echo z >reports/z;"
         "chmod 0 data/secret reports/closed", "--run-id", "r1", "--publish", "main")
    r = p.record("r1")
    assert r["state"] == "published" and r["exit_status"] == 0 and "failure" not in r
    files = {f["path"]: f for f in r["outputs"]["files"]}
    assert files["reports/z"]["size"] == 2
    if p.user:
        assert files["data/secret"]["error"] == files["reports/closed"]["error"] == "EACCES"
    assert (p.run_dir("r1") / "reports/z").stat().st_mode & 0o222 == 0
    p.assert_clean()


def test_orchestrator_made_folder(project):
    config = project.run_dir("r1") / "config"
    config.mkdir(parents=True)
    manifest = config / "resolved_manifest.json"
    manifest.write_text("{ theirs }")
    (project.run_dir("r1") / "data").mkdir()
    project.sh("cat $TV_RUN_DIR/config/resolved_manifest.json", "--run-id", "r1")
    assert manifest.read_text() == "{ theirs }"
    # writes of a run that nobody knows are not taken over
    overlay = project.run_dir("r2") / "data" / "lakehouse"
    overlay.mkdir(parents=True)
    (overlay / "x").write_text("old")
    assert "not empty" in project.sh("true", "--run-id", "r2", status=125).err
    assert (overlay / "x").read_text() == "old"
    (project.run_dir("r3") / "config").mkdir(parents=True)
    (project.run_dir("r3") / "config/run.json").write_text("{}")
    assert "does not know" in project.sh("true", "--run-id", "r3", status=125).err
    (project.path / "mnt").mkdir()
    assert "does not know" in project("mount", "--run-id", "r3", project.path / "mnt", status=1).err
    # nor is anything of it taken back
    assert (project.run_dir("r3") / "config/run.json").read_text() == "{}"
    project.assert_clean()


@pytest.mark.parametrize("name", ["", "data", "data/lakehouse", "config"])
def test_run_folder_that_is_a_link(project, name):
    """Not followed to what may be another run's, and nothing of it is touched."""
    other = project.path / "other"
    other.mkdir()
    (other / "kept").write_text("kept")
    link = project.run_dir("r1") / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(other)
    assert "is a symlink" in project.sh("true", "--run-id", "r1", status=125).err
    assert [e.name for e in other.iterdir()] == ["kept"] and link.is_symlink()
    project.assert_clean()


def test_lock_to_the_commit(project):
    first = project.json("show")
    project.sh("true", "--run-id", "r1", "--keep-open")
    project.write("a.txt", "two\n")
    project.commit("-m", "second")
    second = project.json("show")
    # without --foundation the run stays where it is
    assert project.sh("cat data/lakehouse/a.txt", "--run-id", "r1", "--keep-open").out == "one\n"
    done = project.sh("true", "--run-id", "r1", "--foundation", "main", status=125)
    assert first["foundation_hash"] in done.err and second["foundation_hash"] in done.err
    project.sh("true", "--run-id", "r1", "--foundation", first["foundation_hash"][:12], "--keep-open")
    assert len(project.record("r1")["sessions"]) == 3


def test_keep_open_and_seal(any_project):
    p = any_project
    p.sh("echo 1 >data/lakehouse/n; echo d >$TV_RUN_DIR/data/d", "--run-id", "r1", "--keep-open")
    assert p.record("r1")["state"] == "open"
    p.sh("cat data/lakehouse/n; echo 2 >>data/lakehouse/n", "--run-id", "r1", "--keep-open")
    assert (p.run_dir("r1") / "data/lakehouse/n").read_text() == "1\n2\n"
    assert "r1 is sealed" in p("seal", "r1").out
    assert p.record("r1")["state"] == "sealed"
    assert "already" in p("seal", "r1").out
    assert "sealed" in p.sh("true", "--run-id", "r1", status=125).err
    assert (p.run_dir("r1") / "data/d").stat().st_mode & 0o222 == 0
    p("seal", "nope", status=1)
    # the second session ends it when it does not ask to keep it open
    p.sh("true", "--run-id", "r2", "--keep-open")
    p.sh("true", "--run-id", "r2")
    assert p.record("r2")["state"] == "sealed"
    # a session that cannot start leaves an open run open
    p.sh("true", "--run-id", "r3", "--keep-open")
    p.run("no-such-command", status=127, options=["--run-id", "r3"])
    record = p.record("r3")
    assert record["state"] == "open" and len(record["sessions"]) == 1
    p.assert_clean()


def test_settings_that_a_broken_link_hides(project):
    """Not silently the defaults."""
    project.configure(lakehouse="data/lakehouse")
    (project.path / "tvfs.json").rename(project.path / "mine.json")
    (project.path / "tvfs.json").symlink_to("gone.json")
    assert "tvfs.json" in project.sh("true", status=125).err
    (project.path / "tvfs.json").unlink()
    (project.path / "tvfs.json").symlink_to("mine.json")
    project.sh("true")


def test_run_stays_where_it_began(base):
    p = make_project(base, "stays")
    p.sh("echo 1 >data/lakehouse/n", "--run-id", "r1", "--keep-open")
    # other settings: its earlier writes must not vanish
    p.configure(runs="elsewhere/runs")
    done = p.sh("true", "--run-id", "r1", "--keep-open", status=125)
    assert str(p.run_dir("r1")) in done.err and "runs" in done.err
    assert not (p.path / "elsewhere/runs/r1").exists()
    p.configure()
    # a copy of the project, and a moved one
    copy, moved = p.path.with_name(p.path.name + "-copy"), p.path.with_name(p.path.name + "-moved")
    shutil.copytree(p.path, copy)
    c = type(p)(copy)
    c.sh("cat data/lakehouse/n; echo 2 >data/lakehouse/n", "--run-id", "r1", "--keep-open")
    c("seal", "r1")
    assert c.record("r1")["state"] == "sealed" and c.record("r1")["run_dir"] == str(c.run_dir("r1"))
    assert p.record("r1")["state"] == "open"
    assert (p.run_dir("r1") / "data/lakehouse/n").read_text() == "1\n"
    p.path.rename(moved)
    m = type(p)(moved)
    m("seal", "r1")
    assert m.record("r1")["state"] == "sealed"
    m.assert_clean()


def test_live_run_is_refused(project):
    process = project.start_run("sh", "-c", "touch export-ready; sleep 60", options=["--run-id", "r1"],
                                ready="export-ready")
    done = project.sh("true", "--run-id", "r1", status=125)
    assert "--join r1" in done.err
    assert "live" in project("seal", "r1", status=11).err
    row = wait_for(lambda: [r for r in project.live()["live"] if r["state"] == "live"], what="ps")[0]
    assert row["run_id"] == "r1" and row["kind"] == "run" and row["pid"] > 0
    process.terminate()
    project.finish(process, -signal.SIGTERM)
    project.assert_clean()


def test_profiles(project):
    project.configure(profiles={"strict": {"lakehouse_writes": "deny"}})
    code = ("import errno, os\n"
            "for f in (lambda: open('data/lakehouse/x', 'w'), lambda: os.remove('data/lakehouse/a.txt'),\n"
            "          lambda: os.mkdir('data/lakehouse/d'), lambda: open('data/lakehouse/a.txt', 'a')):\n"
            "    try: f()\n"
            "    except OSError as e: assert e.errno == errno.EROFS, e\n"
            "    else: raise SystemExit('was allowed')\n"
            "open('data/lakehouse/portfolio_candidates.json', 'w').write('[]')\n")
    project.py(code, "--profile", "strict", "--run-id", "r1")
    assert (project.run_dir("r1") / "data/portfolio_candidates.json").read_text() == "[]"
    assert "there is no profile 'x'" in project.sh("true", "--profile", "x", status=125).err
    project.configure(nonsense=1)
    assert "tvfs.json" in project.sh("true", status=125).err


def test_gates(project):
    import time
    old = time.time() - 90000
    os.utime(project.write("old.json", "{}"), (old, old))
    project.commit("-m", "gated")
    gates = {"there": [{"file": "a.txt"}], "missing": [{"file": "nope.json"}],
             "stale": [{"file": "old.json", "max_age": "24h"}],
             "fresh": [{"file": "a.txt", "max_age": "24h"}], "folder": [{"file": "sub"}]}
    project.configure(profiles={name: {"gates": g} for name, g in gates.items()})
    for name, status, text in [("there", 0, ""), ("fresh", 0, ""), ("missing", 15, "nope.json"),
                               ("stale", 15, "old.json"), ("folder", 13, "sub")]:
        done = project.sh("touch export-ran-$TV_PROFILE", "--profile", name, "--run-id", name,
                          status=status)
        assert text in done.err
        assert (project.path / f"export-ran-{name}").exists() == (status == 0)
        assert project.run_dir(name).exists() == (status == 0)


@pytest.mark.parametrize("name", ["with blank", "ünï", "o'quote\"", "n\newline", "l" * 200])
def test_odd_project_paths(base, name):
    """Also a store whose path is too long for a socket's address."""
    path = base / f"odd-{os.urandom(3).hex()}" / name / "deep"
    path.mkdir(parents=True)
    p = Project(path)
    p.lake.mkdir(parents=True)
    p.write("a.txt", "one\n")
    p("init")
    p("commit", "-m", "x")
    assert p.sh("cat data/lakehouse/a.txt; echo y >data/lakehouse/b", "--run-id", "r1").out == "one\n"
    assert (p.run_dir("r1") / "data/lakehouse/b").read_text() == "y\n"
    assert p.record("r1")["passthrough"]  # the socket answered
    p.assert_clean()


def test_nested_settings_paths(base):
    """The lakehouse inside an input folder, the runs inside another, logs inside a third."""
    path = base / f"nested-{os.urandom(3).hex()}"
    p = Project(path)
    p.lake = path / "data" / "x" / "y" / "lake"
    p.runs = path / "export" / "runs"
    p.lake.mkdir(parents=True)
    p.runs.mkdir(parents=True)
    p.write("a.txt", "one\n")
    (path / "export" / "in.txt").write_text("in")
    p.configure(lakehouse="data/x/y/lake", runs="export/runs", inputs=["export", "data"],
                redirects={"data/x/logs": "logs"})
    p("init")
    p("commit", "-m", "x")
    done = p.sh("cat data/x/y/lake/a.txt; echo w >data/x/y/lake/w; echo l >data/x/logs/l;"
                "echo o >$TV_RUN_DIR/data/o; ! touch export/no 2>/dev/null; ! touch data/x/no 2>/dev/null",
                "--run-id", "r1")
    assert done.out == "one\n"
    assert (p.run_dir("r1") / "data/lakehouse/w").exists()
    assert (p.run_dir("r1") / "logs/l").exists() and (p.run_dir("r1") / "data/o").exists()
    assert not (p.lake / "w").exists() and not list((path / "data/x/logs").iterdir())
    p.assert_clean()


def test_overlapping_folders_are_refused(project):
    for changes in ({"runs": "data/lakehouse/runs"}, {"redirects": {"data/lakehouse/logs": "logs"}},
                    {"redirects": {"artifacts": "logs"}}, {"redirects": {"data/logs": "data/logs"}}):
        project.configure(**changes)
        done = project.sh("touch export-ran", status=125)
        assert "tvfs.json" in done.err or "lakehouse" in done.err, done.err
        assert not (project.path / "export-ran").exists()


def test_lakehouse_link_out_of_the_project(project, base):
    elsewhere = base / f"elsewhere-{os.urandom(3).hex()}"
    project.lake.rename(elsewhere)
    project.lake.symlink_to(elsewhere)
    assert "out of the project" in project.sh("true", status=125).err


def test_lakehouse_that_is_not_there_yet(project):
    """A checkout without live data: the view needs only the store."""
    import shutil
    shutil.rmtree(project.lake)
    assert project.sh("cat data/lakehouse/a.txt").out == "one\n"


def test_run_in_a_run_is_refused(project):
    done = project.sh(f"'{project.bin}/tvfs' run -- true || exit $?", "--run-id", "r1", status=10)
    assert "store" in done.err
    project.assert_clean()


def test_signal_dispositions(project):
    """nohup'ed stays nohup'ed; a caller that ignores SIGCHLD does not confuse us."""
    code = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    done = subprocess.run(["sh", "-c", f"trap '' HUP CHLD; exec '{project.bin}/tvfs' run -q -- "
                           f"'{PYTHON}' -c '{code}'"], cwd=project.path, capture_output=True,
                          timeout=60, check=True)
    assert done.stdout == b"True\n"
    mask = project.py("import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))")
    assert mask.out == "[]\n"


def test_limit_of_file_sizes(any_project):
    """It is the command's: no part of the run dies of it."""
    p = any_project
    p.write("big.bin", b"x" * 12000000)
    p.commit("-m", "big")
    done = p.finish(p.start("sh", "-c", "ulimit -f 20000; exec tvfs run --run-id r1 --passthrough off -- sh -c '"
                            "head -c 12000000 /dev/zero >data/lakehouse/new; echo $?; echo x >>data/lakehouse/big.bin;"
                            "echo $?; cat data/lakehouse/a.txt'"))
    first, second, last = done.out.split()
    assert first != "0" and second != "0" and last == "one"
    assert p.record("r1")["state"] == "sealed"
    p.assert_clean()


def test_large_environment_and_arguments(project):
    words = ["x" * 1000] * 500
    done = project.run("sh", "-c", 'echo $#', "sh", *words, options=["--run-id", "r1"])
    assert done.out == "500\n"
    assert project.record("r1")["command"][4:] == words
