"""What `cmake --install` leaves is enough to write and run a program against libtvfs."""
import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["TVFS_SOURCE_DIR"])

PROGRAM = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tvfs.h>
#include <unistd.h>

static int show(void *arg, const char *name, const struct tvfs_entry *e)
{
	const char *stop = arg;
	printf("%d %llu %s %s\n", e->kind, (unsigned long long)e->size, e->sha256, name);
	return strcmp(name, stop) == 0 ? 7 : 0;
}

int main(int argc, char **argv)
{
	struct tvfs_store *store;
	struct tvfs_snapshot *snapshot;
	struct tvfs_error err;
	struct tvfs_entry e;
	char bytes[64], target[5];
	int r = argc == 3 ? tvfs_store_open(argv[1], &store, &err) : -EINVAL;
	if (r < 0)
		return printf("%d %s\n", r == -ENOMEDIUM, err.text), 1;
	r = tvfs_snapshot_open(store, argv[2], &snapshot, &err);
	if (r < 0) {
		printf("%d %s\n", r == -ENOENT, err.text);
		tvfs_store_close(store);
		return 2;
	}
	printf("%s\n%s\n", tvfs_snapshot_foundation(snapshot), tvfs_snapshot_commit(snapshot));
	printf("%d\n", tvfs_list(snapshot, "", show, "no such name", &err));
	printf("%d\n", tvfs_list(snapshot, "sub", show, "b.json", &err));
	int fd = tvfs_open(snapshot, "sub/b.json", &err);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	printf("%.*s\n%zd\n", (int)n, bytes, write(fd, "x", 1));
	close(fd);
	r = tvfs_stat(snapshot, "", &e, &err);
	printf("%d %d %d\n", r, e.kind, (int)e.files);
	printf("%d %s\n", tvfs_readlink(snapshot, "link", target, sizeof(target), &err), target);
	printf("%d\n", tvfs_readlink(snapshot, "link", target, 4, NULL) == -ERANGE);
	printf("%d %d %d %d\n", tvfs_open(snapshot, "sub", NULL) == -EISDIR,
	       tvfs_open(snapshot, "link", NULL) == -ELOOP,
	       tvfs_stat(snapshot, "nothing", &e, &err) == -ENOENT,
	       tvfs_list(snapshot, "a.json", show, "", NULL) == -ENOTDIR);
	r = tvfs_stat(snapshot, "../x", &e, &err);
	printf("%d %d\n", r == -EINVAL, err.text[0] != 0);
	tvfs_snapshot_close(snapshot);
	tvfs_store_close(store);
	return 0;
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", SOURCE / "build" / "dev", "--prefix", prefix], check=True,
                   stdout=subprocess.DEVNULL)
    return prefix


def test_what_is_installed(installed):
    found = {str(p.relative_to(installed)) for p in installed.rglob("*") if not p.is_dir()}
    wanted = {"bin/tvfs", "bin/tvfs-commit", "bin/tvfs-ls", "sbin/mount.fuse.tvfs", "include/tvfs.h",
              "share/man/man1/tvfs.1", "share/man/man1/tvfs-commit.1"}
    assert wanted <= found
    assert any(f.endswith("pkgconfig/tvfs.pc") for f in found)
    assert any(f.endswith("/libtvfs.so") for f in found)
    assert b"commit" in subprocess.run([installed / "bin" / "tvfs", "help"], check=True,
                                       capture_output=True).stdout


def test_a_program_against_the_library(installed, project, tmp_path):
    project.write("a.json", "{}")
    project.write("sub/b.json", "[1]")
    (project.lake / "link").symlink_to("goal")
    done = project.commit()
    (pc,) = installed.rglob("tvfs.pc")
    env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "tvfs"], env=env, check=True,
                           capture_output=True, text=True).stdout.split()
    (tmp_path / "p.c").write_text(PROGRAM)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-std=c11", "-D_GNU_SOURCE",
                    "p.c", "-o", "p", *flags], cwd=tmp_path, check=True)
    env = dict(os.environ, LD_LIBRARY_PATH=str(pc.parent.parent))

    def run(*words):
        return subprocess.run([tmp_path / "p", *words], env=env, capture_output=True, text=True)

    for place in (project.path, project.lake, project.path / ".tvfs"):
        out = run(place, "main")
        assert out.returncode == 0, (out.stdout, out.stderr)
        lines = out.stdout.splitlines()
        assert lines[0] == done["foundation_hash"] and lines[1] == done["commit"]
        assert [line.split()[-1] for line in lines[2:5]] == ["a.json", "link", "sub"]
        assert lines[5] == "0" and lines[7] == "7" and lines[8] == "[1]" and lines[9] == "-1"
        assert lines[10:] == ["0 2 3", "0 goal", "1", "1 1 1 1", "1 1"]
    out = run(project.path, "no-such-ref")
    assert out.returncode == 2 and out.stdout.startswith("1 ") and "no-such-ref" in out.stdout
    out = run("/", "main")
    assert out.returncode == 1 and out.stdout.startswith("1 ")
    assert project("fsck").status == 0
