"""Power cuts: every command is recorded once, then the states that a cut can leave are rebuilt and
checked (replayer.c; model.h says what may be lost). And the other way round: with the syncs taken out
of the record, or made to do nothing while the program runs, damage must be found, or these tests would
prove nothing.

TVFS_CRASH=full checks all states; else a budget for each scenario, picked by TVFS_CRASH_SEED.
"""

import json
import subprocess

import crashkit
import pytest

SEED = crashkit.SEED

# For each scenario: how many single and random states, at most ("none lost" and "all lost" come on
# top); how many random subsets for each cut; in one of how many states the command is repeated.
PLANS = {
    "first-commit": (10000, 300, 80),
    "commit": (9000, 400, 30),
    "commit-path": (12000, 500, 8),
    "commit-many": (7000, 30, 100),
    "sync": (9000, 400, 30),
    "gc": (9000, 500, 12),
    "forget": (8000, 400, 20),
    "tag": (6000, 400, 8),
    "branch": (6000, 400, 8),
    "revert": (8000, 400, 20),
    "checkout": (6000, 120, 40),
    "run-publish": (8000, 80, 120),
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


def make_recording(tracing, work, name, *options):
    folder = work / "-".join(["power", name, *options])
    stage = crashkit.Stage(crashkit.SCENARIOS[name], folder, crashkit.single())
    log = folder / "log"
    root = stage.project.folder
    done = stage.project.run(
        [tracing, *options, "--limit", "60", "--log", log, "--root", root, "--", *stage.argv]
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    stage.new = stage.project.head()
    return Recording(stage, log)


def replay(mounting, recording, *options):
    done = subprocess.run(
        [*mounting, crashkit.replayer(), "--log", recording.log, "--root",
         recording.stage.project.folder, *recording.stage.scenario.power, *map(str, options)],
        capture_output=True, text=True, errors="replace", check=False, env=recording.stage.project.env,
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
    """The shell command to repeat on a state: what it was, where nothing else is said."""
    scenario, binary = recording.stage.scenario, recording.stage.project.binary
    command = scenario.again or " ".join(f"'{word}'" for word in recording.stage.argv)
    return command.replace('"$0"', f"'{binary}'")


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
    print(f"\n{name}: seed {SEED}, {result['distinct']} distinct states of {result['states']}, "
          f"{result['records']} records, repeated in {result['repeats']}, share {result['share']}")
    totals[name] = result["distinct"]
    assert result["violations"] == 0, "\n".join([json.dumps(result), *texts])
    assert (result["new"] != result["old"]) == recording.stage.scenario.moves
    assert result["repeats"] > 0


def test_there_were_enough_states():
    if totals.keys() != PLANS.keys():
        pytest.skip("machine cannot: judge a part of the scenarios")
    print(f"\n{sum(totals.values())} distinct states: {totals}")
    assert sum(totals.values()) >= AT_LEAST


@pytest.mark.parametrize("name", PLANS)
def test_without_its_syncs_damage_is_found(recordings, mounting, name):
    """All syncs of a kind taken out: of files, of folders, fdatasync, syncfs, O_DSYNC."""
    recording = recordings(name)
    for kind in sorted({sync["class"] for sync in syncs(recording)}):
        result = replay(mounting, recording, "--seed", SEED, "--drop", kind, "--first",
                        "--random", 40, "--budget", 1200)
        print(f"\n{name} without {kind}: {(result['texts'] or ['nothing is damaged'])[0][:120]}")
        assert result["violations"] or (kind == "durable" and name in BOOKS_LAST)


@pytest.mark.parametrize("name", PLANS)
def test_with_syncs_that_do_nothing_damage_is_found(tracing, work, mounting, name):
    """The program runs as if its code had no syncs: they return at once."""
    recording = make_recording(tracing, work, name, "--no-syncs")
    assert not syncs(recording)
    result = replay(mounting, recording, "--seed", SEED, "--first", "--random", 40)
    assert result["violations"] > 0
    print(f"\n{name} without any: {result['texts'][0][:120]}")


# These end with a transaction that only does the books (a lease, a run's record), and so need not be
# durable by itself: what went before it is made durable with its pages.
BOOKS_LAST = {"gc", "revert", "checkout", "run-publish"}


def may_be_spare(name, all_syncs, i):
    """The O_DSYNC of a transaction's last page, where another transaction follows: that one's sync
    covers the page. The folder of a run's record, where the record is written again."""
    this = all_syncs[i]
    last = max(j for j, sync in enumerate(all_syncs)
               if (sync["class"], sync["path"]) == (this["class"], this["path"]))
    if this["class"] == "folder":
        return this["path"].startswith(crashkit.RUNS) and i != last
    return this["class"] == "durable" and (i != last or name in BOOKS_LAST)


@pytest.mark.parametrize("name", PLANS)
def test_each_single_sync_is_needed(recordings, mounting, name):
    recording = recordings(name)
    all_syncs, needed, spare, wrong = syncs(recording), 0, 0, []
    for i, sync in enumerate(all_syncs):
        result = replay(mounting, recording, "--seed", SEED, "--first", "--random", 20,
                        "--budget", 500, "--drop-record", sync["record"])
        needed += bool(result["violations"])
        if not result["violations"]:
            spare += 1
            if not may_be_spare(name, all_syncs, i):
                wrong.append(sync)
    print(f"\n{name}: {len(all_syncs)} syncs, damage without one of {needed}; {spare} covered by others")
    assert not wrong
