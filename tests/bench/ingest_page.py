"""docs/bench-ingest.md: the part between its marks is written anew by a whole run."""

import shutil

import mount_table
from mount_bench import ROOT
from mount_page import BEGIN, END

PAGE = ROOT / "docs/bench-ingest.md"
PLOTS = {"Time": "time", "Memory": "memory"}


def images():
    lines = [f"![{title}](bench-ingest-{name}.svg)" for title, name in PLOTS.items()]
    links = ", ".join(f"[{title.lower()}](bench-ingest-{name}.png)" for title, name in PLOTS.items())
    return "\n".join([*lines, "", f"The same as PNG: {links}."])


def figures(doc):
    machine = doc["machine"]
    head = (f"{machine['system'].split('-')[0]}, {machine['cores']} cores, {machine['memory_gb']} GB of memory, "
            f"ext4; {doc['version']}; scale {doc['scale']:g}; {doc['seconds'] / 60:.0f} min.")
    parts = [head, "", mount_table.markdown_goals(doc["goals"]), "", images(), "", "## Figures"]
    parts += [mount_table.markdown_work(work) for work in doc["works"]]
    return "\n".join(parts)


def renew(doc, plots):
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{figures(doc)}\n\n{END}{after}")
    for plot in sorted(plots.glob("bench-ingest-*.*")):
        shutil.copyfile(plot, PAGE.parent / plot.name)
