"""Kills the processes of `tvfs run --publish` in front of every call that writes, and makes calls fail.

A run has several processes (front, supervisor, daemon, and what the data job itself is, which is left
alone); strace cannot aim at one of them, so the recorder does: it numbers the processes, and the calls
in each. After each case nothing is left running, `tvfs prune` cleans up, fsck finds no damage, main is
the old or the new commit, and another run publishes the same.
"""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import crashkit
import pytest

JOBS = 2
LIMIT = 30   # seconds for one run and the end of all its processes

EIO, EMFILE, ENOSPC = 5, 24, 28

# The kernel takes every well-formed reply: with an error that it never gives, a request would stay
# unanswered for ever.
NO_ERRORS_FROM = ["--skip", "/dev/fuse"]


@pytest.fixture(scope="module")
def stages(tracing, work):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("machine cannot: open /dev/fuse")
    made = []
    for i in range(JOBS):
        folder = work / f"run-{i}"
        folder.mkdir()
        stage = crashkit.Stage(crashkit.SCENARIOS["run-publish"], folder, crashkit.single())
        stage.finish()
        made.append(stage)
    yield made
    for stage in made:
        shutil.rmtree(stage.project.folder.parent, ignore_errors=True)


def traced(stage, *options):
    stage.reset()
    argv = [crashkit.recorder(), "--limit", LIMIT, *options, "--", *stage.argv]
    return stage.project.run(argv, timeout=LIMIT + 30)


def calls(stage, work, *options):
    """(process, number, name, what) of every call in a dry run."""
    out = work / "calls"
    done = traced(stage, *options, "--list", out)
    assert done.returncode == 0, (done.returncode, done.stderr)
    lines = [line.split("\t") for line in out.read_text(errors="replace").splitlines()]
    return [(int(p), int(n), name, what) for p, n, name, what in lines]


def check(stage, published):
    """"" or what is wrong after a run that was disturbed; `published`: it said that all went well."""
    p = stage.project
    mounts = [line for line in open("/proc/self/mountinfo") if str(p.folder) in line]
    if mounts:
        return f"left mounted: {mounts[0]}"
    done = p.run(p.command("prune"))
    if done.returncode != 0:
        return f"prune: {done.returncode} {done.stderr}"
    if damage := p.fsck():
        return damage
    head = p.head()
    moved = head != stage.old
    if moved and (head[1] != stage.new[1] or head[2][:1] != [stage.old[0]]):
        return f"main is {head}, not {stage.old} and not what {stage.new} is"
    if published and not moved:
        return "it exits 0, but main stands where it stood"
    if crashkit.tree(p.live) != stage.old_live:
        return "the live folder has changed"
    again = ["JOB-2" if word == "JOB-1" else word for word in stage.argv]
    done = p.run(again)
    if done.returncode != 0:
        return f"repeated: {done.returncode} {done.stderr}"
    if p.head()[1] != stage.new[1]:
        return f"repeated: main is {p.head()}, not {stage.new}"
    return p.fsck()


def run_cases(stages, cases):
    def worker(i):
        wrong = ((what, case(stages[i])) for what, case in cases[i::JOBS])
        return [f"{what}\n    {text}" for what, text in wrong if text]

    with ThreadPoolExecutor(JOBS) as pool:
        found = [line for part in pool.map(worker, range(JOBS)) for line in part]
    assert not found, f"{len(found)} of {len(cases)} cases:\n" + "\n".join(found[:20])


def kill(stage, process, number):
    done = traced(stage, "--kill", f"{process}:{number}")
    if done.returncode == 124:
        return "something still runs"
    return check(stage, done.returncode == 0)


def fail(stage, process, number, error, *options):
    done = traced(stage, *NO_ERRORS_FROM, *options, "--fail", f"{process}:{number}:{error}")
    if done.returncode == 124:
        return "something still runs"
    if done.returncode != 0 and not done.stderr.strip():
        return f"exit {done.returncode} without a word"
    return check(stage, done.returncode == 0)


def test_killed_at_every_writing_call(stages, work):
    listed = calls(stages[0], work)
    processes = {p for p, *_ in listed}
    assert len(processes) >= 3, listed
    cases = [(f"process {p} killed at call {n}: {name} {what}",
              lambda s, p=p, n=n: kill(s, p, n)) for p, n, name, what in listed]
    run_cases(stages, cases)
    print(f"\n{len(cases)} calls of {len(processes)} processes")


def test_writing_calls_fail(stages, work):
    cases = [(f"error {e} in process {p} at call {n}: {name} {what}",
              lambda s, p=p, n=n, e=e: fail(s, p, n, e))
             for p, n, name, what in calls(stages[0], work, *NO_ERRORS_FROM) for e in (EIO, ENOSPC)
             if what != "anon_inode:[eventfd]"]  # which takes every number
    cases += [(f"EMFILE in process {p} at open {n}: {what}",
               lambda s, p=p, n=n: fail(s, p, n, EMFILE, "--opens"))
              for p, n, name, what in calls(stages[0], work, "--opens")
              if not what.startswith(("/lib", "/usr", "/etc"))]
    run_cases(stages, cases)
    print(f"\n{len(cases)} errors")


def test_daemon_killed_by_the_job_itself(stages):
    """The command ends with 0 at once: its end must not overtake the daemon's."""
    stage = stages[0]
    p, ends = stage.project, []
    for i in range(40):
        stage.reset()
        which = ["KILL", "TERM"][i % 2]
        job = (f'cd data/lakehouse; echo 1 >one.txt; pkill -{which} -f "^tvfs serve JOB-1$"; '
               "[ ! -e NASDAQ_S2_1d.parquet ] || echo 2 >two.txt; exit 0")
        done = p.run(p.command("run", "--publish", "main", "--run-id", "JOB-1", "--", "sh", "-c", job))
        moved = p.head() != stage.old
        ends.append((which, done.returncode, moved))
        if moved:
            names = [line.split()[-1] for line in p.tvfs("ls", "main").splitlines()]
            assert done.returncode == 0 and {"one.txt", "two.txt"} <= set(names), (done, names)
        else:
            assert done.returncode == 125 and "daemon" in done.stderr, done
        assert not p.fsck()
    assert not any(moved for which, _, moved in ends if which == "KILL"), ends
    print(f"\n{len(ends)} runs whose job killed the daemon; {sum(m for *_, m in ends)} published in full")


def place(project):
    """Numbers of the namespace and the mount of a project's only run, as it has noted them."""
    (entry,) = (project.folder / ".tvfs" / "live").glob("*.json")
    doc = json.loads(entry.read_text())
    return doc.get("mount_ns"), doc.get("device")


def start_waiting(project):
    """A run that ends when the file `stop` comes."""
    (project.folder / "stop").unlink(missing_ok=True)
    ready = project.live.parent / "ready"
    ready.unlink(missing_ok=True)
    job = "touch data/ready; while [ ! -e stop ]; do sleep 0.05; done"
    run = subprocess.Popen(
        project.command("run", "--", "sh", "-c", job), cwd=project.folder, env=project.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    while run.poll() is None and not ready.exists():
        time.sleep(0.01)
    return run


def test_prune_leaves_other_projects_alone(stages):
    """The numbers of a dead run's namespace and mount are given away again: to the next run, which
    may be another project's."""
    for stage in stages:
        stage.reset()
    mine, other = (stage.project for stage in stages)
    dead = start_waiting(mine)
    # its supervisor, and with it the whole run
    entry = json.loads(next((mine.folder / ".tvfs" / "live").glob("*.json")).read_text())
    os.kill(entry["owner"]["pid"], 9)
    assert dead.wait(30) == 125
    for _ in range(20):
        time.sleep(0.2)
        live = start_waiting(other)
        if place(other) == place(mine):
            break
        (other.folder / "stop").touch()
        live.wait(30)
    mine.tvfs("prune")
    (other.folder / "stop").touch()
    assert live.wait(30) == 0, live.stderr.read()
