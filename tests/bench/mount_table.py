"""The one table: as text, and as the matrix of ratios for the page."""

import statistics


def figure(value):
    if value is None:
        return "-"
    for limit, digits in ((10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def median(subject, name):
    values = subject["figures"].get(name)
    return statistics.median(values) if values else None


def noise(subject, name):
    values = subject["figures"].get(name) or [0]
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle / 2 if middle else 0.0


def base_of(work):
    return next((s for s in work["subjects"] if s["id"] == work["baseline"]), None)


def ratio(work, subject, measure):
    base = base_of(work)
    mine, theirs = median(subject, measure["name"]), base and median(base, measure["name"])
    return mine / theirs if measure["ratio"] and mine is not None and theirs else None


def cells(work, subject, measure):
    values = subject["figures"].get(measure["name"])
    if not values:
        return ["-", "-", "-", "-"]
    relative = ratio(work, subject, measure)
    return [figure(min(values)), figure(statistics.median(values)), figure(max(values)),
            f"{relative:.2f}" if relative is not None else ""]


def band(work, measures):
    """A few measures side by side."""
    lines = [f"  {'':36}", f"  {'':36}"]
    for m in measures:
        lines[0] += f" | {(m['title'][:27] + ' ' + m['unit']).strip():^35}"
        lines[1] += f" | {'min':>8} {'median':>9} {'max':>9} {'ratio':>6}"
    for subject in work["subjects"]:
        if subject["absent"] and measures[0] is not work["measures"][0]:
            continue
        mark = "~" if subject["estimated"] else " "
        line = f" {mark}{subject['title']:36}"
        if subject["absent"]:
            line += f" | absent: {subject['absent']}"
        else:
            for m in measures:
                low, mid, high, relative = cells(work, subject, m)
                line += f" | {low:>8} {mid:>9} {high:>9} {relative:>6}"
        lines.append(line.rstrip())
    return lines


def rounds_of(work):
    return max((len(v) for s in work["subjects"] for v in s["figures"].values()), default=0)


def text_of(work):
    base = base_of(work)
    shaky = max((noise(base, m["name"]) for m in work["measures"] if m["ratio"]), default=0) if base else 0
    lines = ["", f"{work['id']}: {work['title']}",
             f"  {rounds_of(work)} rounds in turn; ratios to {base['title'] if base else '-'}, "
             f"its noise ±{shaky:.0%}; {work['seconds']} s"]
    for start in range(0, len(work["measures"]), 3):
        lines += band(work, work["measures"][start:start + 3])
    return "\n".join(lines)


# --- the overview: one line a subject ----------------------------------------------------------------

OVERVIEW = [
    ("small-100k", "mount", "mount", "ms"), ("small-100k", "first", "100 KB", "first"),
    ("small-100k", "warm", "100 KB", "warm"), ("small-4k", "first", "4 KB", "first"),
    ("small-4k", "warm", "4 KB", "warm"), ("sequential", "first", "seq.", "first"),
    ("sequential", "warm", "seq.", "warm"), ("random", "first", "random", "first"),
    ("mmap", "first", "mmap", "first"), ("frames", "pandas", "pandas", "first"),
    ("frames", "duckdb", "duckdb", "first"), ("frames", "pyarrow", "pyarrow", "first"),
    ("runs-64", "warm", "64 runs", "warm"), ("flat", "first", "walk", "first"),
    ("flat", "list-warm", "list", "warm"), ("look-up", "first", "look-up", "first"),
    ("writes", "write", "write", ""), ("writes", "create", "create", ""), ("writes", "copyup", "copy-up", ""),
]


def overview(doc):
    """(column titles, rows of cells): the mount in ms, all else as ratios to ext4."""
    works = {w["id"]: w for w in doc["works"]}
    columns = [c for c in OVERVIEW if c[0] in works]
    rows = []
    for title in dict.fromkeys(s["title"] for w in doc["works"] for s in w["subjects"]):
        row = [title]
        for work, name, *_ in columns:
            subject = next(s for s in works[work]["subjects"] if s["title"] == title)
            value = median(subject, name)
            if name != "mount":
                value = ratio(works[work], subject, {"name": name, "ratio": True})
            row.append("-" if value is None else figure(value))
        rows.append(row)
    return [c[2:] for c in columns], rows


def overview_text(doc):
    columns, rows = overview(doc)
    lines = ["", "overview: the mount in ms; all else as a ratio of medians to ext4's time"]
    for part in 0, 1:
        lines.append((f"  {'':36}" + "".join(f"{c[part]:>9}" for c in columns)).rstrip())
    return "\n".join(lines + [f"  {row[0]:36}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows])


def markdown_overview(doc):
    columns, rows = overview(doc)
    lines = ["| | " + " | ".join(" ".join(c).strip() for c in columns) + " |", "|---" + "|--:" * len(columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def goals_text(goals):
    lines = ["", "goals"]
    for goal in goals:
        if goal["value"] is None:
            continue
        lines.append(f"  {goal['state']:8} {goal['text']}: {goal['figure']}")
    if unknown := sum(goal["value"] is None for goal in goals):
        lines.append(f"  {unknown} not measured")
    return "\n".join(lines)


# --- for the page ---




def markdown_work(work):
    head = [f"{m['title']}, {m['unit']}".removesuffix(", ") for m in work["measures"]]
    lines = ["", f"### {work['title'][0].upper() + work['title'][1:]}", "",
             f"`{work['id']}`, {rounds_of(work)} rounds. Median [minimum, maximum], and the ratio to "
             f"{work['baseline']}'s median.",
             "", "| subject | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    gone = []
    for subject in work["subjects"]:
        if subject["absent"]:
            gone.append(f"{subject['title']}: {subject['absent']}")
            continue
        row = []
        for m in work["measures"]:
            low, mid, high, relative = cells(work, subject, m)
            row.append(f"{mid} [{low}, {high}]" + (f" **{relative}**" if relative else "")
                       if mid != "-" else "-")
        mark = "~ " if subject["estimated"] else ""
        lines.append(f"| {mark}{subject['title']} | " + " | ".join(row) + " |")
    if gone:
        lines += ["", "Absent: " + "; ".join(gone) + "."]
    return "\n".join(lines)


def markdown_goals(goals):
    lines = ["| goal | in this run | |", "|---|---|---|"]
    lines += [f"| {g['text']} | {g['figure']} | {g['state']} |" for g in goals]
    return "\n".join(lines)
