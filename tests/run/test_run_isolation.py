"""What a run cannot reach, and what it cannot spoil."""

import errno
import os
import socket
import subprocess
import threading

import pytest

from run_support import make_project, snapshot


def test_inputs_are_read_only(any_project):
    p = any_project
    (p.path / "export" / "scan").mkdir()
    (p.path / "export" / "scan" / "a.json").write_text("[]")
    p.own_all()
    code = """
import errno, os
open("export/scan/a.json").read()
for f in (lambda: open("export/new", "w"), lambda: os.remove("export/scan/a.json"),
          lambda: open("export/scan/a.json", "a"), lambda: os.mkdir("export/d"),
          lambda: os.chmod("export/scan/a.json", 0o600), lambda: os.rename("export/scan", "export/x")):
    try: f()
    except OSError as e: assert e.errno == errno.EROFS, e
    else: raise SystemExit("was allowed")
"""
    before = snapshot(p.path / "export")
    p.py(code)
    assert snapshot(p.path / "export") == before
    p.sh("touch export/by-the-job", "--profile", "data")
    assert (p.path / "export" / "by-the-job").exists()


def test_inputs_that_are_links(project, base):
    """An input folder that leads elsewhere is protected where it leads."""
    elsewhere = base / f"scans-{os.urandom(3).hex()}"
    elsewhere.mkdir()
    (project.path / "export").rmdir()
    (project.path / "export").symlink_to(elsewhere)
    project.sh("! touch export/x 2>/dev/null")
    assert list(elsewhere.iterdir()) == []


def test_inputs_with_mounts_below(project):
    """What is mounted inside an input folder is read-only, too."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount without root")
    below = project.path / "export" / "disk"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    try:
        project.sh("! touch export/disk/x 2>/dev/null")
        assert list(below.iterdir()) == []
    finally:
        subprocess.run(["umount", below], check=True)


def test_redirected_folders(any_project):
    p = any_project
    (p.path / "data" / "logs" / "old.log").write_text("shared")
    p.sh("test ! -e data/logs/old.log; echo line >>data/logs/run.log; mkdir data/logs/sub", "--run-id", "r1")
    assert sorted(x.name for x in (p.path / "data/logs").iterdir()) == ["old.log"]
    assert (p.run_dir("r1") / "logs/run.log").read_text() == "line\n"


@pytest.mark.smoke
def test_store_is_hidden(any_project):
    p = any_project
    done = p.sh("ls -A .tvfs; ! touch .tvfs/x 2>/dev/null; ! tvfs log 2>/dev/null; "
                "TVFS_STORE=$PWD tvfs ls 2>&1 || echo $?")
    assert done.out.endswith("10\n"), done.out
    # and stays what it was
    assert p.json("fsck")["damages"] == 0


def test_store_given_by_hand(project, base):
    """A store elsewhere is hidden, too."""
    store = base / f"store-{os.urandom(3).hex()}"
    (project.path / ".tvfs").rename(store / ".tvfs") if store.mkdir() is None else None
    (project.path / "tvfs.json").rename(store / "tvfs.json")
    (store / "data" / "lakehouse").mkdir(parents=True)
    done = project(
        "run", "--store", store, "--", "sh", "-c",
        f"cat data/lakehouse/a.txt; ls -A {store}/.tvfs; ! touch {store}/.tvfs/x 2>/dev/null", cwd=store)
    assert done.out == "one\n"


def test_no_network(any_project):
    p = any_project
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        abstract.bind(f"\0tvfs-test-{os.getpid()}")
        abstract.listen()
        code = f"""
import os, socket
def reach(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(3)
            s.connect(address)
            return True
    except OSError:
        return False
print(reach(socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})),
      reach(socket.AF_UNIX, "\\0tvfs-test-{os.getpid()}"),
      sorted(os.listdir("/sys/class/net")) if False else sorted(n for _, n in socket.if_nameindex()))
with socket.socket() as s:   # lo is up: a server and a client inside meet
    s.bind(("127.0.0.1", 0)); s.listen()
    print(reach(socket.AF_INET, s.getsockname()))
"""
        assert p.py(code).out == "False False ['lo']\nTrue\n"
        assert p.py(code, "--network").out.startswith("True True")
        assert p.py(code, "--profile", "development").out.startswith("True True")
        assert p.py(code, "--profile", "data", "--no-network").out.startswith("False False ['lo']")
        p("run", "--network", "--no-network", "--", "true", status=2)


def masked(project, hide, *words, status):
    """Calls tvfs where /dev/fuse is masked."""
    script = f"{hide}; cd '{project.path}'; exec '{project.bin}/tvfs' \"$@\""
    return project.finish(project.start("unshare", "-m", "sh", "-ec", script, "sh", *words), status)


@pytest.mark.parametrize("hide, text", [
    ("mount -t tmpfs tmpfs /mnt; cp -a /dev/null /dev/zero /dev/urandom /mnt; mount --bind /mnt /dev",
     "modprobe fuse"),
    ("mount --bind /dev/null /dev/fuse", "fuse"),
])
def test_missing_dev_fuse(project, hide, text):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mask /dev/fuse without root")
    done = masked(project, hide, "run", "--run-id", "r1", "--", "touch", "ran", status=125)
    assert text in done.err, done.err
    assert not (project.path / "ran").exists() and not project.run_dir("r1").exists()
    (project.path / "mnt").mkdir()
    done = masked(project, hide, "mount", project.path / "mnt", status=1)
    assert "fuse" in done.err, done.err
    project.assert_clean()


def test_user_without_access_to_dev_fuse(base, request):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: change the access to /dev/fuse without root")
    p = make_project(base, "noaccess", request.getfixturevalue("user_bin"), request.getfixturevalue("user"))
    script = (f"mknod -m 600 /tmp/tvfs-dev-fuse c 10 229; mount --bind /tmp/tvfs-dev-fuse /dev/fuse;"
              f"rm /tmp/tvfs-dev-fuse; cd '{p.path}'; exec setpriv --reuid {p.user.pw_uid} --regid "
              f"{p.user.pw_gid} --clear-groups '{p.bin}/tvfs' run -- true")
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, check=False,
                          env=p.environment(), timeout=60)
    assert done.returncode == 125 and b"chmod 666 /dev/fuse" in done.stderr, done


def test_user_without_namespaces(base, request):
    """Fails closed, and says what an administrator can do."""
    if os.geteuid() != 0:
        pytest.skip("machine cannot: forbid namespaces without root")
    p = make_project(base, "nons", request.getfixturevalue("user_bin"), request.getfixturevalue("user"))
    # A chroot'ed process may not make user namespaces: the kernel's own rule, nothing to configure.
    script = (f"mount --rbind / /mnt; exec chroot /mnt setpriv --reuid {p.user.pw_uid} --regid "
              f"{p.user.pw_gid} --clear-groups sh -c \"cd '{p.path}'; '{p.bin}/tvfs' run -- touch ran\"")
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, check=False,
                          env=os.environ | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout=60)
    assert done.returncode == 125 and b"namespace" in done.stderr, done
    assert not (p.path / "ran").exists()
    p.assert_clean()


def test_nothing_leaks_to_other_processes(project):
    """A run's binds are private even where everything is shared."""
    process = project.start_run("sh", "-c", "touch export-ready; sleep 30", ready="export-ready")
    mounts = open("/proc/self/mountinfo").read()
    assert str(project.path) not in mounts
    process.terminate()
    project.finish(process, -15)


def test_no_new_rights(any_project):
    """The command has no capability that its caller did not have."""
    p = any_project
    done = p.sh("grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status; id -u; id -g")
    lines = done.out.splitlines()
    if p.user:
        assert all(int(line.split()[1], 16) == 0 for line in lines[:3])
        assert lines[3:] == [str(p.user.pw_uid), str(p.user.pw_gid)]
    else:
        assert lines[3:] == [str(os.geteuid()), str(os.getegid())]


def test_files_belong_to_the_caller(any_project):
    p = any_project
    uid = p.user.pw_uid if p.user else os.geteuid()
    done = p.sh("stat -c %u data/lakehouse/a.txt data/lakehouse; echo >data/lakehouse/n; stat -c %u data/lakehouse/n",
                "--run-id", "r1")
    assert done.out.split() == [str(uid)] * 3
    assert (p.run_dir("r1") / "data/lakehouse/n").stat().st_uid == uid


def test_setuid_is_not_honoured(project):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: tell setuid from plain as an ordinary user")
    done = project.sh("cp /usr/bin/id data/lakehouse/id; chmod 4755 data/lakehouse/id;"
                      "grep ' /.*data/lakehouse ' /proc/self/mountinfo")
    assert "nosuid" in done.out and "nodev" in done.out


def test_passthrough_choices(project, request):
    project.sh("cat data/lakehouse/a.txt", "--passthrough", "off", "--run-id", "off")
    assert project.record("off")["passthrough"] != "on"
    project("run", "--passthrough", "maybe", "--", "true", status=2)
    doctor = project.json("doctor") if os.geteuid() == 0 else {}
    done = project.sh("cat data/lakehouse/a.txt", "--passthrough", "require", "--run-id", "on", status=None)
    if done.status == 0:
        assert project.record("on")["passthrough"] == "on"
    else:
        assert done.status == 125 and "passthrough" in done.err, (done.err, doctor)
        assert not project.run_dir("on").exists()
    project.assert_clean()


def test_passthrough_required_as_a_user(base, request):
    p = make_project(base, "requser", request.getfixturevalue("user_bin"), request.getfixturevalue("user"))
    assert "passthrough" in p.sh("true", "--passthrough", "require", status=125).err
    p.assert_clean()
