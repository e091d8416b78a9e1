"""Routes: a name in the lakehouse and a path in the run's data folder that are one file."""

import json

import pytest

NAME = "portfolio_candidates.json"
PATHS = """
import errno, fcntl, json, mmap, os, subprocess, sys, tempfile
A = "data/lakehouse/portfolio_candidates.json"
B = os.environ["CANDIDATES_SELECTED"]
def same():
    a, b = os.stat(A), os.stat(B)
    assert (a.st_ino, a.st_size, a.st_mtime_ns) == (b.st_ino, b.st_size, b.st_mtime_ns), (a, b)
    assert open(A).read() == open(B).read()
def put(path, text, mode="w"):
    with open(path, mode) as f:
        f.write(text)
"""


@pytest.mark.smoke
def test_one_file_under_both_paths(any_project):
    code = PATHS + """
for here, there in ((A, B), (B, A)):
    put(here, "created"); same()
    put(there, " appended", "a"); same()
    assert open(here).read() == "created appended"
    os.truncate(here, 3); same()
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(here), delete=False) as t:
        t.write("replaced"); t.flush(); os.fsync(t.fileno())
    os.replace(t.name, here); same()
    assert open(there).read() == "replaced"
    put(there, "in place"); same()
    os.utime(here, ns=(5, 7)); same()
    os.chmod(there, 0o640); assert os.stat(here).st_mode & 0o777 == 0o640
    os.remove(there)
    for path in (A, B):
        assert not os.path.exists(path)
put(A, "kept")
"""
    any_project.py(code, "--run-id", "r1")
    assert (any_project.run_dir("r1") / "data" / NAME).read_text() == "kept"
    assert not (any_project.run_dir("r1") / "data/lakehouse" / NAME).exists()
    assert json.loads((any_project.lake / NAME).read_text()) == ["frozen"]


def test_descriptors_and_maps_are_coherent(project):
    code = PATHS + """
for here, there in ((A, B), (B, A)):
    put(here, "0" * 8192)
    with open(here, "r+b") as f, open(there, "r+b") as g:
        m, n = mmap.mmap(f.fileno(), 8192), mmap.mmap(g.fileno(), 8192)
        m[100:105] = b"mmap!"
        assert n[100:105] == b"mmap!"
        m.flush()
        assert os.pread(g.fileno(), 5, 100) == b"mmap!"
        os.pwrite(g.fileno(), b"write", 4096)
        assert m[4096:4101] == b"write"
        m.close(); n.close()
    os.remove(here)
"""
    project.py(code)


def test_locks_meet_from_two_processes(project):
    code = PATHS + """
for here, there in ((A, B), (B, A)):
    put(here, "x")
    for lock in ("flock", "lockf"):
        with open(here, "r+") as f:
            getattr(fcntl, lock)(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            child = subprocess.run([sys.executable, "-c",
                "import fcntl, sys; fcntl.%s(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)" % lock,
                there], stderr=subprocess.PIPE)
            assert b"BlockingIOError" in child.stderr, (lock, child)
    os.remove(here)
"""
    project.py(code)


def test_the_legacy_selection_step(project):
    """flock on a lock file beside it, a temp file in the same folder, os.replace."""
    code = PATHS + """
audit = "data/lakehouse/selection_audit.json"
with open(audit + ".lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    fd, temp = tempfile.mkstemp(dir="data/lakehouse")
    with os.fdopen(fd, "w") as out:
        json.dump({"selection": 1}, out)
    os.replace(temp, audit)
assert json.load(open(os.environ["SELECTION_AUDIT"])) == {"selection": 1}
assert sorted(os.listdir("data/lakehouse")) == ["a.txt", "selection_audit.json",
    "selection_audit.json.lock", "sub"], os.listdir("data/lakehouse")
"""
    project.py(code, "--run-id", "r1")
    assert json.loads((project.run_dir("r1") / "data/selection_audit.json").read_text())


def test_outputs_are_seen_outside_as_they_are_written(project):
    """The run directory is where others look; the overlay is not to be reached from inside."""
    process = project.start_run("sh", "-c", "echo early >data/lakehouse/portfolio_candidates.json;"
                                "ls $TV_RUN_DIR/data; touch export-ready; sleep 30",
                                options=["--run-id", "r1"], ready="export-ready")
    assert (project.run_dir("r1") / "data" / NAME).read_text() == "early\n"
    process.terminate()
    assert project.finish(process, -15).out == f"{NAME}\n"  # no "lakehouse" in there


def test_strict_isolation(any_project):
    """A routed name never falls back to the foundation's copy, and the attempt is recorded."""
    p = any_project
    code = PATHS + """
for _ in range(3):
    try:
        open(A)
    except FileNotFoundError:
        pass
    else:
        raise SystemExit("fell back")
assert "portfolio_candidates.json" not in os.listdir("data/lakehouse")
put(B, "mine")
assert open(A).read() == "mine"
"""
    p.py(code, "--run-id", "r1")
    misses = [m for m in p.record("r1")["route_misses"] if m["name"] == NAME]
    assert misses and misses[0]["count"] >= 1 and not misses[0]["fallback"]
    assert misses[0]["pid"] > 0 and misses[0]["time"]


def test_development_falls_back(project):
    code = PATHS + """
assert json.load(open(A)) == ["frozen"]
put(A, '["mine"]')
assert json.load(open(B)) == ["mine"]
"""
    project.py(code, "--run-id", "r1", "--profile", "development")
    misses = project.record("r1")["route_misses"]
    assert any(m["name"] == NAME and m["fallback"] for m in misses)
    assert json.loads((project.run_dir("r1") / "data" / NAME).read_text()) == ["mine"]


def test_routes_elsewhere(project):
    project.configure(routes={"signals.json": {"data": "deep/er/s.json", "env": "SIGNALS"}})
    project.sh('echo 1 >data/lakehouse/signals.json; cat $SIGNALS; echo 2 >>$SIGNALS;'
               'cat data/lakehouse/signals.json; test $SIGNALS = $TV_RUN_DIR/data/deep/er/s.json',
               "--run-id", "r1")
    assert (project.run_dir("r1") / "data/deep/er/s.json").read_text() == "1\n2\n"


def test_data_profile_has_no_routes(project):
    project.sh("cat data/lakehouse/portfolio_candidates.json; echo 3 >data/lakehouse/selection_audit.json",
               "--run-id", "r1", "--profile", "data")
    assert (project.run_dir("r1") / "data/lakehouse/selection_audit.json").exists()
