"""A full disk: below the store, the live folder, and the overlay of a live run."""

import json
import os
import signal
import subprocess
import sys
import time

import crashkit
import pytest

SIZE = 12 << 20


def mount_tmpfs(folder):
    return ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tvfs-test", folder]


def mount_ext4(folder):
    image = folder.with_suffix(".ext4")
    with open(image, "wb") as f:
        f.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-J", "size=1", image], check=False,
                   capture_output=True)
    return ["mount", "-o", "loop", image, folder]


@pytest.fixture(params=[mount_tmpfs, mount_ext4], ids=["tmpfs", "ext4"])
def disk(request, work):
    """A project on a small disk of its own."""
    folder = work / request.node.name
    folder.mkdir()
    mounted = subprocess.run(request.param(folder), capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"machine cannot: mount: {mounted.stderr.strip()}")
    (folder / "p").mkdir()
    yield crashkit.Project(folder / "p", os.environ.get("TVFS_BIN", crashkit.single()))
    left = crashkit.end_processes(crashkit.token)  # of a test that failed in the midst
    subprocess.run(["umount", folder], check=True)
    assert not left


def fill(p, leave):
    """Fills the disk but for so many bytes."""
    filler = p.folder.parent / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                os.write(f.fileno(), b"f" * 4096)
        except OSError:
            pass
        f.truncate(max(os.fstat(f.fileno()).st_size - leave, 0))
    return filler


LEAVE = [0, 4 << 10, 16 << 10, 48 << 10, 96 << 10, 160 << 10, 320 << 10]


def told(done, command):
    lines = done.stderr.strip().splitlines()
    return lines and lines[-1].startswith(f"tvfs {command}: ") and "No space left" in lines[-1]


def test_commit(disk):
    crashkit.committed(disk)
    old = disk.head()
    for i in range(8):
        disk.put(f"new/NASDAQ_N{i}_1d.parquet", crashkit.parquet(500 + i, 20000))
    refused = 0
    for leave in LEAVE:
        filler = fill(disk, leave)
        done = disk.run(disk.command("commit", "-m", "second"))
        if done.returncode != 0:
            refused += 1
            assert done.returncode == 1 and told(done, "commit"), (leave, done)
            assert disk.head() == old
        assert disk.fsck() == ""
        filler.unlink()
    print(f"\ncommit: {refused} of {len(LEAVE)} fillings refused")
    assert refused >= 3
    disk.tvfs("commit", "-m", "second")
    assert disk.head() != old and disk.fsck() == ""


def test_sync(disk):
    crashkit.committed(disk)
    for i in range(8):
        disk.put(f"new/NASDAQ_N{i}_1d.parquet", crashkit.parquet(500 + i, 20000))
    disk.tvfs("commit", "-m", "second")
    new = crashkit.tree(disk.live)
    disk.tvfs("revert", "main~1")
    disk.tvfs("sync")
    old = crashkit.tree(disk.live)
    disk.tvfs("revert", "main~1")
    refused = 0
    for leave in LEAVE:
        filler = fill(disk, leave)
        done = disk.run(disk.command("sync"))
        if done.returncode != 0:
            refused += 1
            assert done.returncode == 1 and told(done, "sync"), (leave, done)
        for name, now in crashkit.tree(disk.live).items():
            assert now in (old.get(name), new.get(name)), (leave, name)
        assert disk.fsck() == ""
        filler.unlink()
    print(f"\nsync: {refused} of {len(LEAVE)} fillings refused")
    assert refused >= 2
    disk.tvfs("sync")
    assert crashkit.tree(disk.live) == new


def test_gc_gives_room_on_a_full_disk(disk):
    crashkit.with_rubbish(disk)
    old = disk.head()
    filler = fill(disk, 0)
    done = disk.run(disk.command("gc", "--delete"))
    if done.returncode != 0:  # LMDB may need some pages more than there are
        assert done.returncode == 1 and told(done, "gc"), done
    assert disk.head() == old and disk.fsck() == ""
    filler.unlink()
    disk.tvfs("gc", "--delete")
    assert disk.head() == old and disk.fsck() == ""


def test_overlay_of_a_live_run(disk):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("machine cannot: open /dev/fuse")
    crashkit.committed(disk)
    old = disk.head()
    reads = "cat data/lakehouse/NASDAQ_S5_1d.parquet | cksum"
    other = subprocess.Popen(
        disk.command("run", "--run-id", "OTHER", "--", "sh", "-c",
                     f"a=$({reads}); touch data/ready; i=0; "
                     f'while [ "$({reads})" = "$a" ]; do i=$((i+1)); '
                     f"[ ! -e {disk.folder}/stop ] || {{ echo $i; exit 0; }}; sleep 0.02; done; exit 7"),
        cwd=disk.folder, env=disk.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )
    while other.poll() is None and not (disk.folder / "data/ready").exists():
        time.sleep(0.01)
    full = disk.run(disk.command(
        "run", "--run-id", "FULL", "--publish", "main", "--", "dd", "if=/dev/zero",
        "of=data/lakehouse/large.bin", "bs=64k", "count=4000",
    ))
    assert full.returncode == 1 and "No space left on device" in full.stderr, full
    assert disk.head() == old
    record = json.loads((disk.folder / crashkit.RUNS / "FULL/config/run.json").read_text())
    assert (record["state"], record["exit_status"]) == ("sealed", 1)
    assert record["publish"]["status"] == "skipped"
    large = disk.folder / "artifacts/summaries/runs/FULL/data/lakehouse/large.bin"
    assert large.stat().st_size > 1 << 20
    large.unlink()
    (disk.folder / "stop").touch()
    counted, _ = other.communicate(timeout=60)
    assert other.returncode == 0 and int(counted.split()[-1]) > 0
    disk.tvfs("run", "--run-id", "NEXT", "--publish", "main", "--", "touch", "data/lakehouse/small.txt")
    assert disk.head() != old and disk.fsck() == ""


def test_publish_when_the_store_is_full(disk):
    """Store and runs on two disks: the job's writes find room, the commit does not."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("machine cannot: open /dev/fuse")
    crashkit.committed(disk)
    runs = disk.folder / crashkit.RUNS
    runs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tvfs-test", runs], check=True)
    try:
        publish_when_the_store_is_full(disk, runs)
    finally:
        subprocess.run(["umount", runs], check=True)


def publish_when_the_store_is_full(disk, runs):
    old = disk.head()
    job = ("head -c 3000000 /dev/urandom >data/lakehouse/large.bin; echo 1 >data/lakehouse/small.txt; "
           f"cat /dev/zero >{disk.folder.parent}/filler 2>/dev/null; exit 0")
    done = disk.run(disk.command("run", "--run-id", "JOB", "--publish", "main", "--", "sh", "-c", job))
    assert done.returncode == 125, done
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("tvfs run: not published on main") and "No space left on device" in line
    assert disk.head() == old and disk.fsck() == ""
    kept = runs / "JOB/data/lakehouse"
    assert str(kept) in line
    assert (kept / "large.bin").stat().st_size == 3000000
    assert (kept / "small.txt").read_text() == "1\n"
    (disk.folder.parent / "filler").unlink()
    disk.tvfs("prune")
    # what was kept is a folder of plain files: the next job takes it from there
    disk.tvfs("run", "--run-id", "AGAIN", "--publish", "main", "--", "cp", "-r", f"{kept}/.",
              "data/lakehouse/")
    assert disk.head() != old and disk.fsck() == ""
    assert "large.bin" in disk.tvfs("ls", "main")


@pytest.mark.parametrize("how", ["KILL", "TERM"])
def test_nothing_is_left_when_these_tests_are_killed(work, how):
    """In the midst of a run on a disk of its own: processes, mounts, loop devices, folders."""
    ready = work / f"ready-{how}"
    script = f"""
import subprocess, sys, time
sys.path.insert(0, {str(crashkit.HERE)!r})
import crashkit, test_crash_full_disk as disks
crashkit.guard()
mounts = crashkit.OwnMounts()
folder = crashkit.scratch() / "disk"
folder.mkdir()
subprocess.run(disks.mount_ext4(folder), check=True)
(folder / "p").mkdir()
p = crashkit.Project(folder / "p", {str(crashkit.single())!r})
crashkit.committed(p)
subprocess.Popen(p.command("run", "--", "sh", "-c", "touch {ready}; sleep 600"), cwd=p.folder, env=p.env)
print(crashkit.token, flush=True)
time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    token = child.stdout.readline().strip()
    if not token:
        pytest.skip("machine cannot: mount a loop device")
    until = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert ready.exists() and len(crashkit.marked(token)) >= 3
    child.send_signal(getattr(signal, "SIG" + how))
    child.wait()

    def left():
        loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=False).stdout
        return [*crashkit.marked(token), *crashkit.scratch_base().glob(f"tvfs-crash-{token}-*"),
                *(line for line in loops.splitlines() if token in line)]

    until = time.monotonic() + 20
    while left() and time.monotonic() < until:
        time.sleep(0.05)
    assert not left()
