"""Programs at work in a view: git, cp, rsync, tar, make and a C compiler, as in a plain folder."""

import errno
import os
import shutil
import subprocess

import pytest

from mount_support import ODD_NAMES, OLD, fails, wait_for

# git notes inode numbers and change times in its index; what they say is compared by git itself.
INDEX = ["*/index"]
WHEN = "2026-01-02T03:04:05Z"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_AUTHOR_DATE": WHEN,
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b", "GIT_COMMITTER_DATE": WHEN}
GIT = ["git", "-c", "safe.directory=*", "-c", "pack.threads=1", "-c", "gc.autoDetach=false",
       "-c", "init.defaultBranch=main"]
PROGRAM = {
    "main.c": '#include <stdio.h>\n#include "count.h"\nint main(void) { printf("%d\\n", count(20)); return 0; }\n',
    "count.c": '#include "count.h"\nint count(int n) { return n < 2 ? n : count(n - 1) + count(n - 2); }\n',
    "count.h": "int count(int n);\n",
    "Makefile": "CFLAGS = -O2 -g -ffile-prefix-map=$(CURDIR)=.\n"
                "program: main.o libcount.so\n"
                "\tcc $(CFLAGS) -o $@ main.o -L. -lcount -Wl,-rpath,'$$ORIGIN'\n"
                "libcount.so: count.c count.h\n"
                "\tcc $(CFLAGS) -shared -fPIC -o $@ count.c\n"
                "main.o: main.c count.h\n"}


@pytest.fixture(params=["passthrough", "plain", "namespace"])
def way(request):
    return request.param


def run(folder, *words, status=0):
    """The program's output."""
    done = subprocess.run([str(w) for w in words], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False,
                          timeout=90)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout.replace(os.fsencode(folder), b"@")


def git(folder, *words, status=0):
    return run(folder, *GIT, *words, status=status)


def fill_tree(tree):
    for name in ("a.txt", "sub/b.txt", "sub/c.txt", "deep/er/est/d.txt", *(f"many/f{i:03}" for i in range(30))):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name * 100)
    for name in ODD_NAMES:
        with open(os.fsencode(tree) + b"/" + name, "wb") as f:
            f.write(b"odd " + name)
    (tree / "big.bin").write_bytes(bytes(range(256)) * 8192)
    (tree / "empty").touch()
    (tree / "bare").mkdir(mode=0o750)
    (tree / "latest").symlink_to("sub/b.txt")
    shutil.copy("/bin/sleep", tree / "sleep")
    (tree / "a.txt").chmod(0o600)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)


def fill_repository(tree):
    tree.mkdir()
    git(tree, "init", "-q", "--template=")
    for i in range(20):
        (tree / f"f{i}.txt").write_text(f"{i}\n" * 200)
        if i % 5 == 4:
            git(tree, "add", ".")
            git(tree, "commit", "-qm", f"commit {i}")
    (tree / "link").symlink_to("f0.txt")
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "links and programs")


def fill_lake(lake):
    """Files of all kinds, a work tree and a repository to clone, and a program's sources."""
    fill_tree(lake / "tree")
    fill_repository(lake / "work")
    git(lake, "clone", "-q", "--bare", "--template=", "work", "origin.git")
    (lake / "src").mkdir()
    for name, text in PROGRAM.items():
        (lake / "src" / name).write_text(text)
        os.utime(lake / "src" / name, ns=(OLD, OLD))


def git_facts(folder):
    """All that git says of a repository; diff-files tells files that look changed by their attributes alone."""
    return [git(folder, *words.split()) for words in (
        "fsck --full --strict", "log --all --format=%H%d --topo-order", "ls-files -s", "count-objects -v")]


def test_git_on_a_clone(beside):
    def steps(lake):
        # No hard links: git gives objects that it meets again a new time, which depends on the clock's ticks.
        git(lake, "clone", "-q", "--no-hardlinks", "--template=", "origin.git", "clone")
        clone = lake / "clone"
        (clone / "new.txt").write_text("new\n")
        (clone / "f1.txt").write_text("changed on main\n")
        git(clone, "rm", "-q", "f2.txt")
        git(clone, "mv", "f3.txt", "moved.txt")
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", "on main")
        git(clone, "checkout", "-q", "-b", "side", "HEAD~2")
        (clone / "f4.txt").write_text("changed on side\n")
        git(clone, "commit", "-qam", "on side")
        git(clone, "merge", "-q", "-m", "merged", "main")
        (clone / "f1.txt").write_text("conflict\n")
        git(clone, "commit", "-qam", "conflict")
        git(clone, "checkout", "-q", "-b", "other", "main~1")
        (clone / "f1.txt").write_text("with this\n")
        git(clone, "commit", "-qam", "other")
        git(clone, "merge", "side", status=1)
        (clone / "f1.txt").write_text("resolved\n")
        git(clone, "commit", "-qam", "resolved")
        git(clone, "gc", "-q", "--prune=now")
        git(clone, "push", "-q", "origin", "side")
        return git_facts(clone)
    beside.both(steps)
    beside.same(INDEX)
    assert beside.both(lambda lake: git(lake / "clone", "status", "--porcelain")) == b""


def test_git_on_a_frozen_work_tree(beside):
    """Its files are taken for unchanged, also after a remount: by git's look, and by their attributes alone."""
    def unchanged(lake):
        git(lake / "work", "update-index", "-q", "--refresh")
        return git(lake / "work", "diff-files")

    def steps(lake):
        work = lake / "work"
        (work / "f1.txt").write_text("changed\n")
        git(work, "stash", "-q")
        git(work, "commit", "-q", "--allow-empty", "-m", "empty")
        git(work, "stash", "pop", "-q")
        git(work, "commit", "-qam", "changed")
        git(work, "repack", "-qad")
        git(work, "reset", "-q", "--hard", "HEAD~3")
        return git_facts(work)
    assert beside.both(unchanged) == b""
    beside.view.remount()
    assert beside.both(lambda lake: git(lake / "work", "diff-files")) == b""
    beside.both(steps)
    assert beside.both(unchanged) == b""
    beside.same(INDEX)
    assert beside.both(lambda lake: git(lake / "work", "diff-files")) == b""
    assert beside.both(lambda lake: git(lake / "work", "status", "--porcelain")) == b""


def adorn(folder):
    """What a foundation does not hold: attributes, hard links, holes, a fifo."""
    os.setxattr(folder / "a.txt", "user.note", b"\x00\xff")
    os.setxattr(folder / "sub", "user.folder", b"of files")
    os.link(folder / "sub" / "b.txt", folder / "second name")
    os.link(folder / "sub" / "b.txt", folder / "deep" / "third name")
    with open(folder / "sparse", "wb") as f:
        f.seek(8 << 20)
        f.write(b"end")
    os.mkfifo(folder / "fifo")
    os.utime(folder / "latest", ns=(OLD + 1, OLD + 2), follow_symlinks=False)


def disk_use(path):
    return path.stat().st_blocks * 512


def test_cp(beside):
    def steps(lake):
        adorn(lake / "tree")
        run(lake, "cp", "-a", "tree", "copy")
        run(lake, "cp", "-a", "--sparse=always", "tree/sparse", "again")
        run(lake, "cp", "-al", "tree/sub", "links")
        run(lake, "cp", "-a", "--reflink=auto", "--remove-destination", "tree/big.bin", "copy/a.txt")
        run(lake, "cp", "-au", "tree/.", "copy")
        return [disk_use(lake / n) < 100_000 for n in ("tree/sparse", "copy/sparse", "again")]
    assert beside.both(steps) == [True] * 3
    beside.same()


def rsync(folder, *words):
    return run(folder, "rsync", "-aHX", "--itemize-changes", "--modify-window=-1", *words)


def test_rsync(beside):
    def steps(lake):
        adorn(lake / "tree")
        first = rsync(lake, "tree/", "copy")
        assert len(first.splitlines()) > 40
        assert rsync(lake, "tree/", "copy") == b"", "the second time there is nothing to do"
        assert rsync(lake, "--checksum", "copy/", "tree") == b""
        (lake / "tree" / "a.txt").write_text("changed")
        (lake / "tree" / "many" / "f001").unlink()
        shutil.rmtree(lake / "tree" / "deep")
        (lake / "tree" / "sub" / "c.txt").chmod(0o640)
        os.setxattr(lake / "tree" / "sub", "user.folder", b"changed")
        with open(lake / "tree" / "big.bin", "r+b") as f:
            f.seek(1 << 20)
            f.write(b"patch")
        second = rsync(lake, "--delete", "--inplace", "--no-whole-file", "tree/", "copy")
        assert rsync(lake, "--delete", "tree/", "copy") == b""
        return sorted(first.splitlines()), sorted(second.splitlines())
    beside.both(steps)
    beside.same()
    # Nor is there after a remount: sizes and times are what they were.
    assert beside.both(lambda lake: rsync(lake, "--delete", "tree/", "copy")) == b""


PAX = ["--format=pax", "--sort=name", "--pax-option=delete=atime,delete=ctime"]


def test_tar(beside):
    def steps(lake):
        run(lake, "tar", *PAX, "-cf", "frozen.tar", "tree")
        adorn(lake / "tree")
        run(lake, "tar", "--xattrs", "--sparse", "-cf", "all.tar", "tree")
        (lake / "out").mkdir()
        run(lake, "tar", "--xattrs", "--xattrs-include=*", "-C", "out", "-xpf", "all.tar")
        os.utime(lake / "all.tar", ns=(OLD, OLD))
        assert run(lake, "tar", "-C", "out", "-df", "all.tar") == b""
        run(lake, "tar", "-xpf", "frozen.tar")  # over what stands there
        return sorted(run(lake, "tar", "-tf", "all.tar").splitlines())
    assert len(beside.both(steps)) > 40
    beside.same(["all.tar"])  # it holds times that are "now"


def test_make_and_cc(beside):
    """The bytes of what is built are the same, and make knows what is up to date, after a remount too."""
    def build(lake):
        made = run(lake / "src", "make", "program")
        return made, run(lake / "src", "./program")

    def changed(lake):
        text = (lake / "src" / "count.c").read_text()
        (lake / "src" / "count.c").write_text(text.replace("count(n - 1) +", "2 * count(n - 1) +"))
        return build(lake)

    assert beside.both(build)[1] == b"6765\n"
    beside.same()
    assert b"up to date" in beside.both(build)[0]
    made, printed = beside.both(changed)
    assert b"count.c" in made and b"main.c" not in made and printed != b"6765\n"
    beside.both(lambda lake: os.utime(lake / "src" / "count.h"))
    assert b"main.c" in beside.both(build)[0]
    beside.same()


def test_a_program_that_runs_cannot_be_written_to(beside):
    def steps(lake):
        shutil.copy(lake / "tree" / "sleep", lake / "own")
        for program in (lake / "tree" / "sleep", lake / "own"):
            with subprocess.Popen([program, "100"]) as running:
                wait_for(lambda: os.readlink(f"/proc/{running.pid}/exe") == str(program), what="the program's start")
                fails(errno.ETXTBSY, os.open, program, os.O_WRONLY)
                fails(errno.ETXTBSY, os.truncate, program, 0)
                shutil.copy(program, lake / "new")
                (lake / "new").replace(program)  # as it is done instead
                running.kill()
            os.close(os.open(program, os.O_WRONLY))
    beside.both(steps)
    beside.same()
