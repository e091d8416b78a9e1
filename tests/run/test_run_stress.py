"""A daemon that is killed or stopped under load: clients get an error, nobody else waits, and prune leaves nothing."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from run_support import alive, fuse_mounts, wait_for

GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
STRESS = """stress-ng --timeout 60 --dir 1 --rename 1 --symlink 1 --open 1 --open-max 100 --hdd 1 --hdd-bytes 4m --mmap 1
    --mmap-bytes 1m --mmap-file --getdent 1 --flock 1 --temp-path""".split()
# Works in a folder until there is an error, and tells which; each file is one that others work on, too.
CLIENT = """
import os, sys
lake, ready = sys.argv[1:]
try:
    for i in range(10**9):
        name = f"{lake}/n{i % 20}"
        with open(name + f".{os.getpid()}", "w") as f:
            f.write("x" * 5000)
        os.replace(f.name, name)
        os.listdir(lake + "/sub")
        with open(lake + "/big.bin", "rb") as f:
            f.read()
        if i == 3:
            open(ready, "w").close()
except OSError as e:
    print(e.errno)
"""
# One request each, of every kind; in a mount that has answered none of them before.
REQUESTS = {
    "stat": "os.stat('absent')", "list": "os.listdir('sub')", "read": "open('sub/b.txt').read()",
    "write": "open('a.txt', 'a').write('x')", "create": "open('new', 'w')", "rename": "os.rename('sub', 'sub2')",
    "mapping": "mmap.mmap(os.open('big.bin', 0), 0, prot=1)[1 << 20]", "figures": "os.statvfs('.')",
    "attributes": "os.setxattr('big.bin', 'user.x', b'x')", "folder": "os.mkdir('folder')"}


@pytest.fixture
def mnt(any_project):
    """A mount of an open run, with a large file."""
    p = any_project
    if p.user and not shutil.which("fusermount3"):
        pytest.skip("machine cannot: fusermount3 is not installed")
    p.write("big.bin", bytes(2 << 20))
    p.commit("-m", "large")
    path = p.path / "mnt"
    path.mkdir()
    p.own(path)
    p("mount", "--run-id", "r1", path)
    yield path
    for pid in [row["pid"] for row in p.live()["live"]]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    subprocess.run(["umount", "-l", path], capture_output=True, check=False)


def daemon_of(p):
    (row,) = p.live()["live"]
    return row["pid"]


def start_load(p, lake, n=6):
    """Clients that are at work, and stress-ng beside them."""
    ready = [p.path / f"ready{i}" for i in range(n)]
    work = lake / "stress"
    p.finish(p.start("mkdir", work))
    clients = [p.start(p.python, "-c", CLIENT, lake, r) for r in ready]
    stress = p.start(*STRESS, work, start_new_session=True)
    wait_for(lambda: all(r.exists() for r in ready), what="the load")
    return clients, stress


def end_load(p, clients, stress):
    """The clients end by themselves; what stress-ng goes on to try can be ended."""
    codes = {int(p.finish(c, timeout=20).out) for c in clients}
    assert codes <= GONE, codes
    os.killpg(stress.pid, signal.SIGKILL)
    p.finish(stress, None, timeout=10)


def assert_usable(p, mnt):
    """What was killed is cleaned up, and the run can go on where it was."""
    pruned = p.json("prune")
    assert pruned["mounts"] == 1 and pruned["entries"] == 1 and pruned["leases"] == 1, pruned
    assert not fuse_mounts(mnt)
    p.assert_clean()
    assert p.sh("cat data/lakehouse/sub/b.txt; cat data/lakehouse/n1 | wc -c; rm -r data/lakehouse/stress",
                "--run-id", "r1").out.split() == ["two", "5000"]
    p.assert_clean()


def test_daemon_of_a_mount_killed_under_load(any_project, mnt):
    p = any_project
    clients, stress = start_load(p, mnt)
    os.kill(daemon_of(p), signal.SIGKILL)
    end_load(p, clients, stress)
    assert_usable(p, mnt)


def test_daemon_of_a_run_killed_under_load(any_project):
    p = any_project
    p.write("big.bin", bytes(2 << 20))
    p.commit("-m", "large")
    script = (f"mkdir data/lakehouse/stress; {' '.join(STRESS)} $PWD/data/lakehouse/stress >/dev/null 2>&1 & "
              '"$0" -c "$1" $PWD/data/lakehouse $PWD/export-ready; wait')
    process = p.start_run("sh", "-c", script, p.python, CLIENT, options=["--run-id", "r1"], ready="export-ready")
    pids = p.processes("r1")
    os.kill(pids["daemon"], signal.SIGKILL)
    done = p.finish(process, 125, timeout=30)
    assert "daemon" in done.err
    wait_for(lambda: not any(alive(pid) for pid in pids.values()), what=f"the end of {pids}")
    assert p.record("r1")["sessions"][0]["how"] == "daemon died"
    p.assert_clean()


def state_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def waits(process):
    """True when it waits for an answer: the kernel's own name of the place."""
    return "request_wait_answer" in pathlib.Path(f"/proc/{process.pid}/wchan").read_text() or state_of(process.pid) == "D"


def test_stopped_daemon_stops_nobody_else(any_project, mnt):
    """Who asks it waits and can be killed; all others go on, and so does it afterwards."""
    p = any_project
    p.finish(p.start("cat", mnt / "sub" / "b.txt"))
    pid = daemon_of(p)
    os.kill(pid, signal.SIGSTOP)
    clients = [p.start(p.python, "-c", f"import mmap, os; os.chdir({str(mnt)!r})\n{code}") for code in REQUESTS.values()]
    try:
        for client in clients:
            wait_for(lambda c=client: waits(c), what="the request")
        for words in (["df", "-l"], ["df", p.path], ["ls", "-l", p.lake], ["sync"], ["sync", "-f", p.path], ["ps", "aux"],
                      ["find", p.lake], [p.bin / "tvfs", "ps"], [p.bin / "tvfs", "fsck"], [p.bin / "tvfs", "run", "true"]):
            p.finish(p.start(*words), timeout=60)
        assert not any(p.json("prune").values())
        for client in clients:
            client.kill()
        for client in clients:
            p.finish(client, -signal.SIGKILL, timeout=10)
    finally:
        os.kill(pid, signal.SIGCONT)
        for client in clients:
            client.kill()
            client.wait()
    assert p.finish(p.start("cat", mnt / "a.txt")).out == "one\n"
    p("umount", mnt)
    p.assert_clean()


def test_daemon_stopped_under_load(any_project, mnt):
    """The requests that it has taken by then cannot be given up, nor can whoever waits behind them for the same
    folder: until it goes on, or is killed."""
    p = any_project
    clients, stress = start_load(p, mnt, 12)
    pid = daemon_of(p)
    os.kill(pid, signal.SIGSTOP)
    for client in clients:
        wait_for(lambda c=client: waits(c), what="the request")
        client.kill()
    os.kill(pid, signal.SIGCONT)
    for client in clients:
        p.finish(client, -signal.SIGKILL, timeout=10)
    os.killpg(stress.pid, signal.SIGKILL)
    p.finish(stress, None, timeout=10)
    clients = [p.start(p.python, "-c", CLIENT, mnt, p.path / f"again{i}") for i in range(12)]
    wait_for(lambda: all((p.path / f"again{i}").exists() for i in range(12)), what="the load")
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    assert {int(p.finish(c, timeout=20).out) for c in clients} <= GONE
    assert_usable(p, mnt)
