"""tvfs run --join: a second command inside a live run."""

import os
import signal

import pytest

from run_support import Project, alive, make_project, wait_for


def start(p, script="touch export-ready; while ! test -e data/lakehouse/stop; do sleep 0.05; done; echo main",
          *options):
    process = p.start_run("sh", "-c", script, options=["--run-id", "r1", *options], ready="export-ready")
    wait_for(lambda: "namespace_fds" in p.record("r1"), what="the record")
    return process


def join(p, script, **more):
    return p("run", "--join", "r1", "--", "sh", "-ec", script, **more)


@pytest.mark.smoke
def test_join(any_project):
    p = any_project
    process = start(p)
    p.write("a.txt", "changed\n")
    done = join(p, "cat data/lakehouse/a.txt; echo j >data/lakehouse/j; echo $TV_RUN_ID $CANDIDATES_RAW;"
                "ls -A .tvfs; grep -c : /proc/net/dev")
    assert done.out == f"one\nr1 {p.run_dir('r1')}/data/portfolio_candidates_raw.json\n1\n"
    assert join(p, "cat data/lakehouse/j; exit 6", status=6).out == "j\n"
    join(p, "touch data/lakehouse/stop")
    assert p.finish(process).out == "main\n"
    sessions = p.record("r1")["sessions"]
    assert [s["joined"] for s in sessions] == [False, True, True, True]
    assert [s["exit_status"] for s in sessions] == [0, 0, 6, 0]
    p.assert_clean()


def test_join_statuses(project):
    process = start(project)
    project("run", "--join", "r1", "--", "no-such-command", status=127)
    project("run", "--join", "r1", "--", "/etc/passwd", status=126)
    join(project, "kill -TERM $$", status=-signal.SIGTERM)
    project("run", "--join", "r1", "--run-id", "x", "--", "true", status=2)
    project("run", "--join", "nope", "--", "true", status=125)
    join(project, "touch data/lakehouse/stop")
    project.finish(process)
    assert "not live" in project("run", "--join", "r1", "--", "true", status=125).err
    project.assert_clean()


def test_main_waits_for_joined(project):
    process = start(project)
    joined = project.start(project.bin / "tvfs", "run", "--join", "r1", "--", "sh", "-c",
                           "touch data/lakehouse/stop export-joined; sleep 1.5; cat data/lakehouse/a.txt")
    wait_for((project.path / "export-joined").exists, what="the joined command")
    done = project.finish(process)
    assert "waiting for 1 joined command" in done.err
    assert project.finish(joined).out == "one\n"
    project.assert_clean()


def test_main_killed_takes_joined_along(any_project):
    p = any_project
    process = start(p)
    joined = p.start(p.bin / "tvfs", "run", "--join", "r1", "--", "sh", "-c",
                     "touch export-joined; exec sleep 100")
    wait_for((p.path / "export-joined").exists, what="the joined command")
    os.kill(p.processes("r1")["supervisor"], signal.SIGKILL)
    p.finish(process, 125)
    assert "supervisor" in p.finish(joined, 125).err
    p("prune")
    assert p.record("r1")["state"] == "failed"
    p.assert_clean()


def test_joined_front_killed(any_project):
    p = any_project
    process = start(p)
    joined = p.start(p.bin / "tvfs", "run", "--join", "r1", "--", "sh", "-c",
                     "echo $$ >data/lakehouse/pid; touch export-joined; exec sleep 100")
    wait_for((p.path / "export-joined").exists, what="the joined command")
    pid = int((p.run_dir("r1") / "data/lakehouse/pid").read_text())
    joined.kill()
    p.finish(joined, -signal.SIGKILL)
    wait_for(lambda: not alive(pid), what="the end of the joined command")
    join(p, "touch data/lakehouse/stop")
    p.finish(process)
    sessions = p.record("r1")["sessions"]
    assert sessions[1]["how"] == "front killed" and sessions[1]["exit_status"] is None
    assert p.record("r1")["state"] == "sealed"
    p.assert_clean()


def test_joined_with_a_network(project):
    process = start(project, "touch export-ready; while ! test -e data/lakehouse/stop; do sleep 0.05; done",
                    "--network")
    done = join(project, "ls /proc/self/ns >/dev/null; readlink /proc/self/ns/net; touch data/lakehouse/stop")
    assert done.out.strip() == os.readlink("/proc/self/ns/net")
    project.finish(process)


def test_interrupting_the_wait_ends_joined(project):
    process = start(project)
    joined = project.start(project.bin / "tvfs", "run", "--join", "r1", "--", "sh", "-c",
                           "touch data/lakehouse/stop export-joined; exec sleep 100")
    wait_for((project.path / "export-joined").exists, what="the joined command")
    wait_for(lambda: not alive(project.processes("r1")["command"]), what="the main command's end")
    wait_for(lambda: process.poll() is None, what="the front process to wait")
    import time
    time.sleep(0.3)
    process.terminate()
    project.finish(process)
    project.finish(joined, None)
    project.assert_clean()


def test_root_does_not_join_a_users_run(base, request):
    """It would see nothing: the kernel shows a user's view to this user alone."""
    user = request.getfixturevalue("user")
    p = make_project(base, "foreign", request.getfixturevalue("user_bin"), user)
    process = start(p)
    root = Project(p.path)
    done = root.run("sh", "-c", "touch export-joined", options=["--join", "r1"], status=125)
    assert user.pw_name in done.err and not (p.path / "export-joined").exists()
    join(p, "touch data/lakehouse/stop")
    p.finish(process)
    p.assert_clean()
