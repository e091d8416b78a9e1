"""The same random system calls on a plain ext4 folder and on a view: more than 100,000 of them, compared.

The seed is printed, and set with TVFS_SEED; TVFS_STEPS multiplies the number of steps. A difference is
told with its seed, step and the last calls; the folders are kept when TVFS_KEEP is set. Each way works in
rounds on the same trees, with a remount in between: what was written must be there again.
"""

import hashlib
import os
import random
import re
import shutil
import stat
import subprocess
import time

import pytest

from mount_support import OLD_FUSE, SANITIZER, Foundation, View, wait_for

SEED = int(os.environ.get("TVFS_SEED") or random.SystemRandom().randrange(1, 10**9))
FACTOR = float(os.environ.get("TVFS_STEPS") or (0.15 if SANITIZER else 1))
ROUNDS = 4
STEPS = {"passthrough": 12000, "plain": 10000, "namespace": 3000, "fusermount": 3000}
NAMES = ["a", "b", "c", "d.parquet", "e.json", "f", "g", "dir", "sub", "x", "y", "data.lock"]


def fill_random(folder, rng, depth=1):
    for name in NAMES:
        path = folder / name
        if name in ("dir", "sub") and depth < 3:
            path.mkdir()
            path.chmod(rng.choice([0o755, 0o700, 0o775]))
            fill_random(path, rng, depth + 1)
        elif rng.random() < 0.6:
            if rng.random() < 0.1:
                path.symlink_to(rng.choice(NAMES))
            else:
                path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 4096, 5000, 20000, 65000])))
                path.chmod(rng.choice([0o644, 0o600, 0o755, 0o664]))
    for path in folder.iterdir():
        t = rng.randrange(10**17, 12 * 10**17)
        os.utime(path, ns=(t, t), follow_symlinks=False)


class Pair:
    """A plain folder and a view that start with the same files."""

    def __init__(self, foundation, way, home, tools):
        home.mkdir()
        home.chmod(0o755)
        foundation.own(home)
        self.tools, self.way = tools, way
        self.plain, self.log = home / "plain", home / "calls.log"
        foundation.tool("checkout", "main", self.plain)
        self.view = View(foundation, way, home / "view", tools).start()

    def command(self, *words):
        env = dict(os.environ) if self.view.passthrough else os.environ | {"NO_PASSTHROUGH": "1"}
        if OLD_FUSE:
            env = env | {"NO_TMPFILE": "1"}
        return [str(self.tools / "helper-differential"), *map(str, words)], env

    def run(self, seed, steps):
        words, env = self.command(seed, steps, self.plain, self.view.path, self.log)
        done = self.view.do(lambda: subprocess.run(words, env=env, capture_output=True, check=False),
                            timeout=280)
        told = done.stdout.decode(errors="replace")
        print(told, end="")
        assert done.returncode == 0, f"TVFS_SEED={SEED}, way {self.way}: {told}"
        return told

    def compare(self):
        words, env = self.command("compare", self.plain, self.view.path)
        done = self.view.do(lambda: subprocess.run(words, env=env, capture_output=True, check=False))
        assert done.returncode == 0, f"TVFS_SEED={SEED}, way {self.way}: {done.stdout.decode()}"


@pytest.fixture(scope="session")
def random_foundations():
    return {}


@pytest.fixture
def make_pair(way, foundation, base, tools, ext4, random_foundations):
    owner = "user" if foundation.user else "root"
    if owner not in random_foundations:
        random_foundations[owner] = Foundation(
            ext4, f"random-{owner}", foundation.user, tools, lambda lake: fill_random(lake, random.Random(SEED)),
            ["--force"])
    pairs = []

    def make():
        pairs.append(Pair(random_foundations[owner], way, ext4 / f"pair-{way}-{len(pairs)}", tools))
        return pairs[-1]
    yield make
    for pair in pairs:
        pair.view.close()
        if not os.environ.get("TVFS_KEEP"):
            subprocess.run(["chmod", "-R", "u+rwx", pair.plain.parent], check=False)
            shutil.rmtree(pair.plain.parent)


@pytest.mark.slow
def test_random_calls(make_pair, way):
    print(f"TVFS_SEED={SEED}")
    pair = make_pair()
    for i in range(ROUNDS):
        pair.run(SEED + i, int(STEPS[way] * FACTOR))
        pair.view.remount()
        pair.compare()


@pytest.mark.smoke
def test_a_few_random_calls(make_pair):
    """The same for builds whose tests are few."""
    make_pair().run(SEED, 500)


def test_a_difference_is_found(make_pair):
    """The comparison itself: each kind of difference, made behind the program's back, is told."""
    pair = make_pair()
    pair.compare()
    victim = next(p for p in sorted(pair.plain.rglob("*")) if p.is_file() and not p.is_symlink()
                  and p.stat().st_size > 1)
    before, st = victim.read_bytes(), victim.stat()

    def differs():
        words, env = pair.command("compare", pair.plain, pair.view.path)
        done = pair.view.do(lambda: subprocess.run(words, env=env, capture_output=True, check=False))
        assert done.returncode == 1, done
        return done.stdout.decode()

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


def what_stands_at(path):
    st = os.lstat(path)
    data = b""
    try:
        if stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                data = hashlib.sha256(f.read()).digest()
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


def explained(path, last):
    """True when the last call, which was cut off in the view, can have led to this difference."""
    words = [os.fsencode(w) for w in last.split()[2:]]
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
        words, env = pair.command(SEED + 100 + i, 10**7, pair.plain, view.path, pair.log)
        env = env | {"NO_MMAP": "1"}
        child = view.child(lambda: subprocess.run(words, env=env, capture_output=True, check=False))
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
        by_slot = [p for p in wrong if not explained(p, last)]
        # A call on a descriptor names no path: then one file (with all its names) may differ.
        bodies = {plain.get(p, seen.get(p))[4] for p in by_slot}
        assert len(bodies) <= 1 and all(p in plain and p in seen for p in by_slot), (
            f"TVFS_SEED={SEED}, kill {i}", last, wrong)
        # Whatever stands there by now can be removed, too.
        view.do(lambda: subprocess.run(["chmod", "-R", "u+rwx", view.path], check=False, stderr=subprocess.DEVNULL))
        assert view.do(lambda: subprocess.run(f"rm -rf '{view.path}'/*", shell=True, check=False).returncode) == 0
