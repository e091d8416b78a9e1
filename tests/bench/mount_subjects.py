"""The subjects: plain ext4, tvfs in its forms, and the null servers. The peers are in mount_peers.py.

A subject shows a tree at a place of its own (mount_point), either by mounting or by making files.
Its `command` is timed together with the first byte that can be read through it.
"""

import os
import pathlib
import subprocess
import time

from mount_bench import QUICK
from mount_sandbox import missing, remove

CORE_BUDGET, PEER_BUDGET = 16, 3  # seconds a work, at full scale; after that a subject sits rounds out


def mounted(place):
    """Not os.path.ismount: root itself may not look into another user's mount."""
    return f" {place} " in pathlib.Path("/proc/self/mountinfo").read_text()


class Subject:
    name = ""
    title = ""
    root = True       # needs to be root
    user = False      # acts as the ordinary user
    writable = False  # takes writes
    heavy = False     # gets the part of a tree where there is one
    fixed = False     # shows files of one size
    copies = False    # makes files, and so serves nothing afterwards
    runs_max = 64     # how many at once the machine can bear
    compared = False  # goals compare with it
    budget = PEER_BUDGET
    program = None
    slow_start = False  # takes a second or more to show anything

    def __init__(self, bench):
        self.bench = bench
        self.count = 0

    # --- what it can do ---

    def absent(self):
        """Why it is not there at all, or None."""
        if self.root and os.geteuid() != 0:
            return "needs root"
        if self.user and not self.bench.user:
            return self.bench.user_trouble or "no ordinary user to act as"
        return missing(self.program) if self.program else None

    def cannot(self, work):
        """Why it has no part in this work, or None."""
        if work.writes and not self.writable:
            return "plain ext4 files afterwards" if self.copies else "read-only"
        if work.contents and self.fixed:
            return "shows files of one size only"
        if work.count > self.runs_max:
            return "too heavy for so many at once"
        if self.slow_start and self.bench.scale < QUICK and not work.quick:
            return "left out of a quick look"
        return None

    virtual = False  # can show a tree that was never made as files

    def tree_of(self, tree):
        return self.bench.trees.get(tree.part) if self.heavy and tree.part else tree

    # --- what is not timed ---

    def prepare(self, tree):
        """What has to be there before the tree can be shown: a store, an image."""

    def backing(self, tree):
        """The files that its reads end in: they are in the page cache when the clock starts."""
        return [tree.source]

    def before(self, tree):
        """Before each time it is shown."""

    # --- showing a tree ---

    def place(self, number=0):
        """Where it is mounted; the bench may show the same tree many times at once."""
        return self.bench.folder / "at" / f"{self.name}.{number}"

    def view(self, tree, number=0):
        """The folder in which the tree's files are seen."""
        return self.place(number)

    def command(self, tree, place, number):
        """The words that show the tree."""
        return []

    def owner(self):
        return self.bench.user if self.user else None

    def show(self, tree, number=0):
        """Mounts or makes; returns seconds to the first byte."""
        place = self.place(number)
        if not mounted(place):
            place.mkdir(parents=True, exist_ok=True)
        if self.user:
            os.chown(place, self.bench.user.pw_uid, self.bench.user.pw_gid)
        self.before(tree)
        words = self.command(tree, place, number)
        out = self.bench.fswork("mount", self.view(tree, number) / tree.first, *words,
                                user=self.owner(), cwd=tree.project)
        return out["first-byte"][0].seconds

    def hide(self, tree, number=0):
        """Takes it away again; must not fail when it is half there."""
        place = self.place(number)
        end = time.monotonic() + 20
        while mounted(place):
            done = subprocess.run(self.unmount_words(place), capture_output=True, check=False, cwd="/",
                                  **self.bench.identity(self.owner()))
            if done.returncode and time.monotonic() > end:
                subprocess.run(["umount", "-l", place], check=False, capture_output=True)
            elif done.returncode:
                time.sleep(0.01)  # somebody still has it open
        if self.copies:
            remove(place)

    def unmount_words(self, place):
        return ["fusermount3", "-u", place] if self.user else ["umount", place]

    def servers(self, number=0):
        """The processes that serve it."""
        return self.bench.processes_with(self.place(number))


class Ext4(Subject):
    name, title, root, writable = "ext4", "plain ext4 folder", False, True
    compared, budget = True, CORE_BUDGET

    def place(self, number=0):
        return self.bench.folder / "at" / self.name

    def view(self, tree, number=0):
        return tree.source

    def show(self, tree, number=0):
        return self.bench.fswork("mount", tree.source / tree.first)["first-byte"][0].seconds


class Tvfs(Subject):
    """`tvfs mount`; a new run for each mount where it takes writes."""

    compared, budget = True, CORE_BUDGET
    virtual = True
    passthrough = "require"
    overlay = False

    def prepare(self, tree):
        tree.make_store()

    def backing(self, tree):
        return [tree.store]

    def command(self, tree, place, number):
        how = ["--read-only"]
        if self.overlay:
            self.count += 1
            how = ["--run-id", self.run_id()]
        return [self.bench.tvfs_program, "-q", "mount", *how, "--passthrough", self.passthrough, place]

    def run_id(self):
        return f"{self.name}-{self.count}"

    def unmount_words(self, place):
        return [self.bench.tvfs_program, "-q", "umount", place]

    def hide(self, tree, number=0):
        super().hide(tree, number)
        if self.overlay:
            remove(tree.project / "artifacts" / "summaries" / "runs" / self.run_id())


class TvfsRoot(Tvfs):
    name, title = "tvfs", "tvfs, root, passthrough"


class TvfsOff(Tvfs):
    name, title, passthrough = "tvfs-off", "tvfs, root, no passthrough", "off"


class TvfsOverlay(Tvfs):
    name, title, overlay, writable = "tvfs-overlay", "tvfs, root, overlay, passthrough", True, True


class TvfsOverlayOff(Tvfs):
    name, title, overlay, writable = "tvfs-overlay-off", "tvfs, root, overlay, no passthrough", True, True
    passthrough = "off"


class TvfsUser(Tvfs):
    name, title, root, user = "tvfs-user", "tvfs, ordinary user, read-only", False, True
    program, passthrough = "fusermount3", "off"


class TvfsUserOverlay(TvfsUser):
    name, title = "tvfs-user-overlay", "tvfs, ordinary user, overlay"
    overlay = writable = True


class Null(Subject):
    name, title, fixed = "null", "null server, no-open", True
    compared, budget = True, CORE_BUDGET
    virtual = True

    def program_words(self, tree):
        return [self.bench.helper("bench-null-fuse")]

    def command(self, tree, place, number):
        return [*self.program_words(tree), place, tree.files, tree.folders, tree.size]

    def backing(self, tree):
        return []


class NullPassthrough(Null):
    name, title = "null-passthrough", "null server, passthrough"

    def program_words(self, tree):
        return [*super().program_words(tree), "-b", tree.source]

    def backing(self, tree):
        return [tree.source]


OWN = [Ext4, TvfsRoot, TvfsOff, TvfsUser, TvfsOverlay, TvfsOverlayOff, TvfsUserOverlay, Null,
       NullPassthrough]


def own_subjects(bench):
    return [kind(bench) for kind in OWN]
