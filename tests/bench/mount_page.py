"""docs/bench-mount.md: the part between its marks is written anew by a whole run."""

import shutil

import mount_table
from mount_bench import ROOT

PAGE = ROOT / "docs/bench-mount.md"
PLOTS = {"Reading": "reading", "Parquet": "frames", "Names": "names", "Overlay": "writes", "Runs at once": "runs",
         "First byte": "first-byte"}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def images():
    lines = [f"![{title}](bench-mount-{name}.svg)" for title, name in PLOTS.items()]
    links = ", ".join(f"[{title.lower()}](bench-mount-{name}.png)" for title, name in PLOTS.items())
    return "\n".join([*lines, "", f"The same as PNG: {links}."])


def figures(doc):
    machine = doc["machine"]
    head = (f"{machine['system'].split('-')[0]}, {machine['cores']} cores, {machine['memory_gb']} GB of memory, "
            f"ext4, {machine['idle']}; {doc['version']}; {doc['seconds'] // 60} min.")
    parts = [head, "", "Medians: the mount in ms, all else as a ratio to ext4's time.", "",
             mount_table.markdown_overview(doc), "", images(), "", "## Goals", "", mount_table.markdown_goals(doc["goals"]), "",
             "## Figures"]
    parts += [mount_table.markdown_work(work) for work in doc["works"]]
    return "\n".join(parts)


def renew(doc, plots):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{figures(doc)}\n\n{END}{after}")
    for plot in sorted(plots.glob("bench-mount-*.*")):
        shutil.copyfile(plot, PAGE.parent / plot.name)
