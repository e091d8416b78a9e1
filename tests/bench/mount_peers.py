"""The peers: other filesystems and tools that show, or make, a frozen tree."""

import os
import shutil

from mount_bench import ROOT
from mount_sandbox import missing, remove
from mount_subjects import CORE_BUDGET, Subject

DEPS = ROOT / "build/deps"


class PassthroughHp(Subject):
    """libfuse's example of a passthrough server. It holds a descriptor an inode, and writes to its source."""

    name, title, writable = "passthrough-hp", "libfuse passthrough_hp", True
    compared, budget = True, CORE_BUDGET
    program_path = DEPS / "libfuse/bin/passthrough_hp"

    def absent(self):
        return super().absent() or (None if self.program_path.exists() else "not built: needs a C++ compiler")

    def tree_of(self, tree):
        if tree.part and tree.files >= self.bench.files_at_once - 100:
            return self.bench.trees.get(tree.part)
        return tree

    def source(self, tree):
        return tree.home / "written" if tree.name == "copyup" else tree.source

    def prepare(self, tree):
        if tree.name == "copyup":
            self.bench.run("cp", "-a", tree.source, self.source(tree))

    def backing(self, tree):
        return [self.source(tree)]

    def command(self, tree, place, number):
        return [self.program_path, self.source(tree), place]


class Layered(Subject):
    """Lower folder, and a fresh upper one each time."""

    writable = True
    compared, budget = True, CORE_BUDGET

    def layers(self, tree, number):
        home = tree.home / f"{self.name}.{number}"
        return home, home / "upper", home / "work"

    def options(self, tree, number):
        home, upper, work = self.layers(tree, number)
        remove(home)
        for path in upper, work:
            path.mkdir(parents=True)
        return f"lowerdir={tree.source},upperdir={upper},workdir={work}"

    def hide(self, tree, number=0):
        super().hide(tree, number)
        remove(self.layers(tree, number)[0])


class Overlayfs(Layered):
    name, title = "overlayfs", "kernel overlayfs"

    def command(self, tree, place, number):
        return ["mount", "-t", "overlay", "overlay", "-o", self.options(tree, number), place]


class FuseOverlayfs(Layered):
    name = title = program = "fuse-overlayfs"

    def command(self, tree, place, number):
        return [self.program, "-o", self.options(tree, number), place]


class Composefs(Subject):
    name = title = "composefs"

    def find(self, name):
        built = DEPS / "composefs"
        for path in built / "bin" / name, built / "sbin" / name:
            if path.exists():
                return path
        return shutil.which(name)

    def absent(self):
        return super().absent() or (None if self.find("mkcomposefs") and self.find("mount.composefs")
                                    else "neither package nor source package can be had")

    def prepare(self, tree):
        (tree.home / "objects").mkdir()
        self.bench.run(self.find("mkcomposefs"), f"--digest-store={tree.home}/objects", tree.source,
                       tree.home / "composefs.img")

    def backing(self, tree):
        return [tree.home / "objects", tree.home / "composefs.img", tree.source]  # small files are in the image

    def command(self, tree, place, number):
        return [self.find("mount.composefs"), "-o", f"basedir={tree.home}/objects", tree.home / "composefs.img",
                place]


class Erofs(Subject):
    name, title, program = "erofs", "EROFS image, not compressed", "mkfs.erofs"

    def prepare(self, tree):
        image, place = tree.home / "erofs.img", self.place()
        self.bench.run("mkfs.erofs", "--quiet", image, tree.source)
        place.mkdir(parents=True, exist_ok=True)
        try:
            self.bench.run(*self.direct(image, place))
            tree.loop = False
            self.hide(tree)
        except RuntimeError:
            tree.loop = True  # a kernel before 6.12

    def direct(self, image, place):
        return [self.bench.bin / "bench-fswork", "attach", "erofs", image, place]

    def backing(self, tree):
        return [tree.home / "erofs.img"]

    def command(self, tree, place, number):
        image = tree.home / "erofs.img"
        if tree.loop:
            return ["mount", "-t", "erofs", "-o", "ro,loop", image, place]
        return self.direct(image, place)


class Backup(Subject):
    """A repository that a program of its own unpacks as it is read."""

    heavy, slow_start, runs_max = True, True, 8

    def repository(self, tree):
        return tree.home / self.name

    def backing(self, tree):
        return [self.repository(tree)]


class Restic(Backup):
    name = program = "restic"
    title = "restic mount"

    def prepare(self, tree):
        repository = self.repository(tree)
        self.bench.run("restic", "-q", "-r", repository, "init")
        self.bench.run("restic", "-q", "-r", repository, "backup", ".", cwd=tree.source)

    def view(self, tree, number=0):
        return self.place(number) / "snapshots" / "latest"

    def command(self, tree, place, number):
        return ["sh", "-c", '"$@" >/dev/null 2>&1 &', "sh", "restic", "-r", self.repository(tree), "mount", place]


class Borg(Backup):
    name = program = "borg"
    title = "borg mount"

    def absent(self):
        return super().absent() or (None if os.path.exists("/usr/bin/fusermount3") else "no fusermount3")

    def prepare(self, tree):
        repository = self.repository(tree)
        self.bench.run("borg", "init", "-e", "none", repository)
        self.bench.run("borg", "create", f"{repository}::tree", ".", cwd=tree.source)

    def command(self, tree, place, number):
        return ["borg", "mount", f"{self.repository(tree)}::tree", place]


class Ostree(Subject):
    name = program = "ostree"
    title, heavy, copies = "ostree checkout, hard links", True, True

    def prepare(self, tree):
        repository = tree.home / "ostree"
        self.bench.run("ostree", f"--repo={repository}", "init", "--mode=bare")
        self.bench.run("ostree", f"--repo={repository}", "commit", "-b", "main", "--fsync=false",
                       f"--tree=dir={tree.source}")

    def backing(self, tree):
        return [tree.home / "ostree"]

    def view(self, tree, number=0):
        return self.place(number) / "tree"

    def command(self, tree, place, number):
        return ["ostree", f"--repo={tree.home}/ostree", "checkout", "main", place / "tree"]


class Dvc(Subject):
    name, title = "dvc", "dvc checkout"
    heavy, copies, slow_start, runs_max = True, True, True, 1
    program_path = ROOT / "build/bench-venv/bin/dvc"

    def absent(self):
        return super().absent() or (None if self.program_path.exists() else "not installed") or missing("git")

    def project(self, tree):
        return tree.home / "dvc"

    def prepare(self, tree):
        project = self.project(tree)
        project.mkdir()
        self.bench.run("git", "init", "-q", cwd=project)
        self.bench.run(self.program_path, "init", "-q", cwd=project)
        self.bench.run("cp", "-a", tree.source, project / "data")
        self.bench.run(self.program_path, "add", "-q", "data", cwd=project)
        remove(project / "data")

    def backing(self, tree):
        return [self.project(tree)]

    def view(self, tree, number=0):
        return self.project(tree) / "data"

    def command(self, tree, place, number):
        return [self.program_path, "--cd", self.project(tree), "checkout", "-q", "data.dvc"]

    def hide(self, tree, number=0):
        super().hide(tree, number)
        remove(self.view(tree))


class Copy(Subject):
    name, title, root = "cp", "cp -a", False
    heavy, copies = True, True
    words = ("cp", "-a")

    def command(self, tree, place, number):
        return [*self.words, f"{tree.source}/.", place]


class CopyReflink(Copy):
    name, title, runs_max = "cp-reflink", "cp -a --reflink=auto", 8
    words = ("cp", "-a", "--reflink=auto")


PEERS = [Overlayfs, FuseOverlayfs, PassthroughHp, Composefs, Erofs, Restic, Borg, Ostree, Dvc, Copy, CopyReflink]


def peers(bench):
    return [kind(bench) for kind in PEERS]
