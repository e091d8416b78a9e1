"""The mount bench: a tiny run gives whole results, and nothing is left of it, nor of one that is killed."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from cli_support import BIN, SOURCE

MAIN = SOURCE / "tests" / "bench" / "mount_main.py"
HELPERS = SOURCE / "build" / "dev" / "tests"


@pytest.fixture(autouse=True)
def machine():
    if os.geteuid() != 0:
        pytest.skip("machine cannot: mount as root, the tests run as another user")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("machine cannot: no /dev/fuse")
    if not (HELPERS / "bench-fswork").exists():
        pytest.skip("machine cannot: run the bench without the preset dev")


def start(folder, *words, **more):
    env = {**os.environ, "BENCH_SCALE": "0.001", "BENCH_ROUNDS": "1", "BENCH_OUT": str(folder / "out"),
           "BENCH_DIR": str(folder / "trees"), "TVFS_BIN": str(BIN)}
    return subprocess.Popen([sys.executable, MAIN, *words], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, **more)


def nothing_left(folder):
    assert not list((folder / "trees").iterdir())
    assert str(folder) not in pathlib.Path("/proc/self/mountinfo").read_text()
    for words in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert os.fsencode(folder) not in words.read_bytes(), words
        except (FileNotFoundError, ProcessLookupError):
            pass


def test_results(tmp_path):
    bench = start(tmp_path, "small-4k", "writes", "tvfs-overlay")
    told = bench.communicate(timeout=60)[0]
    assert bench.returncode == 0, told
    doc = json.loads((tmp_path / "out" / "mount.json").read_text())
    assert [w["id"] for w in doc["works"]] == ["small-4k", "writes"]
    for work in doc["works"]:
        assert {"ext4", "tvfs-overlay", "tvfs-overlay-off"} == {s["id"] for s in work["subjects"]}
        for subject in work["subjects"]:
            if subject["id"] == "tvfs-overlay" and "require" in str(subject["absent"]):
                continue  # no passthrough here
            assert not subject["absent"], subject
            assert set(subject["figures"]) == {m["name"] for m in work["measures"]}
            assert all(v >= 0 for values in subject["figures"].values() for v in values)
            assert work["title"] in told and subject["title"] in told
    judged = {g["text"]: g for g in doc["goals"]}
    goal = judged["overlay, root: sequential write >= 0.95 of ext4's speed"]
    assert goal["state"] in ("met", "missed") and goal["value"] > 0
    nothing_left(tmp_path)


def test_an_unknown_word_is_named(tmp_path):
    bench = start(tmp_path, "tvfs", "nonsense")
    told = bench.communicate(timeout=60)[0]
    assert bench.returncode == 1 and "nothing is called nonsense" in told and "small-4k" in told
    nothing_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted(tmp_path, number):
    bench = start(tmp_path, "small-4k", "runs-64", "tvfs")
    line = bench.stdout.readline()
    while line and not line.startswith("small-4k"):
        line = bench.stdout.readline()
    assert line
    bench.send_signal(number)  # in the midst of 64 mounts
    bench.communicate(timeout=60)
    assert bench.returncode != 0
    nothing_left(tmp_path)
