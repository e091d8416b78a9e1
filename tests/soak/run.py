#!/usr/bin/env python3
"""The tests of every day, for longer: what only shows after minutes.

usage: ./dev soak [--seconds N] [PART...]

Parts: stress  stress-ng on mounts, N seconds (default 60) for each way of mounting
       random  a seed of its own and 10 times the steps of the random calls that are compared with ext4
       kills   daemons killed and stopped under load, 10 times
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What pytest is told, how often, and the environment.
PARTS = {
    "stress": (["tests/mount/test_mount_stress.py"], 1, {}),
    "random": (["tests/mount/test_mount_differential.py"], 1, {"TVFS_STEPS": "10"}),
    "kills": (["tests/run/test_run_stress.py", "tests/mount/test_mount_failures.py", "-k", "kill or stopped"], 10, {}),
}


def main():
    parser = argparse.ArgumentParser(usage="./dev soak [--seconds N] [PART...]", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = []
    for part in args.parts or PARTS:
        words, times, more = PARTS[part]
        env = os.environ | more | {"TVFS_STRESS_SECONDS": str(args.seconds)}
        for i in range(times):
            print(f"== {part}, {i + 1} of {times}", flush=True)
            done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "skip_policy", "-p", "no:cacheprovider",
                                   "--rootdir", str(ROOT), "-rs", *words], cwd=ROOT, env=env, check=False)
            if done.returncode:
                failed.append(f"{part} {i + 1}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
