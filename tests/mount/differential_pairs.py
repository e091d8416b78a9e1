"""A plain folder and a view that begin with the same files, calls on both, and what is done about a difference.

A script is a list of calls as helper-differential writes it down, one a line, with a line "remount" behind each
round. Whatever is left out of it, the rest can be replayed; so a script that finds a difference is
shrunk by leaving out ever smaller pieces for as long as the same difference is found.
"""

import os
import random
import re
import shutil
import subprocess
import time

from mount_support import OLD_FUSE, SOURCE, Foundation, View

ROUNDS = 4  # of a set
STEPS = {"passthrough": 12000, "plain": 10000, "namespace": 3000, "fusermount": 3000}  # of a round
NAMES = ["a", "b", "c", "d.parquet", "e.json", "f", "g", "dir", "sub", "x", "y", "data.lock"]
REMOUNT = "remount"
KEPT = SOURCE / "build" / "differential"


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
    if depth == 1:  # one folder is not read in one piece
        (folder / "wide").mkdir()
        for i in range(0, 150, 3):
            (folder / "wide" / f"n{i:03}").write_bytes(b"wide")
    for path in folder.iterdir():
        t = rng.randrange(10**17, 12 * 10**17)
        os.utime(path, ns=(t, t), follow_symlinks=False)


def random_foundation(base, name, user, tools, seed):
    return Foundation(base, name, user, tools, lambda lake: fill_random(lake, random.Random(seed)), ["--force"])


class Difference(AssertionError):
    def __init__(self, told):
        super().__init__(told)
        found = re.search("^difference: (.*)$", told, re.MULTILINE)
        self.key = found.group(1) if found else "none told"


class Pair:
    """A plain folder and a view of one foundation."""

    def __init__(self, foundation, way, home, tools, fault=False):
        home.mkdir()
        home.chmod(0o755)
        foundation.own(home)
        self.home, self.tools, self.way, self.fault = home, tools, way, fault
        self.plain, self.log = home / "plain", home / "calls.log"
        foundation.tool("checkout", "main", self.plain)
        # Root's workers become other users now and then.
        options = [] if foundation.user or os.geteuid() != 0 else ["--allow-other"]
        self.view = View(foundation, way, home / "view", tools, options=options).start()

    def words(self, *mode, without=()):
        """What starts the helper."""
        words = [self.tools / "helper-differential", *mode, self.plain, self.view.path]
        if mode[0] != "compare":
            words += ["--frozen"] if self.view.passthrough else []
            words += ["--fault"] if self.fault else []
            words += ["--without", ",".join([*without, *(["tmpfile"] if OLD_FUSE else [])])]
        return [str(w) for w in words]

    def call(self, words, timeout=280):
        done = self.view.do(lambda: subprocess.run(words, capture_output=True, check=False), timeout)
        told = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        if done.returncode:
            raise Difference(told)
        return told

    def run(self, seed, steps):
        return self.call([*self.words("run", seed, steps), "--record", str(self.log)])

    def compare(self):
        return self.call(self.words("compare"))

    def remount(self):
        self.view.remount()
        self.compare()

    def replay(self, lines):
        """Raises the Difference that a script finds."""
        script, piece = self.home / "piece", []
        for line in [*lines, None]:
            if line is not None and line != REMOUNT:
                piece.append(f"{line}\n")
                continue
            if piece:
                script.write_text("".join(piece))
                self.call(self.words("replay", script))
            if line == REMOUNT:
                self.remount()
            piece = []

    def discard(self):
        """Ends it without a look at the store, which the test that had the difference looks at."""
        if self.view.process:
            self.view.kill()
        self.view.unmount()
        self.remove()

    def remove(self):
        subprocess.run(["chmod", "-R", "u+rwx", self.home], check=False)
        shutil.rmtree(self.home)


def smaller(items, still_fails, seconds):
    """Leaves out ever smaller pieces while the rest still fails: a form of "ddmin" (A. Zeller, R. Hildebrandt,
    Simplifying and Isolating Failure-Inducing Input, 2002) that goes on behind a piece it left out."""
    end = time.monotonic() + seconds
    size = max(1, len(items) // 2)
    while True:
        at, before = 0, len(items)
        while at < len(items):
            if time.monotonic() > end:
                return items
            rest = items[:at] + items[at + size:]
            if still_fails(rest):
                items = rest
            else:
                at += size
        if size == 1 and len(items) == before:
            return items
        size = max(1, size // 2) if len(items) > size else max(1, len(items) // 2)


def shrink(lines, key, make_pair, seconds):
    """A short script that finds the same difference on fresh folders, or None when it did not come again."""
    def still_fails(rest):
        pair = make_pair()
        try:
            pair.replay(rest)
        except Difference as found:
            return found.key == key
        finally:
            pair.discard()
        return False
    return smaller(lines, still_fails, seconds) if still_fails(lines) else None


def keep(name, suffix, heading, lines):
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{name}.{suffix}"
    path.write_text("".join(f"{line}\n" for line in [heading, *lines]))
    return path.relative_to(SOURCE)


def report(found, seed, lines, make_pair, seconds=200):
    """Keeps the script of a difference in build/differential/, shrinks it and tells."""
    way = make_pair.way
    heading, name = f"# TVFS_SEED={seed} way {way}", f"{way}-{seed}-{os.getpid()}"
    path = keep(name, "script", heading, lines)
    short = shrink(lines, found.key, make_pair, seconds)
    if short is None:
        return f"{found}\nit did not come again; the calls are in {path}"
    path = keep(name, "short", heading, short)
    return f"{found}\n{len(lines)} calls shrunk to {len(short)}, which are kept in {path}:\n" + "\n".join(short)
