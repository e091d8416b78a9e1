"""Many publishers at once."""

import json
import subprocess
import time

from cli_support import BIN, environment

N = 64


def start(project, *words):
    return subprocess.Popen([BIN / "tvfs", *words], cwd=project.path, env=environment(),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_64_commit_different_paths(project):
    project.write("base.json", "{}")
    base = project.commit()
    for i in range(N):
        project.write(f"f{i:02}.json", f'{{"i": {i}}}')
    begun = time.monotonic()
    running = [start(project, "commit", "-m", f"c{i}", "--json", f"data/lakehouse/f{i:02}.json")
               for i in range(N)]
    docs = []
    for p in running:
        out, err = p.communicate(timeout=240)
        assert p.returncode == 0, err
        docs.append(json.loads(out))
    print(f"{N} commits by {N} processes: {N / (time.monotonic() - begun):.0f}/s")
    log = project("log", "--json").items
    assert len(log) == N + 1 and log[-1]["commit"] == base["commit"]
    assert {c["message"] for c in log[:-1]} == {f"c{i}" for i in range(N)}
    assert {d["commit"] for d in docs} == {c["commit"] for c in log[:-1]}
    assert len(project("ls").out.splitlines()) == N + 1
    assert project.json("status")["live"]["changes"] == []
    project("fsck", "--read-data")


def test_beside_gc(project):
    """gc --delete in a loop: nothing it deletes is needed."""
    project.write("base.json", "{}")
    project.commit()
    for i in range(16):
        project.write(f"f{i:02}.json", f'{{"i": {i}}}')
    running = [start(project, "commit", f"data/lakehouse/f{i:02}.json") for i in range(16)]
    while any(p.poll() is None for p in running):
        project("gc", "--delete")
    for p in running:
        _, err = p.communicate()
        assert p.returncode == 0, err
    project("gc", "--delete")
    project("fsck", "--read-data")
    assert len(project("ls").out.splitlines()) == 17
