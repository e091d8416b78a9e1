"""tvfs mount, umount, mount(8) and fstab: readiness, and what is said when it cannot be done."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from mount_support import BIN, SLOW, fails, wait_for


@pytest.fixture
def project(base, root_foundation):
    """root_foundation's project, and a folder to mount on."""
    folder = base / f"tools-{os.urandom(4).hex()}"
    folder.mkdir()
    yield Tool(root_foundation.path, folder)
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4].startswith(str(folder)):
            subprocess.run(["umount", "-l", line.split()[4]], check=False)


class Tool:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        self.mnt = folder / "mnt"
        self.mnt.mkdir()

    def __call__(self, *words, status=0, wrap=(), cwd=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TVFS_", "TV_"))}
        done = subprocess.run([*map(str, wrap), str(BIN / "tvfs"), *map(str, words)], cwd=cwd or self.path,
                              env=env, capture_output=True, text=True, check=False, timeout=60 * SLOW)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done.stderr if status else done.stdout

    def script(self, text, *words):
        """A shell script in a mount namespace of its own: nothing that it mounts is seen outside."""
        return subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-euc", text, "sh",
                               *map(str, words)], cwd=self.path, capture_output=True, text=True, check=False,
                              timeout=60 * SLOW)


def is_view(path):
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) and " - fuse.tvfs " in line for line in mounts)


@pytest.mark.smoke
def test_returns_when_ready(project):
    """Each time the very next call sees the view."""
    for _ in range(10):
        project("mount", project.mnt)
        assert os.path.exists(project.mnt / "a.txt") and is_view(project.mnt)
        project("umount", project.mnt)
        assert not is_view(project.mnt) and os.listdir(project.mnt) == []


def test_the_daemon_holds_nothing_of_the_caller(project):
    """Pipes of the caller end when it does; the daemon stands in no folder."""
    started = time.monotonic()
    out = subprocess.run(f"'{BIN}/tvfs' mount '{project.mnt}' 2>&1 | cat", shell=True, cwd=project.path, text=True,
                         capture_output=True, check=True, timeout=30 * SLOW).stdout
    assert "mounted on" in out and time.monotonic() - started < 20 * SLOW
    (row,) = [r for r in json.loads(project("ps", "--json"))["live"] if r["path"] == str(project.mnt)]
    proc = pathlib.Path(f"/proc/{row['pid']}")
    assert os.readlink(proc / "cwd") == "/"
    assert os.getsid(row["pid"]) == row["pid"]
    targets = [os.readlink(fd) for fd in (proc / "fd").iterdir()]
    assert not any("pipe:" in t for t in targets), targets
    project("umount", project.mnt)
    wait_for(lambda: not proc.exists(), what="the daemon's end")


@pytest.mark.smoke
def test_errors(project):
    (project.folder / "file").write_text("x")
    for words, texts in (
            ((project.folder / "nowhere",), ("nowhere", "make the folder first")),
            ((project.folder / "file",), ("file", "not a folder")),
            ((project.folder / "file" / "below",), ("below",)),
            ((project.path / ".tvfs",), ("the store is there",)),
            (("--foundation", "nonsense", project.mnt), ("nonsense",)),
            (("--run-id", "../x", project.mnt), ("../x",)),
            (("--passthrough", "maybe", project.mnt), ("maybe",))):
        said = project("mount", *words, status=2 if texts[0] == "maybe" else 1)
        assert all(t in said for t in texts) and said.count("\n") == 1, said
    project("mount", project.mnt)
    said = project("mount", project.mnt, status=1)
    assert "mounted already" in said
    project("umount", project.mnt)
    said = project("umount", project.mnt, status=1)
    assert "not a tvfs mount" in said
    assert not is_view(project.mnt)


def test_folder_that_is_not_empty(project):
    """As with mount(8): what stands there is hidden, and there again afterwards."""
    (project.mnt / "below").write_text("below")
    project("mount", project.mnt)
    assert not (project.mnt / "below").exists() and (project.mnt / "a.txt").exists()
    project("umount", project.mnt)
    assert (project.mnt / "below").read_text() == "below"


def test_no_dev_fuse(project):
    done = project.script('mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; "$1" mount "$2"', BIN / "tvfs", project.mnt)
    assert done.returncode == 1 and "/dev/fuse" in done.stderr and "modprobe fuse" in done.stderr, done
    done = project.script('mount --bind /dev/null /dev/fuse; "$1" mount "$2"', BIN / "tvfs", project.mnt)
    assert done.returncode == 1 and done.stderr.startswith("tvfs mount: "), done
    assert json.loads(project("ps", "--json"))["live"] == []


def test_no_right_to_dev_fuse(project, user, user_foundation, tools):
    """As an ordinary user, with the device closed to others."""
    if user is None:
        pytest.skip("machine cannot: act as two users without root")
    folder = project.folder / "user"
    folder.mkdir()
    os.chown(folder, user.pw_uid, user.pw_gid)
    done = project.script('mount -t tmpfs none /dev; mknod /dev/fuse c 10 229; chmod 600 /dev/fuse; '
                          'mknod -m 666 /dev/null c 1 3; cd "$3"; '
                          f'exec setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --clear-groups '
                          '"$1" mount "$2"', tools / "tvfs", folder, user_foundation.path)
    assert done.returncode == 1 and "/dev/fuse" in done.stderr and "chmod 0666" in done.stderr, done


INSTALL = """
mkdir "$1/sbin"
printf '#!/bin/sh\\nexec "%s/mount.fuse.tvfs" "$@"\\n' "$2" >"$1/sbin/mount.fuse.tvfs"
chmod 755 "$1/sbin/mount.fuse.tvfs"
mount -t overlay -o "lowerdir=$1/sbin:$(readlink -f /sbin)" none "$(readlink -f /sbin)" || exit 77
folder=$1 project=$3 mnt=$1/mnt
"""


def with_helper(project, script):
    """A script for which mount(8) finds our helper, in a namespace: no trace is left on the machine."""
    if not shutil.which("unshare") or not os.path.exists(BIN / "mount.fuse.tvfs"):
        raise AssertionError("there is no mount.fuse.tvfs")
    done = project.script(INSTALL + script, project.folder, BIN, project.path)
    if done.returncode == 77:
        pytest.skip("machine cannot: put an overlayfs over /sbin in a namespace")
    assert not os.path.exists("/sbin/mount.fuse.tvfs") and not is_view(project.mnt)
    return done


def test_mount_8(project):
    done = with_helper(project, """
        mount -t fuse.tvfs "$project" "$mnt" -o ro,foundation=main
        cat "$mnt/a.txt"
        grep -c " $mnt fuse.tvfs ro,nosuid,nodev" /proc/mounts
        umount "$mnt"
        mount -t fuse.tvfs "$project/.tvfs" "$mnt" -o run-id=fstab1,noatime
        echo two >"$mnt/new"
        cat "$mnt/new"
        umount "$mnt"
        ! mount -t fuse.tvfs "$project" "$mnt" -o nonsense
        ! mount -t fuse.tvfs "$project" "$mnt" -o foundation=nonsense
        ! mount -t fuse.tvfs /nowhere "$mnt"
        ! mount -t fuse.tvfs "$project" /nowhere
    """)
    assert done.returncode == 0 and done.stdout.split() == ["one", "1", "two"], done
    assert "no mount option 'nonsense'" in done.stderr, done.stderr


def test_fstab(project):
    done = with_helper(project, """
        echo "$project $mnt fuse.tvfs defaults,noauto,nofail,x-systemd.automount,foundation=main 0 0" >"$folder/fstab"
        mount -T "$folder/fstab" "$mnt"
        cat "$mnt/a.txt"
        ! touch "$mnt/a.txt" 2>/dev/null
        umount "$mnt"
        echo "$project $mnt fuse.tvfs defaults 0 0" >"$folder/fstab"
        mount -a -T "$folder/fstab"
        cat "$mnt/sub/b.txt"
        umount "$mnt"
    """)
    assert done.returncode == 0 and done.stdout.split() == ["one", "two"], done


def test_overlay_of_a_run(project):
    """A run that is kept open: mounted, written, unmounted, mounted again."""
    run_id = f"m{os.urandom(4).hex()}"
    for i in range(3):
        project("mount", "--run-id", run_id, project.mnt)
        assert len(list(project.mnt.glob("written*"))) == i
        (project.mnt / f"written{i}").write_text(str(i))
        (project.mnt / "a.txt").write_text(f"version {i}")
        said = project("mount", "--run-id", run_id, project.folder, status=11)
        assert run_id in said
        project("umount", project.mnt)
    project("mount", "--read-only", "--run-id", run_id, project.mnt)
    assert (project.mnt / "a.txt").read_text() == "version 2"
    fails(30, os.mkdir, project.mnt / "x")
    project("umount", project.mnt)
    overlay = project.path / "artifacts/summaries/runs" / run_id / "data/lakehouse"
    assert sorted(os.listdir(overlay)) == ["a.txt", "written0", "written1", "written2"]
