"""tvfs mount, umount, mount.fuse.tvfs, and what is left when their processes die."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from run_support import alive, fuse_mounts, wait_for


@pytest.fixture
def mnt(any_project):
    p = any_project
    if p.user and not shutil.which("fusermount3"):
        pytest.skip("machine cannot: fusermount3 is not installed")
    path = p.path / "mnt"
    path.mkdir()
    p.own(path)
    yield path
    subprocess.run(["umount", "-l", path], capture_output=True, check=False)


def as_owner(p, script, status=0):
    done = p.finish(p.start("sh", "-c", script), status)
    return done


def daemon_of(p, mountpoint):
    (row,) = [r for r in p.live()["live"] if r["path"] == str(mountpoint)]
    return row["pid"]


@pytest.mark.smoke
def test_mount_and_umount(any_project, mnt):
    p = any_project
    p("mount", mnt)
    (line,) = fuse_mounts(mnt)
    assert "nosuid" in line and "nodev" in line and " tvfs:" in line
    p.write("a.txt", "changed\n")
    assert as_owner(p, f"cat '{mnt}/a.txt' '{mnt}/portfolio_candidates.json'").out == 'one\n["frozen"]\n'
    for script in (f"echo x >'{mnt}/new'", f"rm '{mnt}/a.txt'", f"mkdir '{mnt}/d'", f"touch '{mnt}/a.txt'",
                   f"mv '{mnt}/a.txt' '{mnt}/b'", f"ln -s x '{mnt}/l'", f"chmod 600 '{mnt}/a.txt'"):
        assert "Read-only" in as_owner(p, script, None).err, script
    (row,) = p.live()["live"]
    assert row["kind"] == "mount" and row["path"] == str(mnt) and row["state"] == "live"
    pid = row["pid"]
    assert alive(pid)
    p("umount", mnt)
    assert not alive(pid)
    assert list(mnt.iterdir()) == []
    p.assert_clean()


def test_revision(any_project, mnt):
    p = any_project
    first = p.json("show")["foundation_hash"]
    p.write("a.txt", "two\n")
    p.commit("-m", "second")
    p("mount", "--foundation", first[:10], mnt)
    assert as_owner(p, f"cat '{mnt}/a.txt'").out == "one\n"
    p("umount", mnt)
    p("mount", "--foundation", "nonsense", mnt, status=1)
    p.assert_clean()


def test_with_a_run(any_project, mnt):
    p = any_project
    p("mount", "--run-id", "r1", mnt)
    as_owner(p, f"echo w >'{mnt}/w'; rm '{mnt}/a.txt'; echo r >'{mnt}/portfolio_candidates.json'")
    assert p.record("r1")["state"] == "live"
    # locked while it is mounted, and there is nothing to join
    assert "tvfs umount" in p.sh("true", "--run-id", "r1", status=125).err
    assert "mounted" in p.run("true", options=["--join", "r1"], status=125).err
    p("umount", mnt)
    record = p.record("r1")
    assert record["state"] == "open"
    assert (p.run_dir("r1") / "data/lakehouse/w").read_text() == "w\n"
    # a session goes on where the mount ended, and the other way round
    assert p.sh("cat data/lakehouse/w; test ! -e data/lakehouse/a.txt; echo v >data/lakehouse/v",
                "--run-id", "r1", "--keep-open").out == "w\n"
    p("mount", "--run-id", "r1", mnt)
    assert as_owner(p, f"cat '{mnt}/v'").out == "v\n"
    p("umount", mnt)
    p("seal", "r1")
    p("mount", "--run-id", "r1", mnt, status=1)
    p("mount", "--run-id", "r1", "--read-only", mnt)  # to look at
    assert as_owner(p, f"cat '{mnt}/v'").out == "v\n"
    assert "Read-only" in as_owner(p, f"echo x >'{mnt}/v'", None).err
    p("umount", mnt)
    # its writes belong on its foundation
    p.write("a.txt", "two\n")
    p.commit()
    assert "locked to foundation" in p("mount", "-r", "--run-id", "r1", "--foundation", "main", mnt, status=12).err
    assert not fuse_mounts(mnt)
    p.assert_clean()


def test_foreground(any_project, mnt):
    p = any_project
    process = p.start(p.bin / "tvfs", "mount", "--foreground", mnt)
    wait_for(lambda: fuse_mounts(mnt), what="the mount")
    assert as_owner(p, f"cat '{mnt}/a.txt'").out == "one\n"
    process.terminate()
    p.finish(process)
    assert not fuse_mounts(mnt)
    process = p.start(p.bin / "tvfs", "mount", "--foreground", mnt)
    wait_for(lambda: fuse_mounts(mnt), what="the mount")
    p("umount", mnt)
    p.finish(process)
    p.assert_clean()


def test_errors(any_project, mnt):
    p = any_project
    for target, text in ((p.path / "nowhere", "make the folder"), (p.path / "tvfs.json", "not a folder"),
                         (p.path / ".tvfs", "store"), (p.path, "store")):
        done = p("mount", target, status=1)
        assert text in done.err, done.err
    p("mount", mnt)
    assert "mounted already" in p("mount", mnt, status=1).err
    assert len(fuse_mounts(mnt)) == 1
    p("umount", mnt)
    assert "not a tvfs mount" in p("umount", mnt, status=1).err
    p("mount", status=2)
    p.assert_clean()


def test_not_on_the_root(project):
    """The daemon's unmount of '/' would take the machine's own root away."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount in a namespace of its own without root")
    for path in ("/", "/..", "//"):
        done = subprocess.run(["unshare", "-m", project.bin / "tvfs", "mount", path], cwd=project.path,
                              capture_output=True, check=False, timeout=60)
        assert done.returncode == 1 and b"the store is there" in done.stderr, done
    project.assert_clean()


def test_two_at_once_at_one_place(any_project, mnt):
    p = any_project
    starts = [p.start(p.bin / "tvfs", "mount", mnt) for _ in range(4)]
    statuses = [p.finish(s, None).status for s in starts]
    assert sorted(statuses) == [0, 1, 1, 1] and len(fuse_mounts(mnt)) == 1
    p("umount", mnt)
    p.assert_clean()


def test_busy(any_project, mnt):
    p = any_project
    p("mount", mnt)
    inside = p.start("sh", "-c", f"cd '{mnt}' && touch ../inside && exec sleep 100")
    wait_for((p.path / "inside").exists, what="somebody inside")
    assert "--lazy" in p("umount", mnt, status=1).err
    pid = daemon_of(p, mnt)
    p("umount", "--lazy", mnt)
    assert not fuse_mounts(mnt)
    inside.kill()
    inside.wait()
    wait_for(lambda: not alive(pid), what="the daemon's end")
    p.assert_clean()


def test_daemon_killed(any_project, mnt):
    p = any_project
    p("mount", "--run-id", "r1", mnt)
    as_owner(p, f"echo w >'{mnt}/w'")
    os.kill(daemon_of(p, mnt), signal.SIGKILL)

    def dead():
        try:
            os.stat(mnt)
        except OSError as e:
            return e.errno in (errno.ENOTCONN, errno.EACCES)
    wait_for(dead, what="the connection's end")
    (row,) = p.live()["live"]
    assert row["state"] == "dead"
    assert "dead mount" in p("mount", mnt, status=1).err or p.user
    pruned = p.json("prune")
    assert pruned["mounts"] == 1 and pruned["entries"] == 1 and pruned["leases"] == 1, pruned
    assert not fuse_mounts(mnt)
    assert p.record("r1")["state"] == "failed"
    assert p.sh("cat data/lakehouse/w", "--run-id", "r1").out == "w\n"  # it was open, so it may go on
    p.assert_clean()


def test_dead_mount_that_still_answers(any_project, mnt):
    """The kernel has its attributes and listings cached: a look at them does not tell that nobody serves it."""
    p = any_project
    p("mount", mnt)
    as_owner(p, f"ls -la '{mnt}' '{mnt}/sub'")
    pid = daemon_of(p, mnt)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), what="the daemon's end")
    as_owner(p, f"test -d '{mnt}'")
    assert "dead mount" in p("mount", mnt, status=1).err
    pruned = p.json("prune")
    assert pruned["mounts"] == 1 and not fuse_mounts(mnt), pruned
    p.assert_clean()


def test_dead_mount_is_unmounted_by_hand(any_project, mnt):
    p = any_project
    p("mount", mnt)
    pid = daemon_of(p, mnt)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), what="the daemon's end")
    p("umount", mnt)
    assert not fuse_mounts(mnt)
    p("prune")
    p.assert_clean()


def test_umount_from_anywhere(project):
    """Without its store, a mount's daemon is still found and waited for."""
    mnt = project.path / "mnt"
    mnt.mkdir()
    project("mount", mnt)
    pid = daemon_of(project, mnt)
    project("umount", mnt, cwd="/")
    assert not alive(pid)
    project.assert_clean()


def test_plain_umount(project):
    """umount(8) and fusermount3 work as well; the daemon cleans up by itself."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: umount(8) without root")
    mnt = project.path / "mnt"
    mnt.mkdir()
    project("mount", mnt)
    pid = daemon_of(project, mnt)
    subprocess.run(["umount", mnt], check=True)
    wait_for(lambda: not alive(pid), what="the daemon's end")
    project.assert_clean()


def helper(project, *words, status=0):
    return project.finish(project.start(project.bin / "mount.fuse.tvfs", *words), status)


def test_mount_helper(project):
    """As mount(8) calls it: mount.fuse.tvfs SOURCE MOUNTPOINT [-sfnv] [-o ...] [-t TYPE]."""
    mnt = project.path / "mnt"
    mnt.mkdir()
    first = project.json("show")["foundation_hash"]
    project.write("a.txt", "two\n")
    project.commit("-m", "second")
    options = f"rw,noauto,nofail,_netdev,x-systemd.automount,user=me,foundation={first[:12]},passthrough=off"
    helper(project, project.path, mnt, "-n", "-v", "-t", "fuse.tvfs", "-o", options)
    assert (mnt / "a.txt").read_text() == "one\n"
    project("umount", mnt)
    helper(project, project.path / ".tvfs", mnt, "-o", "run-id=m1")
    (mnt / "w").write_text("w")
    project("umount", mnt)
    assert (project.run_dir("m1") / "data/lakehouse/w").exists()
    helper(project, project.path, mnt, "-f")  # fake
    assert not fuse_mounts(mnt)
    assert "nonsense" in helper(project, project.path, mnt, "-o", "nonsense", status=1).err
    helper(project, project.path, status=1)
    helper(project, "/nowhere", mnt, status=32)
    helper(project, project.path, mnt, "-o", "foundation=nope", status=32)
    helper(project, project.path, project.path / "nowhere", status=32)
    project.assert_clean()


def test_allow_other(project, request):
    user = request.getfixturevalue("user")
    mnt = project.path / "mnt"
    mnt.mkdir()

    def seen():
        return subprocess.run(["cat", mnt / "a.txt"], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                              capture_output=True, check=False).stdout
    project("mount", mnt)
    assert seen() == b""
    project("umount", mnt)
    project("mount", "--allow-other", mnt)
    assert seen() == b"one\n"
    project("umount", mnt)


def test_a_mounted_view_is_not_imported(project):
    """tvfs commit refuses a live folder that is itself a view."""
    project("mount", project.lake)
    done = project("commit", "-m", "no", status=None)
    assert done.status != 0 and "view" in done.err, done.err
    project("umount", project.lake)


def test_status_beside_a_mounted_lakehouse(project):
    """The live folder cannot be looked at; what is published and in use is told."""
    project("mount", project.lake)
    try:
        told = project("status").out
        assert "is a tvfs view" in told and "in use: mount" in told
        assert "tvfs sync" not in told and "nothing" not in told
        doc = project.json("status")
        assert "lakehouse" not in doc and len(doc["in_use"]) == 1 and doc["commit"]
    finally:
        project("umount", project.lake)


def test_run_over_a_mounted_lakehouse(project):
    """A run does not care what lies on the folder below its view."""
    project("mount", project.lake)
    assert project.sh("echo x >data/lakehouse/x; cat data/lakehouse/a.txt").out == "one\n"
    project("umount", project.lake)
    project.assert_clean()


def test_figures(project):
    mnt = project.path / "mnt"
    mnt.mkdir()
    project("mount", "--passthrough", "off", mnt)
    (mnt / "a.txt").read_text()
    (row,) = project.live()["live"]
    assert row["passthrough"] == "off"
    assert str(mnt) in project("ps").out
    project("umount", mnt)


def test_stopped_daemon(project):
    """Nobody waits for it for ever, however often it is asked."""
    mnt = project.path / "mnt"
    mnt.mkdir()
    project("mount", mnt)
    (row,) = project.live()["live"]
    os.kill(row["pid"], signal.SIGSTOP)
    try:
        asked = [project.start(project.bin / "tvfs", "ps") for _ in range(24)]
        for process in asked:
            assert str(mnt) in project.finish(process, timeout=30).out
        assert not any(project.json("prune").values())
    finally:
        os.kill(row["pid"], signal.SIGCONT)
    assert (mnt / "a.txt").read_text() == "one\n"
    project("umount", mnt)
    project.assert_clean()


def test_many_mounts(project):
    mounts = [project.path / f"m{i}" for i in range(8)]
    for m in mounts:
        m.mkdir()
    starts = [project.start(project.bin / "tvfs", "mount", m) for m in mounts]
    for s in starts:
        project.finish(s)
    assert all((m / "a.txt").read_text() == "one\n" for m in mounts)
    assert len(project.live()["live"]) == len(mounts)
    ends = [project.start(project.bin / "tvfs", "umount", m) for m in mounts]
    for e in ends:
        project.finish(e)
    project.assert_clean()


def test_prune_leaves_the_living_alone(project):
    mnt = project.path / "mnt"
    mnt.mkdir()
    project("mount", mnt)
    process = project.start_run("sh", "-c", "touch export-ready; cat data/lakehouse/a.txt; sleep 1; "
                                "cat data/lakehouse/a.txt", ready="export-ready")
    assert not any(project.json("prune").values())
    assert (mnt / "a.txt").read_text() == "one\n"
    assert project.finish(process).out == "one\none\n"
    project("umount", mnt)
    project.assert_clean()
