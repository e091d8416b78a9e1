"""The works. A turn shows a tree through a subject, does the work, and returns a figure a measure."""

import os

from mount_bench import COMPARED_LIMIT, PASS_LIMIT


class Measure:
    def __init__(self, name, title, unit="ms", ratio=True):
        self.name, self.title, self.unit, self.ratio = name, title, unit, ratio


SHOW = Measure("mount", "mount or make", ratio=False)


def two(first="first", warm="warm"):
    return [SHOW, Measure("first", first), Measure("warm", warm)]


class Work:
    name = ""
    title = ""
    tree = ""
    baseline = "ext4"
    measures = ()
    cold = False      # the kernel's caches are dropped before
    writes = False    # needs a subject that takes writes
    contents = False  # needs the tree's true bytes
    quick = False     # done in a quick look even by subjects that are slow to start
    rounds = 1.0      # share of the rounds asked for
    count = 1         # mounts at once

    def __init__(self, bench):
        self.bench = bench

    @property
    def trees(self):
        return [self.tree]

    def heading(self):
        return self.title.format(tree=self.bench.trees.known[self.tree])

    def turn(self, subject):
        tree = subject.tree_of(self.bench.trees.get(self.tree))
        self.bench.ready(subject, tree)
        self.warm_up(subject, tree)
        try:
            sample = {"mount": subject.show(tree) * 1e3}
            sample.update(self.do(subject, tree))
        finally:
            subject.hide(tree)
        return sample

    def warm_up(self, subject, tree):
        if self.cold:
            self.bench.drop_caches(3)
        else:
            self.bench.warm(subject.backing(tree))

    def do(self, subject, tree):
        """The measures other than the mount."""
        raise NotImplementedError

    def share(self, tree):
        """How many times the tree that a subject got a part of is larger than the part."""
        share = self.bench.trees.known[self.tree]["files"] / tree.files
        self.bench.estimated |= share != 1
        return share

    def fswork(self, subject, *words, passes=1):
        """NAME -> the passes' figures in ms."""
        limit = max((COMPARED_LIMIT if subject.compared else PASS_LIMIT) * self.bench.scale, 1)
        out = self.bench.fswork(*words, passes=passes, user=subject.owner(), limit=limit)
        return {name: [p.seconds * 1e3 for p in passes] for name, passes in out.items()}


class ReadFiles(Work):
    measures = two("open+read+close, first", "open+read+close, warm")

    def do(self, subject, tree):
        times = self.fswork(subject, "read", subject.view(tree), tree.files, tree.folders, passes=3)
        share = self.share(tree)
        return {"first": times["read"][0] * share, "warm": times["read"][-1] * share}


class Small100k(ReadFiles):
    quick = True
    name, tree, title = "small-100k", "small-100k", "open+read+close of {tree[files]:,} x 100 KB"


class Small4k(ReadFiles):
    name, tree, title = "small-4k", "small-4k", "open+read+close of {tree[files]:,} x 4 KB"


class Big(Work):
    tree = "big"
    command = ""
    rounds = 0.6

    def words(self):
        return []

    def heading(self):
        return self.title.format(self.bench.trees.known["big"]["size"] >> 20)

    def do(self, subject, tree):
        times = self.fswork(subject, self.command, subject.view(tree) / tree.first, *self.words(), passes=3)
        return {"first": times[self.command][0], "warm": times[self.command][-1]}


class Sequential(Big):
    name, command, title = "sequential", "seq", "one file of {:,} MiB, sequential reads of 1 MiB"
    measures = two("sequential, first", "sequential, warm")


class Random(Big):
    name, command, title = "random", "random", "one file of {:,} MiB, 32,768 random reads of 4 KiB"
    measures = two("random, first", "random, warm")

    def words(self):
        return [32_768]


class Mapped(Big):
    name, command, title = "mmap", "mmap", "one file of {:,} MiB, mapped, each page touched"
    measures = two("mmap, first", "mmap, warm")


class Names(Work):
    """Two mounts, so that neither the walk nor the listing finds what the other left in the caches."""

    cold = True
    rounds = 0.6
    measures = [SHOW, Measure("first", "walk+stat, first"), Measure("warm", "walk+stat, warm"),
                Measure("list-first", "listing, first"), Measure("list-warm", "listing, warm")]

    def do(self, subject, tree):
        share = self.share(tree)
        walk = self.visit(subject, tree, "walk")
        subject.hide(tree)
        self.warm_up(subject, tree)
        subject.show(tree)
        listing = self.visit(subject, tree, "list")
        return {"first": walk[0] * share, "warm": walk[-1] * share,
                "list-first": listing[0] * share, "list-warm": listing[-1] * share}

    def visit(self, subject, tree, how):
        return self.fswork(subject, how, subject.view(tree), tree.files, passes=3)[how]


class Flat(Names):
    name, tree, title = "flat", "flat", "{tree[files]:,} files in one folder, caches dropped before the mount"


class Wide(Names):
    name, tree = "wide", "wide"
    title = "{tree[files]:,} files in {tree[folders]:,} folders, caches dropped before the mount"


class LookUp(Work):
    """Names that this mount was never asked for; what lies below is in the page cache."""

    name, tree, title = "look-up", "flat", "a stat of each of {tree[files]:,} names never looked at before"
    measures = [SHOW, Measure("first", "look-up, not cached"),
                Measure("inode", "memory a looked-up inode", "bytes", ratio=False)]

    def warm_up(self, subject, tree):
        self.bench.drop_caches(2)
        self.bench.warm(subject.backing(tree))

    def do(self, subject, tree):
        before = self.bench.private_bytes(subject.servers())
        times = self.fswork(subject, "stat", subject.view(tree), tree.files, tree.folders)
        grown = self.bench.private_bytes(subject.servers()) - before
        sample = {"first": times["stat"][0] * self.share(tree)}
        if subject.servers():
            sample["inode"] = grown / tree.files
        return sample


class Writes(Work):
    name, tree, writes, rounds = "writes", "copyup", True, 0.6
    title = "overlay: writes, names, and a copy-up"
    measures = [SHOW, Measure("write", "write sequentially"), Measure("write+fsync", "write and fsync"),
                Measure("create", "create"), Measure("rename", "rename"), Measure("remove", "delete"),
                Measure("copyup", "copy-up of a large file")]

    def heading(self):
        scaled = self.bench.trees.scaled
        return (f"overlay: {scaled(1024):,} MiB written, {scaled(10_000):,} files made, renamed and deleted, "
                f"a copy-up of {scaled(100):,} MiB")

    def warm_up(self, subject, tree):
        super().warm_up(subject, tree)
        os.sync()

    def do(self, subject, tree):
        view, scaled = subject.view(tree), self.bench.trees.scaled
        new = view / "new.bin"
        sample = {}
        for words in (["names", view, scaled(10_000)], ["copyup", view / tree.first],
                      ["write", new, scaled(1024) << 20]):
            os.sync()  # what the one before left is not written back on the next one's time
            times = self.fswork(subject, *words)
            sample.update({name: passes[0] for name, passes in times.items()})
        self.bench.run("rm", "-f", new, user=subject.owner())
        return sample


class FramesRead(Work):
    name, tree, contents, rounds = "frames", "frames", True, 0.6
    title = "{tree[files]:,} Parquet files of daily bars, first touch after mounting"
    measures = [SHOW, Measure("pandas", "pandas.read_parquet"), Measure("duckdb", "duckdb over a glob"),
                Measure("pyarrow", "pyarrow.dataset")]

    def do(self, subject, tree):
        sample = {}
        who = subject.owner()
        ids = [who.pw_uid, who.pw_gid] if who else [os.getuid(), os.getgid()]
        for tool in ("pandas", "duckdb", "pyarrow"):
            if sample:
                subject.hide(tree)
                subject.show(tree)
            seconds = self.bench.frames.ask("read", tool, subject.view(tree), *ids)
            sample[tool] = seconds * self.share(tree) * 1e3
        return sample


class Runs(Work):
    """So many mounts of the same tree, and a reader in each."""

    tree, rounds = "runs", 0.6
    measures = [Measure("mount", "all mounted", ratio=False), Measure("first", "all read, first"),
                Measure("warm", "all read, warm"), Measure("rate", "total, warm", "GB/s", ratio=False),
                Measure("private", "private memory a mount", "MB", ratio=False),
                Measure("cache", "page cache grown, of the data", "x", ratio=False),
                Measure("cpu", "processor time", ratio=False)]

    def heading(self):
        tree = self.bench.trees.known[self.tree]
        return f"{self.count} at once, each reading the same {tree['files']:,} x 100 KB"

    def turn(self, subject):
        bench, tree = self.bench, self.bench.trees.get(self.tree)
        bench.ready(subject, tree)
        bench.warm(subject.backing(tree))
        shown = []
        try:
            seconds = 0.0
            for number in range(self.count):
                shown.append(number)
                seconds += subject.show(tree, number)
            return {"mount": seconds * 1e3, **self.read_all(subject, tree)}
        finally:
            for number in shown:
                subject.hide(tree, number)

    def read_all(self, subject, tree):
        bench, views = self.bench, [subject.view(tree, i) for i in range(self.count)]
        servers = {pid for i in range(self.count) for pid in subject.servers(i)}
        data = tree.files * tree.size
        private = bench.private_bytes(servers) / self.count
        cached, used = bench.cached_bytes(), bench.cpu_seconds(servers)
        first = self.fswork(subject, "parallel", tree.files, *views)
        grown = bench.cached_bytes() - cached
        warm = self.fswork(subject, "parallel", tree.files, *views)
        used = bench.cpu_seconds(servers) - used
        sample = {"first": first["parallel"][0], "warm": warm["parallel"][0],
                  "rate": self.count * data / warm["parallel"][0] / 1e6, "cache": max(grown, 0) / data,
                  "cpu": first["cpu"][0] + warm["cpu"][0] + used * 1e3}
        if servers:
            sample["private"] = private / 1e6
        return sample


class Runs1(Runs):
    name, count = "runs-1", 1


class Runs8(Runs):
    name, count = "runs-8", 8


class Runs64(Runs):
    name, count = "runs-64", 64


class FirstByte(Work):
    """Mounts of trees of four sizes; trees too large for a subject are left out."""

    name, title = "first-byte", "from the start of the mount to the first byte, by the number of files"
    sizes = {"thousand": "1,000 files", "flat-part": "10,000 files", "flat": "100,000 files",
             "million": "1,000,000 files"}
    measures = [Measure(name, title, ratio=False) for name, title in sizes.items()]
    trees = list(sizes)

    def heading(self):
        return self.title

    def turn(self, subject):
        sample = {}
        for name in self.sizes:
            tree = self.bench.trees.get(name)
            if (tree.fill == "store" and not subject.virtual) or (name == "flat" and subject.heavy):
                continue
            if tree.fill == "store" and subject.name == "null-passthrough":
                continue
            self.bench.ready(subject, tree)
            self.bench.warm(subject.backing(tree))
            try:
                sample[name] = subject.show(tree) * 1e3
            finally:
                subject.hide(tree)
        return sample


WORKS = [Small100k, Small4k, Sequential, Random, Mapped, FramesRead, Runs1, Runs8, Runs64, Writes, Wide, Flat,
         LookUp, FirstByte]


def all_works(bench):
    return [kind(bench) for kind in WORKS]
