"""`./dev bench [FILTER]`: tvfs beside its peers, interleaved, as ratios.

Each table is one run in which the subjects take turns (A, B, A, B, ...), so that a machine whose speed
drifts moves all of them; every second round goes backwards. Shown are minimum, median and maximum in milliseconds, the ratio of medians
to the table's baseline, and how noisy the baseline itself was. A peer that is not installed is listed as
absent. Results also go to build/bench/results.json. Nothing here fails on a slow figure: it is a
measurement, not a test.
"""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", ROOT / "build/bin"))
HELPERS = ROOT / "build/dev/tests"
TVFS = str(BIN / "tvfs")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))  # shrinks the large trees for a quick look

RESULTS = []


SCRATCH = tempfile.TemporaryFile()  # what commands print: a pipe would be timed with them


def run(*command, cwd=None, env=None):
    """Runs a command to its end; what it printed is kept for the message when it fails."""
    SCRATCH.seek(0)
    SCRATCH.truncate()
    status = subprocess.call(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=SCRATCH, stderr=SCRATCH)
    if status:
        SCRATCH.seek(0)
        raise RuntimeError(f"{' '.join(map(str, command))}: {SCRATCH.read().decode()[-400:]}")


def version():
    return subprocess.check_output([TVFS, "version"], text=True).strip()


class Subject:
    """One competitor: prepare() before each round (not timed), work() timed, clean() after."""

    def __init__(self, name, work, prepare=None, clean=None, absent=None):
        self.name, self.work, self.absent = name, work, absent
        self.prepare = prepare or (lambda: None)
        self.clean = clean or (lambda: None)
        self.times = []


def table(title, goal, subjects, rounds=ROUNDS, scale=1e3, unit="ms"):
    """Runs the subjects in turn, forth and back; the first is the baseline. work() may return its own seconds."""
    present = [s for s in subjects if not s.absent]
    for number in range(rounds + 1):
        for subject in present if number % 2 else reversed(present):  # nobody is always the one after the slow one
            subject.prepare()
            start = time.perf_counter()
            own = subject.work()
            elapsed = own if isinstance(own, float) else time.perf_counter() - start
            subject.clean()
            if number:  # the first round warms up
                subject.times.append(elapsed)
    base = statistics.median(present[0].times)
    noise = (max(present[0].times) - min(present[0].times)) / base
    print(f"\n{title}\n  goal: {goal}; {rounds} rounds in turn; baseline {present[0].name}, noise ±{noise / 2:.0%}")
    print(f"  {'':34} {'min':>9} {'median':>9} {'max':>9} {unit}   ratio")
    for s in subjects:
        if s.absent:
            print(f"  {s.name:34} absent: {s.absent}")
            continue
        low, mid, high = (f(s.times) * scale for f in (min, statistics.median, max))
        print(f"  {s.name:34} {low:9.2f} {mid:9.2f} {high:9.2f}      {mid / scale / base:5.2f}")
    RESULTS.append({
        "title": title, "goal": goal, "unit": unit, "baseline": present[0].name, "noise": noise,
        "subjects": [{"name": s.name, "absent": s.absent, "times": [t * scale for t in s.times],
                      "ratio": statistics.median(s.times) / base if s.times else None} for s in subjects],
    })
    sys.stdout.flush()


def missing(program):
    return None if shutil.which(program) else "not installed"


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def make_project(work, name):
    project = fresh(work / name)
    (project / "data/lakehouse").mkdir(parents=True)
    run(TVFS, "init", cwd=project)
    return project


def sync_disks():
    os.sync()


def first_commit(work):
    """2,000 files of 100 KB that nobody has seen before."""
    source = fresh(work / "first")
    for i in range(2000):
        (source / f"NASDAQ_S{i:04}_1d.parquet").write_bytes(b"PAR1" + os.urandom(100_000 - 8) + b"PAR1")
    sync_disks()
    box = work / "box"
    env = {**os.environ, "HOME": str(work), "BORG_PASSPHRASE": "x", "RESTIC_PASSWORD": "x",
           "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "GIT_CONFIG_NOSYSTEM": "1"}

    def prepare(*init, cwd=None):
        def go():
            fresh(box)
            for command in init:
                run(*command, cwd=box, env=env)
            sync_disks()
        return go

    def tvfs_prepare():
        make_project(work, "box")
        (box / "data/lakehouse").rmdir()
        settings = box / "tvfs.json"
        text = json.loads(settings.read_text())
        text["settle"] = "0s"
        settings.write_text(json.dumps(text))
        os.rename(source, box / "data/lakehouse")
        sync_disks()

    def tvfs_clean():
        os.rename(box / "data/lakehouse", source)

    git = ["git", "-c", "user.name=b", "-c", "user.email=b@b", "-c", "core.fsync=all", "--git-dir", str(box / "g"),
           "--work-tree", str(source)]
    table("first commit of 2,000 x 100 KB", "<= 1.1x of cp -r and sync", [
        Subject("cp -r, sync", lambda: run("sh", "-c", f"cp -r {source} {box}/copy && sync -f {box}"), prepare()),
        Subject("tvfs commit", lambda: run(TVFS, "commit", cwd=box), tvfs_prepare, tvfs_clean),
        Subject("git add, commit", lambda: (run(*git, "add", "-A", env=env), run(*git, "commit", "-qm", "x", env=env)),
                prepare(["git", "init", "-q", "--bare", "g"]), absent=missing("git")),
        Subject("restic backup", lambda: run("restic", "-q", "-r", "r", "backup", str(source), cwd=box, env=env),
                prepare(["restic", "-q", "-r", "r", "init"]), absent=missing("restic")),
        Subject("borg create", lambda: run("borg", "create", "r::a", str(source), cwd=box, env=env),
                prepare(["borg", "init", "-e", "none", "r"]), absent=missing("borg")),
        Subject("ostree commit", lambda: run("ostree", "--repo=r", "commit", "-b", "m", f"--tree=dir={source}", cwd=box, env=env),
                prepare(["ostree", "--repo=r", "init", "--mode=bare-user"]), absent=missing("ostree")),
        Subject("dvc add", lambda: run("dvc", "add", "-q", "copy", cwd=box, env=env),
                lambda: (prepare(["git", "init", "-q"], ["dvc", "init", "-q"])(), shutil.copytree(source, box / "copy")),
                absent=missing("dvc")),
    ])
    shutil.rmtree(source)
    shutil.rmtree(box, ignore_errors=True)


def change_commit(work):
    """One changed file: among 100,000 found by a scan, and with its path given."""
    count = int(100_000 * SCALE)
    project = make_project(work, "scan")
    lake = project / "data/lakehouse"
    for i in range(count):
        (lake / f"F{i:06}.parquet").write_bytes(b"PAR1xxxxPAR1")
    time.sleep(1)
    run(TVFS, "commit", cwd=project)
    sync_disks()
    victim = lake / "F000007.parquet"
    stamp = [0]

    def touch():
        stamp[0] += 1
        victim.write_bytes(b"PAR1%08dPAR1" % stamp[0])
        time.sleep(0.4)  # older than the settle time

    table(f"commit with 1 of {count:,} files changed", "scan <= 1.3x of find; path given <= 10 ms", [
        Subject("find -printf '%s %T@'", lambda: run("find", str(lake), "-printf", "%s %T@\\n")),
        Subject("tvfs commit", lambda: run(TVFS, "commit", cwd=project), touch),
        Subject("tvfs commit PATH", lambda: run(TVFS, "commit", "data/lakehouse/F000007.parquet", cwd=project), touch),
        Subject("tvfs version (process start)", lambda: run(TVFS, "version")),
    ])
    shutil.rmtree(project)


def large_project(work, name, count, changed):
    """A foundation of so many files, and a live folder that counts as synced with it."""
    project = make_project(work, name)
    run(HELPERS / "helper-make-large-tree", project / ".tvfs", "main", str(count), str(changed),
        project / "data/lakehouse")
    return project


def commit_path(project):
    """Changes one file of the lakehouse, waits until it is older than the settle time, and commits it."""
    victim = project / "data/lakehouse/EXCHANGE_SYM0000500_1d.parquet"

    def change():
        victim.write_bytes(b"PAR1" + os.urandom(8) + b"PAR1")
        time.sleep(0.4)

    def commit():
        run(TVFS, "commit", victim, cwd=project)

    return {"work": commit, "prepare": change}


def mount_time(project):
    """Seconds from the start of `tvfs mount` to the first stat behind it."""
    point = project / "mnt"
    point.mkdir(exist_ok=True)
    start = time.perf_counter()
    run(TVFS, "mount", "--read-only", str(point), cwd=project)
    os.stat(point / "EXCHANGE_SYM0000500_1d.parquet")
    elapsed = time.perf_counter() - start
    run(TVFS, "umount", str(point), cwd=project)
    return elapsed


def large_trees(work):
    big = int(1_000_000 * SCALE)
    start = time.perf_counter()
    small_project = large_project(work, "k1", 1000, 10)
    big_project = large_project(work, "m1", big, 10)
    print(f"\nmaking foundations of 1,000 and {big:,} files: {time.perf_counter() - start:.1f} s")
    sync_disks()  # else the second is timed beside its own writing back
    table("mount, until the first stat", "<= 10 ms both", [
        Subject("1,000 files", lambda: mount_time(small_project)),
        Subject(f"{big:,} files", lambda: mount_time(big_project)),
    ], rounds=ROUNDS * 2)
    table("diff of two foundations that differ in 10 files (whole process)", "<= 5 ms at 1,000,000", [
        Subject("tvfs version (process start)", lambda: run(TVFS, "version")),
        Subject("1,000 files", lambda: run(TVFS, "diff", "main~1", "main", cwd=small_project)),
        Subject(f"{big:,} files", lambda: run(TVFS, "diff", "main~1", "main", cwd=big_project)),
    ], rounds=ROUNDS * 2)
    table("commit of one given path", "1,000,000 files <= 1.3x of 1,000; <= 10 ms", [
        Subject("1,000 files", **commit_path(small_project)),
        Subject(f"{big:,} files", **commit_path(big_project)),
    ], rounds=ROUNDS * 2)
    for project in small_project, big_project:
        shutil.rmtree(project)


def parallel_commits(work):
    """64 processes that commit different paths at once: commits a second."""
    project = make_project(work, "p64")
    lake = project / "data/lakehouse"
    for i in range(64):
        (lake / f"S{i:02}.json").write_text("{}")
    run(TVFS, "commit", cwd=project)
    stamp = [0]

    def change():
        stamp[0] += 1
        for i in range(64):
            (lake / f"S{i:02}.json").write_text(json.dumps({"round": stamp[0], "i": i}))
        time.sleep(0.4)

    def at_once():
        children = [subprocess.Popen([TVFS, "commit", f"data/lakehouse/S{i:02}.json"], cwd=project, stdout=subprocess.DEVNULL) for i in range(64)]
        if any(child.wait() for child in children):
            raise RuntimeError("a commit failed")

    table("64 commits of one path each", "at once no slower than one after the other", [
        Subject("one after the other", lambda: [run(TVFS, "commit", f"data/lakehouse/S{i:02}.json", cwd=project) for i in range(64)], change),
        Subject("64 processes at once", at_once, change),
    ], rounds=3)


BENCHES = {"first-commit": first_commit, "change-commit": change_commit, "large-trees": large_trees,
           "parallel-commits": parallel_commits}


def main(words):
    chosen = [name for name in BENCHES if not words or any(word in name for word in words)]
    if not chosen:
        sys.exit(f"bench: nothing is called {' '.join(words)}; there are: {', '.join(BENCHES)}")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores; "
          f"{version()}")
    with tempfile.TemporaryDirectory(prefix="tvfs-bench-", dir=ROOT / "build") as folder:
        for name in chosen:
            BENCHES[name](pathlib.Path(folder))
    out = ROOT / "build/bench/results.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(RESULTS, indent=1))
    print(f"\nresults: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
