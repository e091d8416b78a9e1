"""Plots of build/bench/ingest.json, as PNG and SVG.

usage: ingest_plots.py INGEST.JSON FOLDER
"""

import json
import pathlib
import sys

from ingest_goals import MEMORY
from mount_plots import COLOURS, FuncFormatter, NullFormatter, family, middle, plt


def bars(axes, work, works, measure, unit):
    """One bar a subject."""
    medians = middle(works, work["id"], measure)
    titles = {s["id"]: s["title"] for s in work["subjects"] if s["id"] in medians}
    places = range(len(titles))
    for place, name in zip(places, titles):
        axes.barh(place, medians[name], color=COLOURS[family(name)], height=0.7)
        axes.text(medians[name] * 1.02, place, f" {medians[name]:.3g} {unit}", va="center", size=7)
    axes.set_yticks(list(places), list(titles.values()))
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.set_title(work["id"])


def page(works, measure, unit, heading):
    chosen = [w for w in works.values() if middle(works, w["id"], measure)]
    figure, grid = plt.subplots(len(chosen), 1, figsize=(8, 1.1 * len(chosen) + 0.6), squeeze=False,
                                layout="constrained")
    for axes, work in zip(grid.flat, chosen):
        bars(axes, work, works, measure, unit)
        most = max(middle(works, work["id"], measure).values())
        axes.set_xlim(0, max(most, MEMORY if unit == "MB" else 0) * 1.15)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        if unit == "MB":
            axes.axvline(MEMORY, color=COLOURS["ext4"], linewidth=0.8)
    figure.suptitle(heading)
    return figure


def main(source, folder):
    works = {w["id"]: w for w in json.loads(pathlib.Path(source).read_text())["works"]}
    figures = {"time": page(works, "seconds", "s", "Time (less is better)"),
               "memory": page(works, "memory", "MB", "Peak memory (less is better; the line is the limit)")}
    for name, figure in figures.items():
        for ending in "png", "svg":
            figure.savefig(pathlib.Path(folder) / f"bench-ingest-{name}.{ending}", dpi=90,
                           metadata={"Date": None} if ending == "svg" else {"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
