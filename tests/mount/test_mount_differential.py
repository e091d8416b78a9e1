"""The same random system calls on a plain ext4 folder and on a view: more than 100,000 of them, compared.

A set is some rounds on the same trees, with a remount in between: what was written must be there again. A
difference is told with its seed and the shortest script that finds it. TVFS_SEED repeats a run, TVFS_SETS makes it
longer, TVFS_SCRIPT=FILE replays a script instead, and TVFS_KEEP=1 keeps the folders.
"""

import hashlib
import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import time
import urllib.parse

import pytest

from differential_pairs import (KEPT, REMOUNT, ROUNDS, STEPS, Difference, Pair, random_foundation, report,
                                smaller)
from mount_support import SANITIZER, SOURCE, wait_for

SCRIPT = pathlib.Path(os.environ["TVFS_SCRIPT"]).read_text().splitlines() if "TVFS_SCRIPT" in os.environ else []
SEED = int(os.environ.get("TVFS_SEED") or (re.search(r"TVFS_SEED=(\d+)", SCRIPT[0])[1] if SCRIPT else 0)
           or 20260119)  # the same every day; `./dev soak` looks for new ones
SETS = int(os.environ.get("TVFS_SETS") or 1)
SHARE = 0.15 if SANITIZER else 1  # of a set's steps


@pytest.fixture(scope="session")
def random_foundations():
    return {}


@pytest.fixture
def make_pair(way, foundation, ext4, tools, random_foundations):
    """make_pair(...) starts a pair on the files of SEED; all end with the test."""
    owner = "user" if foundation.user else "root"
    if owner not in random_foundations:
        random_foundations[owner] = random_foundation(ext4, f"random-{owner}", foundation.user, tools, SEED)
    pairs = []

    def make(**more):
        home = ext4 / f"pair-{way}-{os.urandom(4).hex()}"
        pairs.append(Pair(random_foundations[owner], way, home, tools, **more))
        return pairs[-1]
    make.way = way
    yield make
    for pair in pairs:
        if pair.view.process:
            finish(pair)


def finish(pair):
    pair.view.close()
    if not os.environ.get("TVFS_KEEP"):
        pair.remove()


def run_set(make_pair, seed, steps):
    """Some rounds on one pair. A difference is shrunk on others."""
    pair, lines = make_pair(), []
    try:
        for i in range(ROUNDS):
            try:
                print(pair.run(seed + i, steps), end="")
            finally:
                lines += pair.log.read_text().splitlines()
            lines.append(REMOUNT)
            pair.remount()
    except Difference as found:
        pytest.fail(f"TVFS_SEED={SEED}, way {make_pair.way}: " + report(found, SEED, lines, make_pair),
                    pytrace=False)
    finish(pair)


@pytest.mark.slow
def test_random_calls(make_pair, way):
    print(f"TVFS_SEED={SEED}")
    if SCRIPT:
        if SCRIPT[0].endswith(f" {way}"):
            make_pair().replay(SCRIPT)
        return
    for i in range(SETS):
        run_set(make_pair, SEED + 100 * i, int(STEPS[way] * SHARE))


@pytest.mark.smoke
def test_a_few_random_calls(make_pair):
    """The same for builds whose tests are few."""
    make_pair().run(SEED, 500)


def test_smaller():
    """What is left out: all but what is needed, and nothing twice."""
    for needed in ({0}, {99}, {3, 50, 51}, {0, 99}, set(range(0, 100, 7))):
        tried = []

        def fails(rest, needed=needed, tried=tried):
            tried.append(tuple(rest))
            return needed <= set(rest)
        assert smaller(list(range(100)), fails, 60) == sorted(needed)
        assert len(tried) < 400
    assert smaller([1, 2, 3], lambda rest: 1 / 0, 0) == [1, 2, 3]  # no time: nothing is tried


@pytest.mark.slow
@pytest.mark.parametrize("way", ["namespace"])
def test_a_difference_is_shrunk(make_pair):
    """One that the helper pretends: a file with two names, 10,000 bytes and more, that its owner may execute."""
    def make():
        return make_pair(fault=True)
    make.way, pair = make_pair.way, make()
    with pytest.raises(Difference) as found:
        pair.run(SEED, 50000)
    lines = pair.log.read_text().splitlines()
    told = report(found.value, SEED, lines, make, 150)
    print(told)
    kept = re.search("kept in (.*):\n", told)[1]
    short = (SOURCE / kept).read_text().splitlines()
    assert found.value.key == "nlink" and len(short) <= 10 < len(lines)
    assert told.endswith("\n".join(short[1:])) and f"seed {SEED}" in told
    make_pair().replay(short)  # without the fault there is none
    with pytest.raises(Difference, match="nlink"):
        make().replay(short)
    for path in KEPT.glob(pathlib.Path(kept).stem + ".*"):
        path.unlink()


def test_a_difference_is_found(make_pair):
    """The comparison itself: each kind of difference, made behind the program's back, is told."""
    pair = make_pair()
    pair.compare()
    victim = next(p for p in sorted(pair.plain.rglob("*")) if p.is_file() and not p.is_symlink()
                  and p.stat().st_size > 1)
    before, st = victim.read_bytes(), victim.stat()

    def differs():
        with pytest.raises(Difference) as found:
            pair.compare()
        return str(found.value)

    def restore():
        victim.write_bytes(before)
        victim.chmod(stat.S_IMODE(st.st_mode))
        os.utime(victim, ns=(st.st_atime_ns, st.st_mtime_ns))
    victim.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    os.utime(victim, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert "contents differ" in differs()
    restore()
    victim.chmod(st.st_mode ^ 0o111)
    assert "mode" in differs()
    restore()
    os.utime(victim, ns=(0, st.st_mtime_ns + 1))
    assert "mtime" in differs()
    restore()
    os.truncate(victim, len(before) + 1)
    assert "size" in differs()
    restore()
    (victim.parent / "zzz").touch()
    differs()
    (victim.parent / "zzz").unlink()
    os.link(victim, victim.parent / "zzz")
    differs()
    (victim.parent / "zzz").unlink()


def digest(fd):
    """Of all that is not zero: files may be large and sparse."""
    whole, at = hashlib.sha256(), 0
    while True:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA) & ~4095
        except OSError:
            return whole.digest()
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            block = os.pread(fd, 4096, at)
            if any(block):
                whole.update(b"%d:%s" % (at, block))
            at += 4096


def what_stands_at(path):
    st = os.lstat(path)
    data = b""
    try:
        if stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                data = digest(f.fileno())
        elif stat.S_ISLNK(st.st_mode):
            data = os.readlink(path)
    except PermissionError:
        data = b"denied"
    size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
    return st.st_mode, st.st_uid, st.st_gid, size, data, sorted(os.listxattr(path, follow_symlinks=False))


def tree(root):
    """Path -> what stands there, without times; as far as the user can see it."""
    root = os.fsencode(root)
    found = {}
    for folder, folders, files in os.walk(root):
        for path in (os.path.join(folder, name) for name in folders + files):
            try:
                found[os.path.relpath(path, root)] = what_stands_at(path)
            except PermissionError:
                found[os.path.relpath(path, root)] = (0, 0, 0, 0, b"denied", [])
    return found


def explained(path, last, root):
    """True when the last call, which was cut off in the view, can have led to this difference."""
    words = [urllib.parse.unquote_to_bytes(w).rstrip(b"/") for w in last.split()[2:]]
    for w in words[:]:  # a path through links
        folder, name = os.path.split(os.path.join(os.fsencode(root), w))
        words.append(os.path.relpath(os.path.join(os.path.realpath(folder), name), os.fsencode(root)))
    return any(path == w or path.startswith(w + b"/") or path == w + b".tmp" for w in words)


@pytest.mark.slow
def test_killed_in_the_midst(make_pair, way):
    """kill -9 of the daemon at a random moment: the view is at most one call behind the plain folder, no call
    is half done, and nothing that a crash leaves can be seen."""
    rng = random.Random(SEED)
    print(f"TVFS_SEED={SEED}")
    for i in range(6):
        pair = make_pair()
        view = pair.view
        # What a mapping changed is lost with the daemon; after chdir a path does not tell where it is.
        words = pair.words("run", SEED + 100 + i, 10**7, without=["map", "chdir"]) + ["--record", str(pair.log)]
        child = view.child(lambda: subprocess.run(words, capture_output=True, check=False))
        wait_for(lambda: pair.log.exists() and pair.log.stat().st_size > 4000, what="the first calls")
        time.sleep(rng.uniform(0, 0.8))
        view.kill()
        done = child.result(60)
        told = done.stdout.decode(errors="replace")
        # An error; or, where some of it was done or was in the page cache, a short count.
        assert done.returncode == 1 and re.search(
            r"ENOTCONN|ECONNABORTED|EIO|(pread|write|sendfile|copy_file_range): plain gives \d+ \(ok\), the view"
            r" \d+ \(ok\)", told), told
        view.unmount()
        view.start()
        last = pair.log.read_text(errors="surrogateescape").splitlines()[-1]
        plain, seen = view.do(lambda: (tree(pair.plain), tree(view.path)))
        assert not any(b".wh." in path for path in seen)
        wrong = [p for p in sorted(plain.keys() | seen.keys()) if plain.get(p) != seen.get(p)]
        by_slot = [p for p in wrong if not explained(p, last, pair.plain)]
        # A call on a descriptor names no path: then one file (with all its names) may differ.
        bodies = {plain.get(p, seen.get(p))[4] for p in by_slot}
        assert len(bodies) <= 1 and all(p in plain and p in seen for p in by_slot), (
            f"TVFS_SEED={SEED}, kill {i}", last, wrong)
        # Whatever stands there by now can be removed, too.
        view.do(lambda: subprocess.run(["chmod", "-R", "u+rwx", view.path], check=False, stderr=subprocess.DEVNULL))
        assert view.do(lambda: subprocess.run(f"rm -rf '{view.path}'/*", shell=True, check=False).returncode) == 0
