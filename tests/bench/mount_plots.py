"""Plots of build/bench/mount.json, as PNG and SVG.

usage: mount_plots.py MOUNT.JSON FOLDER
"""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

plt.rcParams.update({"font.size": 8, "axes.titlesize": 9, "svg.hashsalt": "tvfs", "axes.spines.top": False,
                     "axes.spines.right": False, "svg.fonttype": "none"})

COLOURS = {"tvfs": "#1f77b4", "null": "#9aa5b1", "ext4": "#333333", "peer": "#e0a458"}
OWN_COLOURS = {"ext4": "#333333", "tvfs": "#08306b", "tvfs-off": "#2171b5", "tvfs-user": "#6baed6",
               "tvfs-overlay": "#00441b", "tvfs-overlay-off": "#238b45", "tvfs-user-overlay": "#74c476",
               "null": "#969696", "null-passthrough": "#bdbdbd", "overlayfs": "#cb181d",
               "fuse-overlayfs": "#fc9272", "passthrough-hp": "#dd3497", "composefs": "#fe9929",
               "erofs": "#cc4c02", "restic": "#6a51a3", "borg": "#9e9ac8", "ostree": "#8c510a",
               "dvc": "#bf812d", "cp": "#01665e", "cp-reflink": "#35978f"}
TICKS = [0.01, 0.1, 0.3, 1, 3, 10, 30, 100, 1000, 10_000, 100_000, 1_000_000]
READING = [("small-100k", "first"), ("small-100k", "warm"), ("small-4k", "first"), ("small-4k", "warm"),
           ("sequential", "first"), ("sequential", "warm"), ("random", "first"), ("random", "warm"),
           ("mmap", "first"), ("mmap", "warm")]
FRAMES = [("frames", "pandas"), ("frames", "duckdb"), ("frames", "pyarrow")]
NAMES = [("flat", "first"), ("flat", "list-warm"), ("wide", "first"), ("wide", "list-warm"), ("look-up", "first")]
WRITES = [("writes", name) for name in ("write", "create", "rename", "remove", "copyup")]
SIZES = [("thousand", 1_000), ("flat-part", 10_000), ("flat", 100_000), ("million", 1_000_000)]


def family(subject):
    for name in "tvfs", "null", "ext4":
        if subject.startswith(name):
            return name
    return "peer"


def middle(works, work, measure):
    """subject -> median, for those that were measured."""
    found = works.get(work, {}).get("subjects", [])
    return {s["id"]: statistics.median(s["figures"][measure]) for s in found if s["figures"].get(measure)}


def titles_of(works):
    return {s["id"]: s["title"] for w in works.values() for s in w["subjects"]}


def panel(axes, works, titles, work, measure):
    """Ratios to ext4, one bar a subject."""
    medians = middle(works, work, measure)
    base = medians.get("ext4")
    names = [name for name in titles if name != "ext4"]
    ratios = [medians[name] / base if base and name in medians else None for name in names]
    places = range(len(names))
    for place, name, ratio in zip(places, names, ratios):
        if ratio:
            axes.barh(place, ratio, color=COLOURS[family(name)], height=0.7)
            axes.text(ratio * 1.08, place, f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}", va="center", size=6)
    found = [r for r in ratios if r] or [1]
    axes.set_xscale("log")
    axes.set_xlim(min(0.3, min(found) * 0.6), max(4, max(found) * 3))
    axes.axvline(1, color=COLOURS["ext4"], linewidth=0.8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(list(places), [titles[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    told = next((m["title"] for m in works[work]["measures"] if m["name"] == measure), measure)
    axes.set_title(f"{work}\n{told}")


def ratios(works, chosen, heading):
    chosen = [(work, measure) for work, measure in chosen if middle(works, work, measure)]
    if not chosen:
        return None
    columns = min(5, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(2.3 * columns + 2.2, 3.6 * rows + 0.5), sharey=True,
                                squeeze=False, layout="constrained")
    for axes, (work, measure) in zip(grid.flat, chosen):
        panel(axes, works, titles_of(works), work, measure)
    figure.suptitle(f"{heading}: time as a ratio to plain ext4 (less is better, logarithmic)")
    return figure


def lines(axes, works, series, points, scale):
    """One line a subject over the points that it has."""
    for name, title in titles_of(works).items():
        found = [(x, series[key][name]) for key, x in points if name in series[key]]
        if found:
            own = family(name) == "tvfs"
            axes.plot(*zip(*found), marker="o", markersize=3, color=OWN_COLOURS.get(name), label=title,
                      linestyle="-" if own or name == "ext4" else "--", linewidth=2 if own else 1)
    axes.set_xscale("log")
    axes.set_xticks([x for _, x in points], [f"{x:,}" for _, x in points])
    axes.set_yscale(scale)
    if scale == "log":
        low, high = axes.get_ylim()
        axes.set_yticks(TICKS, [f"{t:,}" for t in TICKS])
        axes.set_ylim(low, high)
    for axis in axes.xaxis, axes.yaxis:
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def first_byte(works):
    series = {key: middle(works, "first-byte", key) for key, _ in SIZES}
    if not any(series.values()):
        return None
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    lines(axes, works, series, SIZES, "log")
    axes.set(xlabel="files", ylabel="ms", title="From the start of the mount, or of the copy, to the first byte")
    figure.legend(loc="outside right center")
    return figure


def runs(works):
    counts = [(f"runs-{n}", n) for n in (1, 8, 64) if f"runs-{n}" in works]
    if not counts:
        return None
    figure, grid = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for axes, measure, title in ((grid[0], "rate", "total, warm, GB/s"),
                                 (grid[1], "private", "private memory a mount before it is used, MB")):
        series = {key: middle(works, key, measure) for key, _ in counts}
        lines(axes, works, series, counts, "linear" if measure == "rate" else "log")
        axes.set(xlabel="runs at once", title=title)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def main(source, folder):
    works = {w["id"]: w for w in json.loads(pathlib.Path(source).read_text())["works"]}
    figures = {"reading": ratios(works, READING, "Reading"),
               "frames": ratios(works, FRAMES, "2,000 Parquet files, first touch"),
               "names": ratios(works, NAMES, "Names"), "writes": ratios(works, WRITES, "Overlay"),
               "first-byte": first_byte(works), "runs": runs(works)}
    for name, figure in figures.items():
        for ending in ("png", "svg") if figure else ():
            figure.savefig(pathlib.Path(folder) / f"bench-mount-{name}.{ending}", dpi=90,
                           metadata={"Date": None} if ending == "svg" else {"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
