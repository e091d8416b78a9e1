"""What the data cycle is meant to reach, as ratios within one run, and whether it did."""

from mount_goals import judged, value

MEMORY = 500  # MB

# (text, work, measure, compared with, at most so many times its time)
RATIOS = [
    ("ingest: >= 5x faster than the script", "first", "seconds", "pandas", 1 / 5),
    ("update: >= 5x faster than the script", "update", "seconds", "pandas", 1 / 5),
    ("update: stored and published within 1.3x of writing and syncing the files", "update", "publish", "write", 1.3),
    ("features: >= 5x faster than the script", "features", "seconds", "pandas", 1 / 5),
    ("matrix: >= 5x faster than the script", "matrix", "seconds", "pandas", 1 / 5),
    ("validate: >= 5x faster than the script", "validate", "seconds", "pandas", 1 / 5),
]


def judge(doc):
    works = {w["id"]: w for w in doc["works"]}
    out = []
    for text, work, measure, against, limit in RATIOS:
        mine, theirs = value(works, work, measure, "tvfs"), value(works, work, measure, against)
        ratio = mine / theirs if mine is not None and theirs else None
        shown = ratio and (f"{1 / ratio:.1f}x faster" if limit < 1 else f"{ratio:.2f}x its time")
        out.append(judged(text, ratio, limit, shown))
    for work in works:
        memory = value(works, work, "memory", "tvfs")
        out.append(judged(f"{work}: peak memory <= {MEMORY} MB", memory, MEMORY, memory and f"{memory:.0f} MB"))
    again = value(works, "validate-again", "seconds", "tvfs")
    out.append(judged("validate again: < 2 s when nothing changed", again, 2, again and f"{again:.2f} s"))
    return out
