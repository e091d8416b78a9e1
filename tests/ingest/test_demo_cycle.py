"""The part of the demo that shows the data cycle: real output, which ends where an outcome is wrong."""

import os
import subprocess
import sys

import pandas
import pytest

from ingest_support import BIN, SOURCE, clean_environment


def cycle(tmp_path, lake, **more):
    return subprocess.run(["bash", SOURCE / "tests/demo/cycle.sh", tmp_path / "cycle", lake], capture_output=True, text=True,
                          env=clean_environment() | {"TVFS_BIN": str(BIN), "PYTHON": sys.executable} | more,
                          timeout=120, check=False)


def test_what_the_demo_shows_of_the_data_cycle(tmp_path, lake):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("machine cannot: there is no /dev/fuse")
    done = cycle(tmp_path, lake)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for said in ("toxicity: ", "session: ", "padding: ", "(exit status 13)", "2 fetched", "NASDAQ_GOOG.csv",
                 "quarantined: NASDAQ:FB NASDAQ:GOOG NASDAQ:MSFT", "recommend_all"):
        assert said in done.stdout, (said, done.stdout)
    published = tmp_path / "cycle/data/lakehouse"
    assert len(pandas.read_parquet(published / "NASDAQ_AAPL_1d.parquet")) == 1000
    assert not (published / "NASDAQ_GOOG_1d.parquet").exists()


def test_the_demo_ends_where_an_outcome_is_wrong(tmp_path, lake):
    """Here nothing is quarantined, as there is no source at all."""
    (tmp_path / "python").write_text(f"#!/bin/sh\ncase $1 in *price_source.py) echo serving; cat >/dev/null;; "
                                     f"*) exec {sys.executable} \"$@\";; esac\n")
    (tmp_path / "python").chmod(0o755)
    done = cycle(tmp_path, lake, PYTHON=str(tmp_path / "python"))
    assert done.returncode == 1 and "should have ended with 13" in done.stderr, done.stdout + done.stderr
