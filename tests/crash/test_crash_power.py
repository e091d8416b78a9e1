"""Power cuts: every command is recorded once, then the states that a cut can leave are rebuilt and
checked (replayer.c; model.h says what may be lost). And the other way round: with the syncs taken out
of the record, damage must be found, or these tests would prove nothing.

TVFS_CRASH=full checks all states; else a budget for each scenario, picked by a seed that is printed.
"""

import json
import os
import subprocess
import time

import crashkit
import pytest

SEED = int(os.environ.get("TVFS_CRASH_SEED", time.time_ns() % 1_000_000))

# How many single and random states of each scenario, at most; "none lost" and "all lost" come on top.
BUDGETS = {
    "first-commit": 6000,
    "commit": 12000,
    "commit-path": 6000,
    "commit-many": 9000,
    "sync": 9000,
    "gc": 9000,
    "run-publish": 12000,
}
AT_LEAST = 10_000  # distinct states, all scenarios together


class Recording:
    def __init__(self, stage, log):
        self.stage, self.log = stage, log


@pytest.fixture(scope="module")
def recordings(tracing, mounting, work):
    """name -> the scenario's log, made when first asked for."""
    made = {}

    def record(name):
        if name not in made:
            made[name] = make_recording(tracing, work, name)
        return made[name]

    return record


def make_recording(tracing, work, name):
    folder = work / f"power-{name}"
    stage = crashkit.Stage(crashkit.SCENARIOS[name], folder, crashkit.single())
    log = folder / "log"
    root = stage.project.folder
    done = stage.project.run(
        [tracing, "--limit", "60", "--log", log, "--root", root, "--", *stage.argv]
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    stage.new = stage.project.head()
    return Recording(stage, log)


def replay(mounting, recording, *options):
    done = subprocess.run(
        [*mounting, crashkit.replayer(), "--log", recording.log, "--root",
         recording.stage.project.folder, *map(str, options)],
        capture_output=True, text=True, check=False, env=recording.stage.project.env,
    )
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    return json.loads(done.stdout)


def syncs(recording):
    done = subprocess.run(
        [crashkit.replayer(), "--log", recording.log, "--syncs"],
        capture_output=True, text=True, check=True,
    )
    return json.loads(done.stdout)


def again(recording):
    """The command to repeat on a state: what it was, or for runs only the way back to order."""
    binary = recording.stage.project.binary
    if recording.stage.scenario.name == "run-publish":
        job = crashkit.JOB.replace("'", "'\\''")
        return f"'{binary}' prune && '{binary}' run --publish main --run-id JOB-2 -- sh -c '{job}'"
    return " ".join(f"'{word}'" for word in recording.stage.argv)


totals = {}


@pytest.mark.parametrize("name", BUDGETS)
def test_every_state_after_a_power_cut_is_sound(recordings, mounting, name):
    recording = recordings(name)
    result = replay(
        mounting, recording, "--seed", SEED, "--budget", 0 if crashkit.FULL else BUDGETS[name],
        "--random", 40, "--repeat", again(recording), "--every", 40,
    )
    texts = result.pop("texts")
    print(f"TVFS_CRASH_SEED={SEED} {name}: {result}")
    totals[name] = result["distinct"]
    assert result["violations"] == 0, "\n".join([json.dumps(result), *texts])
    assert (result["new"] != result["old"]) == recording.stage.scenario.moves
    assert result["repeats"] > 0


def test_there_were_enough_states():
    if totals.keys() != BUDGETS.keys():
        pytest.skip("machine cannot: judge a part of the scenarios")
    print(f"{sum(totals.values())} distinct states: {totals}")
    assert sum(totals.values()) >= AT_LEAST


# What must show when all syncs of a kind are taken out.
MUTATIONS = [
    ("commit", "data"),      # fdatasync: of blobs, and of LMDB's pages
    ("commit", "folder"),    # fsync of the folders that blobs are renamed into
    ("commit", "durable"),   # LMDB's meta page
    ("commit-many", "all"),  # one syncfs for many blobs
    ("first-commit", "folder"),
    ("sync", "all"),         # one syncfs for the live files
    ("sync", "data"),
    ("gc", "data"),
    ("run-publish", "data"),
]


@pytest.mark.parametrize("name, kind", MUTATIONS)
def test_without_its_syncs_damage_is_found(recordings, mounting, name, kind):
    recording = recordings(name)
    assert any(s["class"] == kind for s in syncs(recording)), f"{name} makes no sync of this kind"
    result = replay(mounting, recording, "--seed", SEED, "--drop", kind, "--first", "--random", 40)
    assert result["violations"] > 0, result
    print(f"{name} without {kind}: {result['texts'][:1]}")


# Syncs that can be left out one at a time, and why; each name is class and file.
SPARE = {
    # that a sync has begun: the syncfs behind it, before the first rename, covers the same page
    "sync": {("durable", ".tvfs/index/data.mdb", 0)},
}


@pytest.mark.parametrize("name", ["commit", "sync", "gc"])
def test_each_single_sync_is_needed(recordings, mounting, name):
    recording = recordings(name)
    seen, spare = {}, set()
    for sync in syncs(recording):
        kind = sync["class"], sync["path"]
        seen[kind] = seen.get(kind, -1) + 1
        result = replay(mounting, recording, "--seed", SEED, "--first", "--random", 40,
                        "--drop-record", sync["record"])
        if not result["violations"]:
            spare.add((*kind, seen[kind]))
    assert spare == SPARE.get(name, set())
