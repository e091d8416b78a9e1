#!/usr/bin/env python3
"""Runs clang-tidy on every source of the build, as many at a time as there are processors.

usage: tidy.py BUILD-FOLDER [FILE...]
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def sources(build):
    entries = json.loads((build / "compile_commands.json").read_text())
    return sorted({str(Path(e["directory"], e["file"]).resolve()) for e in entries})


def tidy(build, source):
    done = subprocess.run(
        ["clang-tidy", "-p", str(build), "--quiet", source],
        cwd=ROOT, capture_output=True, text=True,
    )
    return source, done.returncode, done.stdout.strip(), done.stderr.strip()


def main():
    build = Path(sys.argv[1])
    wanted = [str(Path(f).resolve()) for f in sys.argv[2:]] or sources(build)
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, status, out, errors in pool.map(lambda s: tidy(build, s), wanted):
            if status:
                bad += 1
                print(f"{os.path.relpath(source, ROOT)}:\n{out or errors}")
    print(f"clang-tidy: {len(wanted)} files, {bad} with findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
