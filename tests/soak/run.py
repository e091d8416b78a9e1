#!/usr/bin/env python3
"""The tests of every day, for longer: what only shows after minutes.

usage: ./dev soak [--seconds N] [--steps N] [--seed N] [--way WAY] [PART...]

Parts: stress  stress-ng on mounts, N seconds (default 60) for each way of mounting
       random  N random calls (default 1,000,000) that are compared with ext4, over all ways of mounting or one;
               a difference ends its way and is told with a short script that finds it
       kills   daemons killed and stopped under load, 10 times
       cycle   tvfs ingest and tvfs flow killed and disturbed at every call that writes
"""

import argparse
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "mount"))

from differential_pairs import ROUNDS, STEPS  # noqa: E402

KILLS = ["tests/run/test_run_stress.py", "tests/mount/test_mount_failures.py", "-k", "kill or stopped"]


def pytest(words, more):
    """Whether the tests passed."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "skip_policy", "-p", "no:cacheprovider",
                           "--rootdir", str(ROOT), "-rs", *words], cwd=ROOT, env=os.environ | more,
                          check=False).returncode == 0


def stress(args):
    return pytest(["tests/mount/test_mount_stress.py"], {"TVFS_STRESS_SECONDS": str(args.seconds)})


def random_calls(args):
    a_set = ROUNDS * (STEPS[args.way] if args.way else sum(STEPS.values()))
    sets = -(-args.steps // a_set)
    print(f"{sets} sets of {a_set} steps, seed {args.seed}", flush=True)
    return pytest(["-s", "tests/mount/test_mount_differential.py", "-k",
                   "test_random_calls" + (f" and {args.way}" if args.way else "")],
                  {"TVFS_SEED": str(args.seed), "TVFS_SETS": str(sets)})


def kills(_):
    return all([pytest(KILLS, {}) for _ in range(10)])


def cycle(_):
    return pytest(["-s", "tests/crash/test_crash_cycle.py"], {"TVFS_CRASH": "full"})


PARTS = {"stress": stress, "random": random_calls, "kills": kills, "cycle": cycle}


def main():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__, usage=argparse.SUPPRESS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of stress-ng for each way")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of random calls, over the ways of mounting")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**9))
    parser.add_argument("--way", choices=list(STEPS))
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = []
    for part in args.parts or PARTS:
        print(f"== {part}", flush=True)
        if not PARTS[part](args):
            failed.append(part)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
