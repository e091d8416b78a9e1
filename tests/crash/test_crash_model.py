"""The power-loss machinery itself: it finds what is wrong with a small program, and only that."""

import json
import subprocess

import crashkit
import pytest


def replay(tracing, mounting, folder, *duties):
    program = crashkit.sample()
    folder.mkdir()
    for args in (["init"], ["publish", "alpha"]):
        subprocess.run([program, *args], cwd=folder, check=True)
    log = folder.with_suffix(".log")
    subprocess.run(
        [tracing, "--log", log, "--root", folder, "--", program, "publish", "beta", *duties],
        cwd=folder, check=True,
    )
    done = subprocess.run(
        [*mounting, replayer_for_commands(), "--log", log, "--root", folder, "--seed", "1",
         "--check", f"{program} check"],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def replayer_for_commands():
    return crashkit.replayer()


def test_nothing_is_found_in_a_careful_program(tracing, mounting, work):
    result = replay(tracing, mounting, work / "careful")
    assert (result["old"], result["new"]) == ("alpha", "beta")
    assert result["violations"] == 0, result["texts"]
    assert result["distinct"] > 10


@pytest.mark.parametrize(
    "duty, finding",
    [
        ("data", "the file is short"),
        ("data", "the file is torn"),
        ("folder", "the file is missing"),
        ("order", "the file is missing"),
        ("lmdb", "main is alpha"),
        ("lmdb", "cannot read"),
    ],
)
def test_each_duty_left_out_is_found(tracing, mounting, work, duty, finding):
    result = replay(tracing, mounting, work / f"{duty}-{finding[-5:]}", duty)
    assert any(finding in text for text in result["texts"]), result


def test_calls_are_counted_killed_and_failed(tracing, work):
    program = crashkit.sample()
    folder = work / "calls"
    folder.mkdir()
    subprocess.run([program, "init"], cwd=folder, check=True)
    listed = work / "list"
    subprocess.run([tracing, "--list", listed, "--", program, "publish", "a"], cwd=folder, check=True)
    names = [line.split("\t")[2] for line in listed.read_text().splitlines()]
    assert names[:5] == ["openat", "write", "fdatasync", "rename", "fsync"]

    at = 1 + names.index("rename")
    killed = subprocess.run(
        [tracing, "--kill", f"0:{at}", "--", program, "publish", "b"], cwd=folder, check=False
    )
    assert killed.returncode == 128 + 9
    assert not (folder / "files" / "b").exists() and (folder / "tmp" / "new").exists()

    failed = subprocess.run(
        [tracing, "--fail", f"0:{at}:28", "--", program, "publish", "b"],
        cwd=folder, check=False, capture_output=True, text=True,
    )
    assert (failed.returncode, failed.stdout) == (1, "no rename\n")
