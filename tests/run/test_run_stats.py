"""tvfs stats: of mounts and runs, as text, as JSON and for Prometheus; those that do not answer."""

import grp
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import prometheus
from run_support import Project, wait_for


@pytest.fixture
def mounts(project):
    """mounts(n, options...) makes mounts m0, m1, ...; what is left of them goes."""
    made = []

    def make(n, *options):
        for _ in range(n):
            made.append(project.path / f"m{len(made)}")
            made[-1].mkdir()
            project("mount", *options, made[-1])
        return made[-n:]
    yield make
    for m in made:
        subprocess.run(["umount", "-l", m], capture_output=True, check=False)


def pids(project):
    return {r["path"]: r["pid"] for r in project.live()["live"]}


def figures(project, name):
    (row,) = project.json("stats", name)["live"]
    return row["figures"]


@pytest.mark.smoke
def test_a_run(any_project):
    """While it lives its daemon tells; what is kept of it then is short."""
    p = any_project
    process = p.start_run("sh", "-c", "echo x >data/lakehouse/new; cat data/lakehouse/a.txt data/lakehouse/nope; "
                          "touch ready; while [ ! -e go ]; do sleep 0.05; done",
                          options=["--run-id", "r1"], ready="ready")
    try:
        (row,) = p.json("stats", "r1")["live"]
        text = p("stats", "r1").out
        assert p("stats").out.startswith("run r1\n")
    finally:
        (p.path / "go").touch()
        p.finish(process)
    record = p.record("r1")
    assert row["kind"] == "run" and row["run_id"] == "r1" and row["path"] == str(p.lake)
    assert row["foundation_hash"] == record["foundation_hash"]
    assert row["pid"] == record["processes"]["daemon"]["pid"]
    f = row["figures"]
    assert f["operations"]["create"] == f["latencies"]["create"]["count"] == 1
    assert f["operations"]["lookup"] >= 3 and sum(n for _, n in f["latencies"]["lookup"]["buckets"]) >= 3
    assert text.startswith(f"run r1\n  path         {p.lake}\n  foundation   {row['foundation_hash']}\n")
    assert re.search(rf"^  daemon       pid {row['pid']}, up \S+ \S+, \d+ threads, \d+ descriptors, ", text, re.M)
    assert re.search(r"^  passthrough  (on: \d+ opens passed|off \(.+\): \d+ plain opens)", text, re.M)
    assert re.search(r"^  create +1 +0( +[\d.]+ [mun]?s){4}$", text, re.M)
    assert "mknod" not in text  # what never happened is left out
    assert "kernel does by itself" in text
    kept = record["mount"]
    assert kept["latencies"]["create"]["count"] == 1 and "buckets" not in kept["latencies"]["create"]
    assert "just ended" not in p("stats", "r1", status=1).err
    p.assert_clean()


def test_a_mount(project, mounts):
    (mnt,) = mounts(1, "--passthrough", "off")
    (mnt / "a.txt").read_text()
    before = figures(project, mnt)
    for i in range(20):
        assert not (mnt / f"absent{i}").exists()
    after = figures(project, "m0/")  # any way to write it
    assert after["operations"]["lookup"] == before["operations"]["lookup"] + 20
    assert after["latencies"]["lookup"]["count"] == before["latencies"]["lookup"]["count"] + 20
    text = project("stats", "m0").out
    assert text.startswith(f"mount {mnt}\n  foundation") and "passthrough  off (switched off): " in text
    project("umount", mnt)
    assert "'tvfs ps' lists them" in project("stats", mnt, status=1).err


def test_a_mount_with_a_run(project, mounts):
    (mnt,) = mounts(1, "--run-id", "r7")
    (mnt / "w").write_text("w")
    assert figures(project, "r7")["operations"]["create"] == 1
    for name in ("r7", mnt):
        assert project("stats", name).out.startswith(f"mount {mnt}\n  run          r7\n")


def test_a_group_store(base, user, user_bin):
    """Members of the group may ask each other's daemons."""
    p = Project(base / "group")
    (p.path / "mnt").mkdir(parents=True)
    p.write("a.txt", "one\n")
    p("init", "--group", grp.getgrgid(user.pw_gid).gr_name)
    p.commit("-m", "first")
    p.finish(p.start("sh", "-c", f"umask 077; exec {p.bin}/tvfs mount mnt"))
    try:
        member = Project(p.path, user_bin, user)
        assert figures(member, p.path / "mnt")["version"] == 2
    finally:
        p("umount", p.path / "mnt")


def test_prometheus(project, mounts):
    a, b = mounts(2, "--passthrough", "off")
    (a / "a.txt").read_text()
    for mnt in (a, b):
        for i in range(10):
            assert not (mnt / f"absent{i}").exists()
    process = project.start_run("sh", "-c", "touch ready; while [ ! -e go ]; do sleep 0.05; done",
                                options=["--run-id", "secret-run"], ready="ready")
    try:
        each = [row["figures"] for row in project.json("stats")["live"]]
        done = project("stats", "--prometheus")
    finally:
        (project.path / "go").touch()
        project.finish(process)
    metrics = prometheus.parse(done.out)
    for word in (str(project.path), "secret-run", project.json("show")["foundation_hash"][:12], "root@"):
        assert word not in done.out  # nothing without end is a label
    assert len(each) == 3
    assert metrics["tvfs_live"].value(kind="mount", passthrough="off") == 2
    assert sum(metrics["tvfs_live"].samples.values()) == 3
    assert metrics["tvfs_passthrough_info"].value(passthrough="off", reason="switched off") == 1
    assert set(metrics["tvfs_info"].samples.values()) == {1}
    assert metrics["tvfs_unanswered"].value() == 0
    lookups = sum(f["operations"]["lookup"] for f in each)
    assert lookups >= 21
    assert metrics["tvfs_operations_total"].value(op="lookup") == lookups
    times = metrics["tvfs_operation_duration_seconds"]
    assert times.value("_count", op="lookup") == lookups
    assert times.value("_sum", op="lookup") == pytest.approx(
        sum(f["latencies"]["lookup"]["total_ns"] for f in each) / 1e9)
    assert metrics["tvfs_operation_duration_max_seconds"].value(op="lookup") == pytest.approx(
        max(f["latencies"]["lookup"]["max_ns"] for f in each) / 1e9)
    for suffix in ("operations_total", "operation_errors_total"):
        assert len(metrics[f"tvfs_{suffix}"].samples) == 31
    assert metrics["tvfs_read_bytes_total"].value() == 4
    assert metrics["tvfs_inodes"].value() == sum(f["inodes"] for f in each)
    assert metrics["tvfs_uptime_seconds"].value() >= max(f["uptime_seconds"] for f in each)
    for name, metric in metrics.items():
        assert {label for _, labels in metric.samples for label, _ in labels} <= {
            "op", "le", "kind", "passthrough", "reason", "version"}, name


def test_prometheus_of_one(project, mounts):
    a, b = mounts(2)
    os.listdir(a)
    one = prometheus.parse(project("stats", "--prometheus", a).out)
    assert sum(one["tvfs_live"].samples.values()) == 1
    other = prometheus.parse(project("stats", "--prometheus", b).out)
    assert one["tvfs_operations_total"].value(op="readdir") > 0
    assert other["tvfs_operations_total"].value(op="readdir") == 0
    assert one.keys() == other.keys()


def test_nothing_live(project):
    assert project("stats").err == "note: nothing is live\n"
    assert project.json("stats") == {"live": [], "unanswered": []}
    metrics = prometheus.parse(project("stats", "--prometheus").out)
    assert sum(metrics["tvfs_live"].samples.values()) == 0
    assert len(metrics["tvfs_operations_total"].samples) == 31


def test_errors(project, tmp_path):
    for name in ("nothing", "/nowhere/at/all", "", ".", "a\nb"):
        done = project("stats", name, status=1)
        assert "no live run and no mount is called" in done.err and done.err.count("\n") == 1, done.err
        assert done.out == ""
    assert project("stats", "nothing", "--prometheus", status=1).out == ""
    assert project("stats", "nothing", "--json", status=1).doc["error"]["code"] == "ENOENT"
    assert "--json and --prometheus" in project("stats", "--json", "--prometheus", status=2).err
    project("stats", "one", "two", status=2)
    assert "no store" in project("stats", cwd=tmp_path, status=10).err


def test_a_killed_daemon(project, mounts):
    (mnt,) = mounts(1)
    os.kill(pids(project)[str(mnt)], signal.SIGKILL)
    wait_for(lambda: project.live()["dead"] == 1, what="its death to be seen")
    assert "tvfs prune" in project("stats", mnt, status=1).err
    assert project.json("stats") == {"live": [], "unanswered": []}
    project("prune")
    project.assert_clean()


def test_stopped_daemons(project, mounts):
    """They are named, one second is enough for all of them, and the others are told of."""
    *stopped, well = mounts(5)
    who = pids(project)
    for mnt in stopped:
        os.kill(who[str(mnt)], signal.SIGSTOP)
    try:
        tvfs = project.bin / "tvfs"
        start = time.monotonic()
        asked = [project.start(tvfs, "stats", *words)
                 for words in ([], ["--json", stopped[0]], ["--prometheus"])]
        done, one, half = (project.finish(process, 1) for process in asked)
        assert time.monotonic() - start < 3.5
        assert done.out.startswith(f"mount {well}\n") and done.out.count("foundation") == 1
        for mnt in stopped:
            assert f"mount '{mnt}' (pid {who[str(mnt)]}): the daemon does not answer" in done.err
        doc = one.doc
        assert doc["live"] == [] and doc["error"]["code"] == "ETIMEDOUT"
        (row,) = doc["unanswered"]
        assert row["path"] == str(stopped[0]) and row["reason"] == "the daemon does not answer"
        assert prometheus.parse(half.out)["tvfs_unanswered"].value() == 4 and str(stopped[0]) in half.err
    finally:
        for mnt in stopped:
            os.kill(who[str(mnt)], signal.SIGCONT)
    project("stats", well)
    wait_for(lambda: len(project.json("stats")["live"]) == 5, what="all answers")


def test_a_daemon_that_talks_nonsense(project, mounts):
    """Its socket replaced by another's: an error that names it, no crash."""
    (mnt,) = mounts(1)
    (path,) = (project.path / ".tvfs" / "live").glob("*.sock")
    path.unlink()
    assert "just ended" in project("stats", mnt, status=1).err
    with socket.socket(socket.AF_UNIX) as own:
        folder = os.open(path.parent, os.O_RDONLY)
        own.bind(f"/proc/self/fd/{folder}/{path.name}")  # the whole path is too long for an address
        os.close(folder)
        own.listen()
        for answer, text in ((b"", "just ended"), (b"nonsense", "not valid JSON")):
            asked = project.start(project.bin / "tvfs", "stats", mnt)
            peer, _ = own.accept()
            with peer:
                peer.sendall(answer)
            assert text in project.finish(asked, 1).err
        asked = project.start(project.bin / "tvfs", "stats", "--prometheus", mnt)
        peer, _ = own.accept()
        with peer:  # version 1, as an older daemon has it
            peer.sendall(b'{"operations": {"lookup": 5}, "errors": 0, "passthrough": "on", "inodes": 3}')
        metrics = prometheus.parse(project.finish(asked).out)
        assert metrics["tvfs_operations_total"].value(op="lookup") == 5
        assert metrics["tvfs_inodes"].value() == 3
