"""`./dev bench mount [FILTER...]`: mounts of tvfs beside every peer, in one interleaved run.

A FILTER is a part of the name of a work, of a subject, or both kinds mixed; the plain ext4 folder is
always there. BENCH_SCALE shrinks the trees, BENCH_ROUNDS sets the rounds, BENCH_DIR says where the trees
are made. Results: build/bench/mount.json and plots beside it; a whole run at full scale also renews
docs/bench-mount.md and its plots.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import mount_goals  # noqa: E402
import mount_page  # noqa: E402
import mount_table  # noqa: E402
from mount_bench import QUICK, ROOT, Bench, measure  # noqa: E402
from mount_peers import peers  # noqa: E402
from mount_sandbox import in_sandbox  # noqa: E402
from mount_subjects import own_subjects  # noqa: E402
from mount_works import all_works  # noqa: E402

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5" if SCALE >= QUICK else "2"))
MINUTES = 35 if SCALE >= QUICK else 2  # a slower or busy machine gets fewer rounds, not more time
OUT = pathlib.Path(os.environ.get("BENCH_OUT", ROOT / "build/bench"))


def select(things, words):
    """Those whose name has one of the words in it, or all when none has."""
    found = [t for t in things if any(word in t.name for word in words)]
    return found or list(things)


def choose(bench, words):
    works, subjects = all_works(bench), [*own_subjects(bench), *peers(bench)]
    names = [t.name for t in (*works, *subjects)]
    if unknown := [word for word in words if not any(word in name for name in names)]:
        raise SystemExit(f"bench: nothing is called {' '.join(unknown)}; there are: {', '.join(names)}")
    chosen = select(subjects, words)
    if chosen[0].name != "ext4":
        chosen.insert(0, subjects[0])
    return select(works, words), chosen


def idling():
    """What a processor does that has nothing to do: of FUSE, most is waking it up."""
    cpuidle = pathlib.Path("/sys/devices/system/cpu/cpuidle/current_governor")
    polls = pathlib.Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
    governor = cpuidle.read_text().strip() if cpuidle.exists() else "unknown"
    if governor != "haltpoll" or not polls.exists():
        return f"idle processors: governor {governor}"
    us = int(polls.read_text()) // 1000
    return f"idle processors poll for {us} µs, then halt" if us else "idle processors halt at once"


def machine():
    return {"idle": idling(), "system": f"{platform.system()} {platform.release()}", "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)}


def plot(doc_path, program="mount_plots.py"):
    python = ROOT / "build/bench-venv/bin/python"
    if not python.exists():
        print("no plots: build/bench-venv is not there (./dev bench makes it)")
        return False
    done = subprocess.run([python, pathlib.Path(__file__).with_name(program), doc_path, OUT],
                          check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"no plots: {done.stderr.strip()[-300:]}")
    return done.returncode == 0


def run_all(folder, words, started):
    bench = Bench(folder, SCALE, ROUNDS)
    works, subjects = choose(bench, words)
    doc = {"machine": machine(), "version": bench.tvfs("version", cwd="/").strip(), "scale": SCALE,
           "rounds": ROUNDS, "works": []}
    print(f"{doc['machine']['system']}, {doc['machine']['cores']} cores, {doc['machine']['memory_gb']} GB, "
          f"{doc['machine']['idle']}; "
          f"{doc['version']}; scale {SCALE:g}\n"
          f"~: stopped after some seconds, or done on a part of the tree, and multiplied", flush=True)
    try:
        for number, work in enumerate(works):
            bench.trees.keep_only({name for later in works[number:] for name in later.trees})
            left = MINUTES * 60 - (time.monotonic() - started)
            doc["works"].append(measure(bench, work, subjects, left / (len(works) - number)))
            print(mount_table.text_of(doc["works"][-1]), flush=True)
    finally:
        bench.frames.close()
    doc["goals"] = mount_goals.judge(doc)
    doc["seconds"] = round(time.monotonic() - started)
    print(mount_table.overview_text(doc))
    print(mount_table.goals_text(doc["goals"]))
    OUT.mkdir(parents=True, exist_ok=True)
    out = OUT / "mount.json"
    out.write_text(json.dumps(doc, indent=1) + "\n")
    plotted = plot(out)
    print(f"\n{doc['seconds']} s; results: {os.path.relpath(out, ROOT)}")
    if plotted and not words and SCALE >= 1:
        mount_page.renew(doc, OUT)


def main(words):
    started = time.monotonic()
    parent = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build"))
    return in_sandbox(parent, lambda folder: run_all(folder, words, started))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
