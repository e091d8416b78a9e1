"""Reading Parquet with pandas, DuckDB and pyarrow: a process that has them loaded, and forks for each
reading, so that only the reading is timed.

One JSON document a line comes in: ["make", folder, files], or ["read", tool, folder, uid, gid]. One goes
out: {"ns": ...} or {"error": ...}.
"""

import io
import json
import os
import subprocess
import sys
import time

ROWS = 2520  # ten years of trading days


class Frames:
    """The bench's side."""

    def __init__(self):
        self.process = None

    def ask(self, *words):
        if not self.process:
            self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps([str(w) for w in words]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the Parquet reader died"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("ns", 0) / 1e9

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def make(folder, files):
    """Daily bars: a random walk each, with the columns and types of the platform's files."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    rng = numpy.random.default_rng(1)
    start = 1_400_000_000 - 1_400_000_000 % 86400
    seconds = start + 86400 * numpy.arange(ROWS)
    for i in range(int(files)):
        close = numpy.round(100 * numpy.exp(numpy.cumsum(rng.normal(0, 0.02, ROWS))), 2)
        spread = rng.uniform(0, 0.01, ROWS)
        table = pyarrow.table({
            "timestamp": seconds, "open": numpy.round(close * (1 - spread / 2), 2),
            "high": numpy.round(close * (1 + spread), 2), "low": numpy.round(close * (1 - spread), 2),
            "close": close, "volume": numpy.round(rng.lognormal(13, 1, ROWS)),
        })
        pyarrow.parquet.write_table(table, os.path.join(folder, f"EXCHANGE_SYM{i:07}_1d.parquet"))
    return {}


def read_pandas(folder):
    import pandas
    names = sorted(os.listdir(folder))
    return sum(len(pandas.read_parquet(os.path.join(folder, name))) for name in names)


def read_duckdb(folder):
    import duckdb
    query = f"select count(*), sum(close), max(volume) from read_parquet('{folder}/*.parquet')"
    return duckdb.connect().execute(query).fetchone()[0]


def read_pyarrow(folder):
    import pyarrow.dataset
    return pyarrow.dataset.dataset(folder, format="parquet").to_table().num_rows


TOOLS = {"pandas": read_pandas, "duckdb": read_duckdb, "pyarrow": read_pyarrow}


def load_what_is_loaded_late():
    """Modules and thread pools; as the one who may read them."""
    import duckdb
    import pandas
    buffer = io.BytesIO()
    pandas.DataFrame({"a": [1]}).to_parquet(buffer)
    pandas.read_parquet(buffer)
    duckdb.sql("select 1").fetchall()


def read(tool, folder, uid, gid):
    load_what_is_loaded_late()
    if int(uid) != os.getuid():
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
    start = time.perf_counter_ns()
    rows = TOOLS[tool](folder)
    ns = time.perf_counter_ns() - start
    if rows == 0 or rows % ROWS:
        raise ValueError(f"{tool} saw {rows} rows")
    return {"ns": ns}


def in_child(function, words):
    """The answer of a fork: what it loads and caches is gone with it."""
    inward, outward = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = function(*words)
        except BaseException as error:  # noqa: B902 (the answer tells)
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        os.write(outward, json.dumps(answer).encode())
        os._exit(0)
    os.close(outward)
    with os.fdopen(inward) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text or '{"error": "the reader died"}'


def serve():
    import duckdb  # noqa: F401 (loaded before the forks)
    import pandas  # noqa: F401
    import pyarrow.dataset  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    for line in sys.stdin:
        what, *words = json.loads(line)
        print(in_child({"make": make, "read": read}[what], words), flush=True)


if __name__ == "__main__":
    serve()
