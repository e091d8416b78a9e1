"""What works and subjects share: processes, users, the kernel's caches and figures, and the rounds."""

import collections
import os
import pathlib
import pwd
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time

from mount_frames import Frames
from mount_trees import Trees

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", ROOT / "build/bin"))
HELPERS = ROOT / "build/dev/tests"
QUICK = 0.2  # a scale below this is a quick look
PASS_LIMIT, COMPARED_LIMIT = 2, 10  # seconds a pass; what is not done by then is estimated

sys.path.append(str(ROOT / "tests" / "run"))
from run_support import test_user  # noqa: E402

Pass = collections.namedtuple("Pass", "seconds estimated")


def raise_file_limit():
    """Some peers hold one an inode. Without CAP_SYS_RESOURCE it is what it is."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    except ValueError:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Bench:
    def __init__(self, folder, scale, rounds):
        self.folder, self.scale, self.rounds = folder, scale, rounds
        self.user, self.user_trouble = None, None
        self.files_at_once = 1024  # descriptors of a process
        self.estimated = False  # whether a figure of this turn is
        self.preparing = 0.0    # seconds of this turn that went into stores and images
        self.scratch = tempfile.TemporaryFile()  # what commands print: a pipe would be timed with them
        self.frames = Frames()
        self.trees = Trees(self)
        self.bin = folder / "bin"
        self.set_up()

    def set_up(self):
        """Programs where every user can start them, and a user to start them as."""
        self.bin.mkdir()
        os.environ.update(HOME=str(self.folder), RESTIC_PASSWORD="x", DVC_NO_ANALYTICS="1",
                          BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes")  # peers keep caches in HOME
        for path in BIN / "tvfs", HELPERS / "bench-fswork":
            shutil.copy2(path, self.bin / path.name)
        self.tvfs_program = self.bin / "tvfs"
        if os.geteuid() == 0:
            self.files_at_once = raise_file_limit()
            self.user = test_user()
        if self.user and stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 != 0o006:
            os.chmod("/dev/fuse", 0o666)  # as udev does it
        if os.geteuid() != 0:
            self.user = pwd.getpwuid(os.geteuid())
        elif self.user and not self.can_start(self.user):
            self.user, self.user_trouble = None, "an ordinary user cannot enter the folder with the trees"

    def can_start(self, user):
        try:
            return subprocess.run([self.tvfs_program, "version"], capture_output=True, check=False, cwd="/",
                                  **self.identity(user)).returncode == 0
        except PermissionError:
            return False

    def helper(self, name):
        return HELPERS / name

    @staticmethod
    def identity(user):
        """What makes a child of ours that user's."""
        if not user or os.geteuid() != 0:
            return {}
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(self, *words, user=None, cwd=None, env=None):
        """Runs a command to its end and returns what it printed."""
        self.scratch.seek(0)
        self.scratch.truncate()
        status = subprocess.call([str(w) for w in words], cwd=cwd or self.folder, env=env,
                                 stdin=subprocess.DEVNULL, stdout=self.scratch, stderr=self.scratch,
                                 **self.identity(user))
        self.scratch.seek(0)
        text = self.scratch.read().decode(errors="replace")
        if status:
            raise RuntimeError(f"{pathlib.Path(words[0]).name}: {' '.join(text.split())[-200:]}")
        return text

    def tvfs(self, *words, cwd):
        return self.run(self.tvfs_program, *words, user=self.user, cwd=cwd)

    def fswork(self, *words, user=None, cwd=None, passes=1, limit=3600):
        """NAME -> a Pass for each that it told of."""
        text = self.run(self.bin / "bench-fswork", "-t", limit, "-p", passes, *words, user=user, cwd=cwd)
        out = collections.defaultdict(list)
        for line in text.splitlines():
            name, *numbers = line.split()
            if len(numbers) != 3 or not all(n.isdigit() for n in numbers):
                continue  # a mounted command's own words
            ns, done, of = map(int, numbers)
            out[name].append(Pass(ns / 1e9 * of / max(done, 1), done < of))
            self.estimated |= done < of
        return out

    # --- the kernel ---

    def warm(self, paths):
        paths = [p for p in paths if pathlib.Path(p).exists()]
        if paths:
            self.fswork("warm", *paths)

    @staticmethod
    def drop_caches(which):
        os.sync()
        if os.geteuid() == 0 and which:
            pathlib.Path("/proc/sys/vm/drop_caches").write_text(str(which))

    @staticmethod
    def cached_bytes():
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("Cached:"):
                return int(line.split()[1]) * 1024
        return 0

    @staticmethod
    def processes_with(place):
        """Those that have this path among their words: the servers of a mount."""
        needle, found = os.fsencode(place), []
        for folder in pathlib.Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if needle in words:
                    found.append(int(folder.name))
        return found

    @staticmethod
    def private_bytes(pids):
        total = 0
        for pid in pids:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty:"):  # not its part of the page cache
                    total += int(line.split()[1]) * 1024
        return total

    @staticmethod
    def cpu_seconds(pids):
        ticks = 0
        for pid in pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    # --- subjects ---

    def ready(self, subject, tree):
        """Prepares a subject for a tree once; what went wrong then goes wrong each time."""
        if subject.name not in tree.prepared:
            start = time.monotonic()
            try:
                subject.prepare(tree)
                tree.prepared[subject.name] = None
            except (RuntimeError, OSError) as error:
                tree.prepared[subject.name] = str(error)
            # Pages that were written lie in the cache in other pieces than pages that were read.
            self.drop_caches(1 if self.scale >= QUICK else 0)
            self.preparing += time.monotonic() - start
        if tree.prepared[subject.name]:
            raise RuntimeError(tree.prepared[subject.name])


class Entry:
    """A subject's figures in a work."""

    def __init__(self, subject, absent):
        self.subject, self.absent = subject, absent
        self.samples = []  # (round, {measure: figure})
        self.spent = 0.0
        self.estimated = False

    def doc(self):
        samples = [s for number, s in self.samples if number] or [s for _, s in self.samples]
        names = list(dict.fromkeys(name for s in samples for name in s))
        return {"id": self.subject.name, "title": self.subject.title, "absent": self.absent,
                "estimated": self.estimated, "seconds": round(self.spent, 1),
                "figures": {name: [s[name] for s in samples if name in s] for name in names}}


def turn(bench, work, entry, number):
    start = time.monotonic()
    bench.estimated, bench.preparing = False, 0.0
    try:
        entry.samples.append((number, work.turn(entry.subject)))
    except (RuntimeError, OSError) as error:
        entry.absent, entry.samples = f"failed: {error}", []
    entry.estimated |= bench.estimated
    entry.spent += time.monotonic() - start - bench.preparing


def sits_out(bench, entry):
    """It has used up its time, and has a figure: what goals compare, one of a round that counts."""
    if entry.absent:
        return True
    rounds = len(entry.samples) - (1 if entry.subject.compared else 0)
    return rounds > 0 and entry.spent > entry.subject.budget * max(bench.scale, 0.02)


def measure(bench, work, subjects, seconds):
    """All subjects in turn, forth and back; the first round warms up and does not count. No round after the
    second begins when so many seconds are over."""
    start = time.monotonic()
    entries = [Entry(s, s.absent() or s.cannot(work)) for s in subjects]
    for number in range(max(round(bench.rounds * work.rounds), 1) + 1):
        if number > 1 and time.monotonic() - start > seconds:
            break
        for entry in entries if number % 2 else reversed(entries):
            if not sits_out(bench, entry):
                turn(bench, work, entry, number)
    return {"id": work.name, "title": work.heading(), "baseline": work.baseline,
            "seconds": round(time.monotonic() - start), "measures": [vars(m) for m in work.measures],
            "subjects": [e.doc() for e in entries]}
