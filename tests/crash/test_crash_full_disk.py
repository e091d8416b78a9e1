"""A full disk: below the store, the live folder, and the overlay of a live run."""

import os
import subprocess

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
    subprocess.run(["umount", folder], check=True)


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
                     f"touch data/lakehouse/ready; a=$({reads}); i=0; "
                     f"while [ ! -e {disk.folder}/stop ]; do "
                     f'[ "$({reads})" = "$a" ] || exit 7; i=$((i+1)); sleep 0.02; done; echo $i'),
        cwd=disk.folder, env=disk.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )
    full = disk.run(disk.command(
        "run", "--run-id", "FULL", "--publish", "main", "--", "dd", "if=/dev/zero",
        "of=data/lakehouse/large.bin", "bs=64k", "count=4000",
    ))
    assert full.returncode == 1 and "No space left on device" in full.stderr, full
    assert disk.head() == old
    large = disk.folder / "artifacts/summaries/runs/FULL/data/lakehouse/large.bin"
    assert large.stat().st_size > 1 << 20
    large.unlink()
    (disk.folder / "stop").touch()
    counted, _ = other.communicate(timeout=60)
    assert other.returncode == 0 and int(counted.split()[-1]) > 0
    disk.tvfs("run", "--run-id", "NEXT", "--publish", "main", "--", "touch", "data/lakehouse/small.txt")
    assert disk.head() != old and disk.fsck() == ""
