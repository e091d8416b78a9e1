"""What a mount's daemon counts, against what was done to it."""

import errno
import os
import socket

import pytest

from mount_support import fails, wait_for


def settled(view):
    """Figures when everything that was begun is answered: the kernel does not wait for all of it."""
    def look():
        stats = view.stats()
        answered = {op: times["count"] for op, times in stats["latencies"].items()}
        return stats if all(answered.get(op, 0) == n for op, n in stats["operations"].items()) else None
    return wait_for(look, what="answers to all requests")


def grown(before, after, op):
    """By how much: requests, those answered, errors."""
    def of(stats):
        return [stats["operations"][op], stats["latencies"].get(op, {}).get("count", 0),
                stats["operation_errors"].get(op, 0)]
    return [b - a for a, b in zip(of(before), of(after))]


def test_requests_are_counted(view):
    before = settled(view)

    def act():
        for i in range(7):
            assert not (view.path / f"absent{i}").exists()
        for i in range(3):
            (view.path / f"new{i}").mkdir()
        (view.path / "new0" / "inside").mkdir()
        fails(errno.ENOTEMPTY, (view.path / "new0").rmdir)
        (view.path / "new1").rmdir()
        os.symlink("target", view.path / "link")
        os.rename(view.path / "link", view.path / "new2" / "link")
        os.unlink(view.path / "new2" / "link")
        os.chmod(view.path / "new2", 0o700)
    view.do(act)
    after = settled(view)
    assert grown(before, after, "mkdir") == [4, 4, 0]
    assert grown(before, after, "rmdir") == [2, 2, 1]
    for op in ("symlink", "rename", "unlink", "setattr"):
        assert grown(before, after, op) == [1, 1, 0], op
    assert grown(before, after, "lookup")[0] >= 7 and grown(before, after, "write") == [0, 0, 0]
    assert after["errors"] - before["errors"] == 1


@pytest.mark.parametrize("way", ["plain"])
def test_latencies_add_up(view):
    view.do(lambda: [p.lstat() for p in view.path.rglob("*")])
    stats = settled(view)
    assert stats["version"] == 2 and stats["tvfs_version"]
    for op, times in stats["latencies"].items():
        bounds = [bound for bound, _ in times["buckets"]]
        assert bounds == sorted(bounds) and sum(n for _, n in times["buckets"]) == times["count"], op
        assert 0 < times["p50_ns"] <= times["p99_ns"] <= times["max_ns"] <= times["total_ns"], op
        assert bounds[-1] * 0.75 <= times["max_ns"] <= bounds[-1], op
    assert stats["latencies"]["readdir"]["count"] >= 10


def test_bytes(view):
    size = 3 << 20

    def act():
        assert len((view.path / "big.bin").read_bytes()) == size
        with open(view.path / "written", "wb", buffering=0) as f:
            f.write(b"x" * 5000)
    view.do(act)
    stats = settled(view)
    if view.passthrough:
        assert stats["read_bytes"] == stats["written_bytes"] == stats["operations"]["read"] == 0
        assert stats["passthrough_opens"] == 2 and stats["plain_opens"] == 0
    else:
        assert stats["read_bytes"] == size and stats["written_bytes"] == 5000
        assert stats["passthrough_opens"] == 0 and stats["plain_opens"] == 2
        assert stats["passthrough"] == "switched off"
    assert stats["copy_range_bytes"] == 0
    assert stats["copy_ups"] == stats["copied_up_bytes"] == 0

    def copy():
        with open(view.path / "big.bin", "rb") as a, open(view.path / "copy", "wb") as b:
            assert os.copy_file_range(a.fileno(), b.fileno(), 10000) == 10000
        os.truncate(view.path / "sub" / "b.txt", 3)
    view.do(copy)
    stats = settled(view)
    assert stats["copy_range_bytes"] == 10000
    assert stats["copy_ups"] == 2 and stats["copied_up_bytes"] == 3  # a file and its folder


@pytest.mark.parametrize("way", ["passthrough", "plain"])
def test_readahead_that_is_asked_for(view):
    """What the kernel reads by itself it must not also get from the daemon, for a cache that nobody reads."""
    size = 3 << 20

    def act():
        with open(view.path / "big.bin", "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
            os.posix_fadvise(f.fileno(), 5000, 3000, os.POSIX_FADV_WILLNEED)
            return f.read()
    assert view.do(act) == view.do((view.path / "big.bin").read_bytes)
    stats = settled(view)
    assert stats["operations"]["read"] > 0
    if view.passthrough:
        assert stats["read_bytes"] <= 4096
    else:
        assert stats["read_bytes"] >= size
    assert not stats["operation_errors"]


@pytest.mark.parametrize("way", ["passthrough", "plain"])
def test_what_is_held(view):
    """Open files and folders, backing ids, caches: there while it is needed, then gone."""
    def level(stats):
        return {k: stats[k] for k in ("open_files", "open_folders")} | {
            "used_ids": stats["backing_ids"] - stats["idle_backing_ids"]}
    nothing = {"open_files": 0, "open_folders": 0, "used_ids": 0}
    assert level(settled(view)) == nothing
    ready, done = os.pipe(), os.pipe()

    def hold():
        with open(view.path / "a.txt", "rb"), open(view.path / "a.txt", "rb"), \
                open(view.path / "new", "wb"), os.scandir(view.path / "many") as listing:
            next(listing)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
    child = view.child(hold)
    assert os.read(ready[0], 1) == b"x"
    stats = view.stats()
    os.write(done[1], b"x")
    child.result()
    for fd in (*ready, *done):
        os.close(fd)
    assert level(stats) == {"open_files": 3, "open_folders": 1, "used_ids": 2 if view.passthrough else 0}
    assert stats["inodes"] > 3 and stats["inode_bytes"] > stats["inodes"] * 100
    assert stats["node_cache_entries"] >= 1 and stats["node_cache_bytes"] > stats["node_cache_entries"] * 100
    assert stats["node_cache_hits"] > 0 and stats["node_cache_misses"] >= stats["node_cache_entries"]
    assert stats["overlay_name_sets"] == 1 and stats["overlay_names"] == 1  # "new"
    assert stats["overlay_name_bytes"] > 0
    assert stats["resident_bytes"] >= stats["private_bytes"] > 100000
    assert 2 <= stats["threads"] <= 16 and 5 <= stats["descriptors"] <= 100
    wait_for(lambda: level(view.stats()) == nothing, what="everything to be closed")
    assert view.stats()["backing_ids"] == (1 if view.passthrough else 0)  # a blob's is kept


@pytest.mark.parametrize("way", ["plain"])
@pytest.mark.view(overlay=False)
def test_peers_that_only_connect(view):
    """Nobody waits for them, and the daemon does not die of them."""
    peers = []
    for i in range(8):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(view.socket))
        if i % 2:
            peer.close()
        peers.append(peer)
    assert view.do((view.path / "a.txt").read_text) == "one\n"
    assert view.stats()["operations"]["lookup"] >= 1
    for peer in peers:
        peer.close()
    assert view.stats()["uptime_seconds"] > 0
