"""Whatever way a run ends: no mount, no lease, no process, a record that says what happened."""

import os
import pty
import re
import signal
import subprocess
import time

import pytest

from run_support import alive, fuse_mounts, wait_for

READY = "export-ready"


def start(p, script=None, run_id="r1", options=(), **more):
    script = script or f"echo mine >data/lakehouse/mine; touch {READY}; while :; do sleep 0.1; done"
    process = p.start_run("sh", "-c", script, options=["--run-id", run_id, *options], ready=READY, **more)
    wait_for(lambda: "pid" in p.record(run_id)["sessions"][-1], what="the record of the start")
    return process, p.processes(run_id)


def assert_overlay_kept(p, run_id="r1"):
    assert (p.run_dir(run_id) / "data/lakehouse/mine").read_text() == "mine\n"


def assert_all_gone(pids):
    wait_for(lambda: not any(alive(pid) for pid in pids.values()), what=f"the end of {pids}")


def test_kill_front(any_project):
    p = any_project
    process, pids = start(p)
    os.kill(pids["front"], signal.SIGKILL)
    p.finish(process, -signal.SIGKILL)
    assert_all_gone(pids)
    record = p.record("r1")
    assert record["state"] == "failed" and record["sessions"][0]["how"] == "front killed"
    assert_overlay_kept(p)
    p.assert_clean()


def test_kill_supervisor(any_project):
    p = any_project
    process, pids = start(p)
    os.kill(pids["supervisor"], signal.SIGKILL)
    done = p.finish(process, 125)
    assert "supervisor" in done.err and "tvfs prune" in done.err
    assert_all_gone(pids)
    ps = p.live()
    assert [row["state"] for row in ps["live"]] == ["dead"] and ps["stale_leases"] == 1
    assert "tvfs prune" in p("ps").err
    assert "tvfs prune" in p.sh("true", "--run-id", "r1", status=125).err
    pruned = p.json("prune")
    assert pruned["runs"] == 1 and pruned["leases"] == 1 and pruned["entries"] == 1
    record = p.record("r1")
    assert record["state"] == "failed" and record["sessions"][0]["how"] == "supervisor killed"
    assert_overlay_kept(p)
    p.assert_clean()
    assert p.json("prune") == {k: 0 for k in pruned}


def test_kill_daemon(any_project):
    p = any_project
    process, pids = start(p)
    os.kill(pids["daemon"], signal.SIGKILL)
    done = p.finish(process, 125)
    assert "daemon" in done.err
    assert_all_gone(pids)
    record = p.record("r1")
    assert record["state"] == "failed" and record["sessions"][0]["how"] == "daemon died"
    assert_overlay_kept(p)
    p.assert_clean()


def test_kill_command(any_project):
    p = any_project
    process, pids = start(p)
    os.kill(pids["command"], signal.SIGKILL)
    p.finish(process, -signal.SIGKILL)
    assert_all_gone(pids)
    record = p.record("r1")
    assert record["state"] == "failed" and record["sessions"][0]["signal"] == 9
    assert_overlay_kept(p)
    p.assert_clean()


def test_kill_process_group(any_project):
    """As a raylet does it with its workers."""
    p = any_project
    process, pids = start(p, start_new_session=True)
    os.killpg(pids["front"], signal.SIGKILL)
    p.finish(process, -signal.SIGKILL)
    assert_all_gone(pids)
    assert wait_for(lambda: p.record("r1")["state"] == "failed", what="the record")
    p.assert_clean()


def test_kill_all_at_once(any_project):
    p = any_project
    process, pids = start(p)
    for pid in pids.values():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.finish(process, -signal.SIGKILL)
    assert_all_gone(pids)
    p("prune")
    assert p.record("r1")["state"] == "failed"
    assert_overlay_kept(p)
    p.assert_clean()


def test_grandchildren_do_not_survive(project):
    """What the command left running is ended, and the record says what it was."""
    script = (f"echo mine >data/lakehouse/mine; (setsid sleep 300 & echo $! >data/lakehouse/pid);"
              f"touch {READY}")
    process = project.start_run("sh", "-c", script, options=["--run-id", "r1"], ready=READY)
    done = project.finish(process)
    assert "left behind" in done.err
    pid = int((project.run_dir("r1") / "data/lakehouse/pid").read_text())
    assert not alive(pid)
    (left,) = project.record("r1")["sessions"][0]["leftovers"]
    assert left["pid"] == pid and "sleep 300" in left["command"]
    project.assert_clean()


@pytest.mark.parametrize("who", ["front", "supervisor", "all"])
def test_grandchildren_after_a_kill(any_project, who):
    p = any_project
    script = f"setsid sleep 301 & echo $! >data/lakehouse/pid; touch {READY}; wait"
    # its output is not ours: what survives would keep a pipe open
    process, pids = start(p, script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = int((p.run_dir("r1") / "data/lakehouse/pid").read_text())
    for name, victim in pids.items():
        if who in (name, "all"):
            os.kill(victim, signal.SIGKILL)
    p.finish(process, None)
    if who == "all":
        assert alive(pid)  # nobody was left to end it
    p("prune")
    wait_for(lambda: not alive(pid), what="the end of the grandchild")
    wait_for(lambda: p.record("r1")["state"] == "failed", what="the record")
    wait_for(lambda: not p.live()["live"], what="the end of the entry")
    p.assert_clean()


def test_nested_namespace_does_not_survive(project):
    """A process that made a mount namespace from the run's still holds the view."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: unshare without root in this test")
    script = f"setsid unshare -m sleep 302 & sleep 0.3; touch {READY}; wait"
    process, pids = start(project, script)
    os.kill(pids["front"], signal.SIGKILL)
    project.finish(process, -signal.SIGKILL)
    assert_all_gone(pids)
    wait_for(lambda: subprocess.run(["pgrep", "-f", "^sleep 302"], check=False).returncode == 1,
             what="the end of the nested process")
    project.assert_clean()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_signals_are_passed_on(any_project, name):
    p = any_project
    script = f"trap 'echo got; exit 9' {name}; touch {READY}; while :; do sleep 0.05; done"
    process, pids = start(p, script)
    os.kill(pids["front"], getattr(signal, f"SIG{name}"))
    assert p.finish(process, 9).out == "got\n"
    assert p.record("r1")["exit_status"] == 9
    p.assert_clean()


def test_signal_status_is_the_callers_to_see(project):
    process, pids = start(project)
    os.kill(pids["front"], signal.SIGTERM)
    project.finish(process, -signal.SIGTERM)
    # as a shell sees it
    done = subprocess.run(["sh", "-c", f"'{project.bin}/tvfs' run -q -- sh -c 'kill -USR1 $$'; echo $?"],
                          cwd=project.path, capture_output=True, check=True, timeout=60)
    assert done.stdout.split() == [b"138"]


class Terminal:
    """A command on a terminal of its own; without one, a run of a shell script."""

    def __init__(self, p, script, command=None):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(p.path)
            command = command or [p.bin / "tvfs", "run", "-q", "--run-id", "r1", "--", "sh", "-c", script]
            os.execvpe(command[0], command, {**p.environment(), "PS1": "outer> "})
        self.pid, self.seen = pid, b""

    def type(self, keys):
        os.write(self.fd, keys)

    def expect(self, text, seconds=20):
        os.set_blocking(self.fd, False)

        def look():
            try:
                self.seen += os.read(self.fd, 4096)
            except (BlockingIOError, OSError):
                pass
            return text in self.seen
        wait_for(look, seconds, f"{text} after {self.seen}")


def test_control_c(project):
    t = Terminal(project, "n=0; trap 'n=$((n+1)); sleep 0.3; echo caught $n; exit 4' INT; echo go;"
                 "while :; do sleep 0.05; done")
    t.expect(b"go")
    t.type(b"\x03")
    t.expect(b"caught 1")  # once: the terminal's signal is not passed on a second time
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 4
    project.assert_clean()


def test_control_z(project):
    t = Terminal(project, "echo go; while read line; do echo got $line; done")
    t.expect(b"go")
    t.type(b"one\n")
    t.expect(b"got one")
    # pty.fork makes us its parent but an orphaned group: stop it as a shell would
    command = project.processes("r1")["command"]
    os.kill(t.pid, signal.SIGTSTP)
    wait_for(lambda: re.search(r"^State:\s+T", open(f"/proc/{command}/status").read(), re.M) or
             re.search(r"^State:\s+S", open(f"/proc/{command}/status").read(), re.M), what="the stop")
    os.kill(t.pid, signal.SIGCONT)
    t.type(b"two\n")
    t.expect(b"got two")
    t.type(b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 0


def test_job_control(project):
    """Stopped and continued by a shell with job control, the command goes on where it was."""
    script = (f"set -m; '{project.bin}/tvfs' run -q --run-id r1 -- sh -c 'touch {READY}; i=0; "
              "while [ $i -lt 20 ]; do i=$((i+1)); sleep 0.05; done; echo end' & "
              f"while ! [ -e {READY} ]; do sleep 0.02; done; kill -STOP %1; sleep 0.2; jobs; "
              "kill -CONT %1; wait %1; echo status $?")
    done = subprocess.run(["bash", "-c", script], cwd=project.path, capture_output=True, timeout=60,
                          check=True)
    assert b"Stopped" in done.stdout and done.stdout.endswith(b"end\nstatus 0\n"), done


def test_shell_that_suspends_itself(project):
    """Its caller's prompt is back, and fg goes on with it."""
    t = Terminal(project, None, ["bash", "--norc", "-i"])
    t.type(f"'{project.bin}/tvfs' run -q --run-id r1 -- bash --norc -i\n".encode())
    wait_for(lambda: project.record("r1").get("state") == "live", what="the run")
    t.type(b"PS1=in''ner'> '\n")
    t.expect(b"inner> ")
    t.type(b"suspend\n")
    t.expect(b"Stopped")
    t.type(b"echo at $((40 + 2))\n")
    t.expect(b"at 42")
    t.type(b"fg\n")
    t.type(b"echo again $((50 + 3)) $TV_RUN_ID; exit 6\n")
    t.expect(b"again 53 r1")
    t.type(b"echo status $?\n")
    t.expect(b"status 6")
    t.type(b"exit\n")
    os.waitpid(t.pid, 0)
    project.assert_clean()


def test_terminate_supervisor_softly(project):
    """SIGTERM to the supervisor, as a shutdown sends it to everybody, ends the run in order."""
    process, pids = start(project)
    os.kill(pids["supervisor"], signal.SIGTERM)
    project.finish(process, 125)
    assert_all_gone(pids)
    assert project.record("r1")["state"] == "failed"
    project.assert_clean()


def test_no_mount_is_seen_outside(any_project):
    p = any_project
    process, pids = start(p)
    assert fuse_mounts(p.path) == []
    assert not (p.lake / "mine").exists()
    os.kill(pids["front"], signal.SIGTERM)
    p.finish(process, -signal.SIGTERM)


@pytest.mark.slow
def test_kills_at_random_moments(project):
    """Also while everything is still being set up."""
    import random
    seed = int(os.environ.get("TV_SEED", random.randrange(1 << 30)))
    print(f"TV_SEED={seed}")
    rng = random.Random(seed)
    for i in range(25):
        process = project.start(project.bin / "tvfs", "run", "-q", "--run-id", f"k{i}", "--", "sh", "-c",
                                "while :; do echo x >data/lakehouse/x; done", start_new_session=True)
        time.sleep(rng.random() * 0.15)
        how = rng.choice(["front", "group", "children"])
        if how == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            kids = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=False)
            if how == "front":
                process.kill()
            for pid in kids.stdout.split() if how == "children" else []:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if how == "children" and not kids.stdout:
                process.kill()
        project.finish(process, None, timeout=60)

    def quiet():
        project("prune")
        ps = project.live()
        # What was orphaned while it was being set up may still be on its way.
        return not ps["live"] and not ps["stale_leases"] and not any((project.path / ".tvfs" / "live").iterdir())
    wait_for(quiet, 60, "everything to be pruned")
    project.assert_clean()
    states = {project.record(d.name)["state"] for d in project.runs.iterdir()
              if (d / "config/run.json").exists()}
    assert states <= {"failed", "sealed"}
    assert subprocess.run(["pgrep", "-f", "x >data/lakehouse/x"], check=False).returncode == 1
