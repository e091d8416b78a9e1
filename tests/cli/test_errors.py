"""Exit codes, usage errors, damage: each with a message that says what to do."""

import os
import pathlib
import pty
import shutil
import signal
import subprocess
import time

import pytest

from cli_support import BIN, SOURCE, environment


def test_usage(bare):
    assert "there is no command 'nope'" in bare("nope", status=2).err
    assert "a command is needed" in bare(status=2).err
    assert "see 'tvfs ls --help'" in bare("ls", "--nope", status=2).err
    assert "needs a value" in bare("commit", "-m", status=2).err
    assert "one word too many" in bare("ls", "a", "b", status=2).err
    assert "more words are needed" in bare("checkout", "a", status=2).err
    assert bare("--version").out.startswith("tvfs 0.")
    assert "Exit codes" in bare("--help").out
    assert bare("ls", "--help").out == bare("help", "ls").out == bare("-h", program="tvfs-ls").out


def test_errors_are_one_line_and_json(project):
    result = project("show", "nope", status=1)
    assert result.err.startswith("tvfs show: ") and result.err.count("\n") == 1
    doc = project("show", "nope", "--json", status=1).doc
    assert doc["error"]["exit"] == 1 and doc["error"]["code"] == "ENOENT"
    assert doc["error"]["message"]
    doc = project("ls", "--nope", "--json", status=2).doc
    assert doc["error"]["exit"] == 2
    assert project("ls", "--json", cwd="/", status=10).doc["error"]["exit"] == 10


def test_options_of_a_command_to_start_are_not_ours(bare):
    for words in (["run", "ls", "--json"], ["run", "--", "ls", "--json"]):
        assert bare(*words, status=10).raw == b"", words
    assert bare("run", "--json", "ls", status=10).doc["error"]["exit"] == 10


def test_nothing_published_yet(project):
    for words in (["ls"], ["log"], ["show"], ["sync"], ["revert", "main"], ["tag", "x"]):
        err = project(*words, status=1).err
        assert "main" in err, words


@pytest.mark.parametrize("text, message", [
    ('{\n "unknown": 1\n}', "line 2: key 'unknown'"),
    ('{\n\n "settle": 5}', "line 3: key 'settle'"),
    ('{"ref": "main",\n"ref": "x"}', "line 2: key 'ref' stands there twice"),
    ('{"lakehouse": "../x"}', "key 'lakehouse'"),
    ('{"profiles": {"p": {\n"nettwork": true}}}', "line 2: key 'profiles.p.nettwork'"),
    ("{", "tvfs.json: line 1: not valid JSON"),
])
def test_settings(project, text, message):
    (project.path / "tvfs.json").write_text(text)
    assert message in project("status", status=1).err


def test_settings_that_are_no_file(project):
    (project.path / "tvfs.json").unlink()
    os.mkfifo(project.path / "tvfs.json")
    assert "tvfs.json' is not a regular file" in project("status", status=1).err


def test_store_on_a_read_only_filesystem(filled):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: a read-only bind mount without root")
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && exec "$2" ls'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", filled.path, BIN / "tvfs"],
                          capture_output=True, env=environment(), check=False)
    assert done.returncode == 1 and b"mounted read-only" in done.stderr, done


def blob_files(project):
    return [p for p in (project.path / ".tvfs" / "blobs").rglob("*") if p.is_file()]


def damage(path):
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.chmod(mode)


def test_corrupted_blob(project):
    project.write("big.txt", "0123456789" * 50000)
    project.commit()
    (blob,) = [p for p in blob_files(project) if p.stat().st_size == 500000]
    damage(blob)
    result = project("cat", "main:big.txt", status=14)
    assert "main:big.txt" in result.err and "fsck" in result.err
    assert "big.txt" in project("fsck", "--read-data", status=14).out
    doc = project("fsck", "--read-data", "--json", status=14).doc
    assert doc["damages"] >= 1 and doc["error"]["exit"] == 14
    assert any(f.get("path") == "big.txt" for f in doc["findings"])
    # a checkout does not write it out
    err = project("checkout", "main", project.path / "out", status=14).err
    assert "big.txt" in err and "fsck" in err
    assert not (project.path / "out").exists()


def test_missing_blob(project):
    project.write("big.txt", "0123456789" * 50000)
    project.commit()
    (blob,) = [p for p in blob_files(project) if p.stat().st_size == 500000]
    blob.unlink()
    project("cat", "main:big.txt", status=14)
    project("fsck", status=14)


def test_newer_format(filled):
    (filled.path / ".tvfs" / "format").write_text("tvfs store\nformat 99\n")
    for words in (["ls"], ["commit"], ["gc"]):
        err = filled(*words, status=1).err
        assert "99" in err and "newer" in err


def test_damaged_index(filled):
    data = filled.path / ".tvfs" / "index" / "data.mdb"
    data.write_bytes(b"\0" * data.stat().st_size)
    filled("ls", status=14)


def test_not_the_owner(filled):
    if os.geteuid() != 0:
        pytest.skip("machine cannot: only root can become somebody else")
    os.chmod(filled.path, 0o755)
    for parent in filled.path.parents:
        if parent == pathlib.Path("/tmp"):
            break
        os.chmod(parent, 0o755)
    readable = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-x",
                               BIN / "tvfs"], check=False).returncode == 0
    if not readable:
        pytest.skip("machine cannot: another user does not reach the program")
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", BIN / "tvfs", "ls",
                           "--store", filled.path], capture_output=True, env=environment(),
                          check=False)
    assert done.returncode == 1 and b"ermission" in done.stderr


def test_full_output():
    if not os.path.exists("/dev/full"):
        pytest.skip("machine cannot: there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN / "tvfs", "help"], stdout=full, stderr=subprocess.PIPE,
                              check=False)
    assert done.returncode == 1 and b"could not be written" in done.stderr


def on_terminal(words, cwd, columns=2.0, env=None):
    """Runs words with stdout and stderr on a terminal; what it printed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve(words[0], words, environment() | (env or {}))
    out = b""
    try:
        while chunk := os.read(fd, 65536):
            out += chunk
    except OSError:
        pass
    os.close(fd)
    return out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_colours(filled):
    tvfs = str(BIN / "tvfs")
    out, _ = on_terminal([tvfs, "diff", "main~1"], filled.path)
    assert b"\033[32m" in out
    out, _ = on_terminal([tvfs, "diff", "main~1"], filled.path, env={"NO_COLOR": "1"})
    assert b"\033[" not in out
    assert "\033[" not in filled("diff", "main~1").out


def test_interrupt_loses_nothing(project):
    """SIGINT in a long commit: exit 130, nothing published, and the same command succeeds after."""
    for i in range(40):
        project.write(f"big{i}.bin", os.urandom(4 << 20))
    with subprocess.Popen([BIN / "tvfs", "commit"], cwd=project.path, env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        time.sleep(0.15)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
    assert p.returncode in (0, 130), (p.returncode, err)
    if p.returncode == 130:
        assert b"interrupted" in err
        assert "nothing published" in project("status").out
    project("commit")
    assert project.json("show")["files"] == 40


def test_table_of_exit_codes():
    text = (SOURCE / "docs" / "commands" / "tvfs.md").read_text()
    for words in ("10 no store", "11 locked", "12 conflict", "13 refused", "14 corruption",
                  "15 stale", "130 interrupted"):
        assert words in text
    assert shutil.which("sha256sum")


def test_closed_descriptors(filled):
    """What is printed with the standard descriptors closed lands nowhere, least of all in the store."""
    def files():
        return {p: p.read_bytes() for p in (filled.path / ".tvfs").rglob("*")
                if p.is_file() and p.name not in ("lock.mdb", "data.mdb")}
    before = files()
    for closed in ("<&-", "<&- >&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"):
        for words in ("ls", "log", "cat nope", "fsck", "--json ls nope"):
            subprocess.run(["sh", "-c", f"exec '{BIN}/tvfs' {words} {closed}"], cwd=filled.path, timeout=60,
                           env=environment(), check=False)
            assert files() == before, (words, closed)
    filled("fsck", "--read-data")
    done = subprocess.run(["sh", "-c", f"exec '{BIN}/tvfs' ls <&- >&-"], cwd=filled.path, timeout=60,
                          env=environment(), capture_output=True, check=False)
    assert done.returncode == 1 and b"could not be written" in done.stderr
