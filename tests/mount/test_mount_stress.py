"""A daemon under stress: stress-ng finds nothing wrong, and what it took comes back: memory, descriptors, threads.

TVFS_STRESS_SECONDS makes the stress longer (`./dev soak`).
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from mount_support import HELPERS, SANITIZER, Foundation, View, wait_for

SECONDS = int(os.environ.get("TVFS_STRESS_SECONDS") or 3)
# Of stress-ng's stressors those that work on files of a folder. Which of them there are depends on its version.
STRESSORS = """access aio aiol chdir chmod chown close copy-file dentry dir dirdeep dirmany dnotify fallocate fcntl
    file-ioctl filename flock fpunch fsize fstat getdent handle hdd inotify iomix lease link locka lockf lockofd metamix
    mknod mmap mmapaddr mmapmany msync msyncmany open readahead rename revio seek sendfile splice symlink sync-file touch
    unlink utime xattr""".split()
SIZES = """--hdd-bytes 4m --fallocate-bytes 4m --seek-size 4m --sync-file-bytes 4m --sendfile-size 1m --readahead-bytes 4m
    --iomix-bytes 4m --revio-bytes 4m --mmap-bytes 4m --mmap-file --dentries 64 --dir-dirs 64 --chdir-dirs 100
    --open-max 500""".split()
NAMES = 50_000
THREADS = 8 + 3 + bool(SANITIZER)  # that serve requests; and main, the stopper, the figures


@pytest.fixture(params=["passthrough", "plain", "namespace"])
def way(request):
    return request.param


def fill_lake(lake):
    (lake / "a.txt").write_text("one\n")


def known_stressors():
    if not shutil.which("stress-ng"):
        raise AssertionError("stress-ng is not installed: ./dev setup installs it")
    told = subprocess.run(["stress-ng", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"--([\w-]+) N +start", told))
    found = [name for name in STRESSORS if name in known]
    assert len(found) > 40, (found, told[:200])
    return found


def stress(folder, names, seconds):
    """Runs these stressors at once, each of which checks what it reads. What they say of failures, by name; those
    that did nothing; and what they left behind."""
    work = folder / "stress"
    work.mkdir()
    words = ["stress-ng", "--verify", "--metrics", "--timeout", str(seconds), "--temp-path", str(work), *SIZES]
    for name in names:
        words += [f"--{name}", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=work, timeout=seconds * 3 + 60)
    told = done.stdout + done.stderr
    left = sorted(str(p) for p in work.rglob("*"))
    shutil.rmtree(work)
    failures = {}
    for line in told.splitlines():
        if found := re.search(r"fail: +\[\d+\] ([\w-]+): (.*)", line):
            failures.setdefault(found[1], []).append(found[2])
    assert failures or not done.returncode, told[-3000:]
    worked = re.findall(r"metrc: +\[\d+\] ([\w-]+) +[1-9]\d* ", told)
    return failures, sorted(set(names) - set(worked)), left


@pytest.mark.slow
def test_stressors(beside):
    """What fails in the view must fail in the same way in a plain folder."""
    names = known_stressors()
    pid = beside.view.process.pid
    before = len(os.listdir(f"/proc/{pid}/fd"))
    failures, idle, left = beside.view.do(lambda: stress(beside.view.path, names, SECONDS), SECONDS * 3 + 90)
    if failures or left:
        plain, _, plain_left = beside.in_plain(lambda lake: stress(lake, sorted(failures) or names, 2))
        assert failures.keys() <= plain.keys() and left == plain_left, (failures, left)
    assert len(idle) < len(names) / 4, f"not much was done: {idle}"
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, what="the daemon's descriptors to be given back")
    assert len(os.listdir(f"/proc/{pid}/task")) <= THREADS


def anonymous_memory(pid):
    """What is the daemon's own, in bytes: mapped files are the page cache's."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Anonymous: +(\d+) kB", text)[1]) << 10


@pytest.fixture
def large(foundation, base, tools, way):
    """A view of a folder with very many names."""
    owner = {"user": foundation.user.pw_uid, "group": foundation.user.pw_gid, "extra_groups": []} if (
        foundation.user and os.geteuid() == 0) else {}
    maker = shutil.copy2(HELPERS / "helper-make-large-tree", tools)
    made = Foundation(base, f"large-{way}", foundation.user, tools, fill_lake)
    subprocess.run([maker, made.store, "large", str(NAMES), "0"], check=True, **owner)
    made.blobs = made.digest()
    view = View(made, way, base / f"large-{way}-view", tools, rev="large").start()
    yield view
    view.close()


@pytest.mark.parametrize("way", ["passthrough", "namespace"])
def test_memory_comes_back(large):
    """When the kernel forgets, the daemon does, and gives the memory back."""
    if not os.access("/proc/sys/vm/drop_caches", os.W_OK):
        pytest.skip("machine cannot: drop the kernel's caches without root")
    if SANITIZER:
        pytest.skip("machine cannot: measure memory under a sanitizer, which keeps what is freed")
    pid, found = large.process.pid, []

    def walk():
        return sum(1 for entry in os.scandir(large.path) if entry.stat().st_size)

    def held():  # somebody else on the machine may drop caches just now
        assert large.do(walk) == NAMES
        found.append(anonymous_memory(pid))
        whole = large.stats()["inodes"] > NAMES
        if not whole:
            found.pop()
        return whole

    def forget():
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")
        return large.stats()["inodes"] <= before
    before = large.stats()["inodes"]
    at_start = anonymous_memory(pid)
    for _ in range(2):
        wait_for(held, what="a walk")
        wait_for(forget, what=f"{before} inodes")
        wait_for(lambda: anonymous_memory(pid) < found[-1] - NAMES * 50, what=f"memory back from {found[-1]}")
        found.append(anonymous_memory(pid))
    # What stays: nodes of the tree (a cache with a limit), and a buffer for each thread that serves requests.
    stays = (8 << 20) + len(os.listdir(f"/proc/{pid}/task")) * (1 << 20)
    assert found[-1] < at_start + stays, (at_start, found)
    assert found[3] < found[1] + (2 << 20), "it grows with each walk"
