"""What the mounts are meant to reach, as ratios within one run, and whether they did."""

import statistics

# (text, work, measure, subject, compared with, at most so many times its time)
RATIOS = [
    *[(f"{title}, {state}, root: >= 0.97 of ext4's speed", work, state, "tvfs", "ext4", 1 / 0.97)
      for work, title in (("sequential", "1 GiB sequential"), ("random", "random reads"), ("mmap", "mapped"))
      for state in ("first", "warm")],
    *[(f"{tool} over Parquet files, first touch: >= 0.95 of ext4's speed", "frames", tool, "tvfs", "ext4", 1 / 0.95)
      for tool in ("pandas", "duckdb", "pyarrow")],
    *[(f"{title}: {text}", work, "warm", subject, against, limit)
      for work, title in (("small-100k", "100 KB files, warm"), ("small-4k", "4 KB files, warm"))
      for text, subject, against, limit in (
          ("root within 15 % of the null passthrough server", "tvfs", "null-passthrough", 1.15),
          ("root >= 1.5x faster than passthrough_hp", "tvfs", "passthrough-hp", 1 / 1.5),
          ("no-open <= 1.4x ext4's time", "tvfs-off", "ext4", 1.4),
          ("no-open <= 0.8x overlayfs's time", "tvfs-off", "overlayfs", 0.8),
          ("writable without passthrough no slower than fuse-overlayfs", "tvfs-overlay-off",
           "fuse-overlayfs", 1.0))],
    *[(f"{title}: {text}", work, measure, "tvfs", against, limit)
      for work, title in (("flat", "files in one folder"), ("wide", "files in many folders"))
      for text, measure, against, limit in (
          ("first walk+stat <= 0.6x of ext4's time", "first", "ext4", 0.6),
          ("first walk+stat <= 0.5x of overlayfs's time", "first", "overlayfs", 0.5),
          ("warm listing >= 2x faster than ext4", "list-warm", "ext4", 0.5))],
    ("look-up not cached <= 1.25x the null server", "look-up", "first", "tvfs", "null", 1.25),
    ("64 runs at once >= 0.9 of ext4's total", "runs-64", "warm", "tvfs", "ext4", 1 / 0.9),
    ("overlay, root: sequential write >= 0.95 of ext4's speed", "writes", "write", "tvfs-overlay", "ext4", 1 / 0.95),
    *[(f"overlay, root: {name} >= 1.5x faster than fuse-overlayfs", "writes", name, "tvfs-overlay",
       "fuse-overlayfs", 1 / 1.5) for name in ("create", "rename", "remove")],
]

# (text, work, measure, subject, at most, unit)
AMOUNTS = [
    *[(f"private memory a mount before use <= 6 MB ({subject})", "runs-64", "private", subject, 6, "MB")
      for subject in ("tvfs", "tvfs-user")],
    ("memory a looked-up inode <= 200 bytes", "look-up", "inode", "tvfs", 200, "bytes"),
    ("mount to first byte at 1,000,000 files <= 10 ms", "first-byte", "million", "tvfs", 10, "ms"),
]


def value(works, work, measure, subject):
    for s in works.get(work, {}).get("subjects", []):
        if s["id"] == subject and s["figures"].get(measure):
            return statistics.median(s["figures"][measure])
    return None


def judged(text, figure, limit, shown):
    if figure is None:
        return {"text": text, "figure": "not measured", "state": "-", "value": None, "limit": limit}
    return {"text": text, "figure": shown, "state": "met" if figure <= limit else "missed",
            "value": figure, "limit": limit}


def judge(doc):
    works = {w["id"]: w for w in doc["works"]}
    out = []
    for text, work, measure, subject, against, limit in RATIOS:
        mine, theirs = value(works, work, measure, subject), value(works, work, measure, against)
        ratio = mine / theirs if mine is not None and theirs else None
        out.append(judged(text, ratio, limit, ratio and f"{ratio:.2f}x its time (at most {limit:.2f})"))
    for text, work, measure, subject, limit, unit in AMOUNTS:
        mine = value(works, work, measure, subject)
        out.append(judged(text, mine, limit, mine is not None and f"{mine:.1f} {unit}"))
    large, small = (value(works, "first-byte", name, "tvfs") for name in ("million", "thousand"))
    ratio = large / small if large and small else None
    out.append(judged("mount to first byte: 1,000,000 files <= 1.2x of 1,000", ratio, 1.2,
                      ratio and f"{ratio:.2f}x (at most 1.20)"))
    return out
