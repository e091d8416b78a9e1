"""A strict parser of Prometheus' text exposition format 0.0.4, from its documentation."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (\S+)")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Metric:
    def __init__(self, kind, text):
        self.kind, self.help = kind, text
        self.samples = {}  # (name, ((label, value), ...)) -> number

    def value(self, suffix="", **labels):
        (found,) = [v for (name, have), v in self.samples.items()
                    if name.endswith(suffix) and dict(have) == labels]
        return found


def parse(text):
    """name -> Metric; fails on whatever the format does not allow."""
    assert text.endswith("\n")
    metrics, helps, name = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert re.fullmatch(NAME, name) and name not in helps and words
            helps[name] = words
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in TYPES and name in helps and name not in metrics, line
            metrics[name] = Metric(kind, helps[name])
        else:
            m = SAMPLE.fullmatch(line)
            assert m, line
            metric = metrics[name]  # a metric's lines stand together, below its type
            assert m[1] in [name + s for s in SUFFIXES[metric.kind]], line
            labels = tuple(re.findall(LABEL, m[2] or ""))
            assert len(dict(labels)) == len(labels) and (m[1], labels) not in metric.samples, line
            metric.samples[m[1], labels] = float(m[7])
    assert helps.keys() == metrics.keys()
    for found, metric in metrics.items():
        check(found, metric)
    return metrics


def check(name, metric):
    assert (metric.kind == "counter") == name.endswith("_total"), name
    assert all(v >= 0 for v in metric.samples.values()), name
    if metric.kind == "histogram":
        for labels in {tuple(p for p in have if p[0] != "le") for _, have in metric.samples}:
            check_histogram(name, metric, labels)


def check_histogram(name, metric, labels):
    buckets = [(float(dict(have)["le"]), v) for (sample, have), v in metric.samples.items()
               if sample == f"{name}_bucket" and tuple(p for p in have if p[0] != "le") == labels]
    bounds, counts = [b for b, _ in buckets], [c for _, c in buckets]
    assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), labels
    assert counts == sorted(counts), labels  # cumulative
    assert counts[-1] == metric.samples[f"{name}_count", labels]
    total = metric.samples[f"{name}_sum", labels]
    least = sum(lower * (b - a) for lower, a, b in zip([0] + bounds, [0] + counts, counts))
    assert least <= total * 1.000001, (labels, least, total)
