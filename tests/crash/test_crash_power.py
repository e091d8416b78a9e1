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

# For each scenario: how many single and random states, at most ("none lost" and "all lost" come on
# top); how many random subsets for each cut; in one of how many states the command is repeated.
PLANS = {
    "first-commit": (14000, 300, 80),
    "commit": (9000, 300, 40),
    "commit-path": (3000, 120, 10),
    "commit-many": (9000, 20, 100),
    "sync": (9000, 300, 40),
    "gc": (9000, 300, 40),
    "run-publish": (6000, 60, 200),
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


@pytest.mark.parametrize("name", PLANS)
def test_every_state_after_a_power_cut_is_sound(recordings, mounting, name):
    recording = recordings(name)
    budget, subsets, every = PLANS[name]
    result = replay(
        mounting, recording, "--seed", SEED, "--budget", 0 if crashkit.FULL else budget,
        "--random", subsets, "--repeat", again(recording), "--every", every,
    )
    texts = result.pop("texts")
    print(f"TVFS_CRASH_SEED={SEED} {name}: {result}")
    totals[name] = result["distinct"]
    assert result["violations"] == 0, "\n".join([json.dumps(result), *texts])
    assert (result["new"] != result["old"]) == recording.stage.scenario.moves
    assert result["repeats"] > 0


def test_there_were_enough_states():
    if totals.keys() != PLANS.keys():
        pytest.skip("machine cannot: judge a part of the scenarios")
    print(f"{sum(totals.values())} distinct states: {totals}")
    assert sum(totals.values()) >= AT_LEAST


@pytest.mark.parametrize("name", PLANS)
def test_without_its_syncs_damage_is_found(recordings, mounting, name):
    """All syncs of a kind taken out: of files, of folders, fdatasync, syncfs, O_DSYNC."""
    recording = recordings(name)
    kinds = {sync["class"] for sync in syncs(recording)}
    assert {"data", "durable"} <= kinds
    assert kinds & {"folder", "all"} or name == "gc"  # of what makes names durable
    for kind in sorted(kinds - SPARE_KINDS.get(name, set())):
        result = replay(mounting, recording, "--seed", SEED, "--drop", kind, "--first",
                        "--random", 40)
        assert result["violations"] > 0, (kind, result)
        print(f"{name} without {kind}: {result['texts'][:1]}")


SPARE_KINDS = {
    # no step of gc needs the one before to be on disk: a row whose file is gone is no blob
    "gc": {"durable"},
    # what a run writes down at its end covers, with its own sync, the page that published
    "run-publish": {"durable"},
}

# Syncs that may be left out one at a time: (class, file, which of these).
INDEX = ".tvfs/index/data.mdb"
SPARE = {
    "commit": set(),
    # that a sync has begun: the syncfs behind it, before the first rename, covers the same page
    "sync": {("durable", INDEX, 0)},
    "gc": {("durable", INDEX, i) for i in range(9)},
}


@pytest.mark.parametrize("name", SPARE)
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
    assert spare <= SPARE[name]
