"""`tvfs features` and `tvfs matrix`: what is made of the published bars, as pandas sees it."""

import json
import shutil

import pandas
import pytest

from test_ingest import Project


@pytest.fixture(params=["store", "folder"])
def project(request, lake, tmp_path):
    made = Project(tmp_path, {}, request.param == "folder")
    for path in lake.glob("*_1d.parquet"):
        shutil.copy2(path, made.lake)
    shutil.copy2(lake / "symbols.parquet", made.lake)
    if not made.folder:
        made.tvfs("commit", "-m", "bars")
    return made


def call(project, *words, status=0):
    where = ["--folder", project.lake] if project.folder else []
    return json.loads(project.tvfs(*words, "--json", *where, status=status).stdout)


def test_features(project):
    done = call(project, "features")
    assert done["symbols"] == len(list(project.lake.glob("*_1d.parquet"))) and not done["unchanged"]
    technicals = pandas.read_parquet(project.lake / "features" / "tv_technicals_1d.parquet")
    matrix = pandas.read_parquet(project.lake / "features_matrix.parquet")
    assert len(technicals) == len(matrix) == sum(
        len(pandas.read_parquet(p)) for p in project.lake.glob("*_1d.parquet"))
    apple = matrix[matrix["symbol"] == "NASDAQ:AAPL"]
    assert set(apple["sector"]) == {"Technology"}
    closes = project.frame("NASDAQ:AAPL")["close"]
    assert apple["sma_10"].iloc[-1] == pytest.approx(closes.tail(10).mean())
    assert apple["recommend_all"].dropna().between(-1, 1).all()
    project.tvfs("schema", project.lake / "features_matrix.parquet",
                 project.lake / "features" / "tv_technicals_1d.parquet")
    before = project.state()
    assert call(project, "features")["unchanged"] and project.state() == before
    call(project, "features", "--last", "5")
    assert pandas.read_parquet(project.lake / "features_matrix.parquet").groupby("symbol").size().max() == 5


def test_matrix(project):
    call(project, "matrix", "--align", "outer")
    outer = pandas.read_parquet(project.lake / "returns_matrix.parquet")
    assert list(outer.columns) == sorted(outer.columns) and "NASDAQ:AAPL" in outer.columns
    closes = project.frame("NASDAQ:AAPL")["close"]
    assert outer["NASDAQ:AAPL"].dropna().iloc[-1] == pytest.approx(closes.iloc[-1] / closes.iloc[-2] - 1)
    assert call(project, "matrix", "--align", "outer")["unchanged"]
    call(project, "matrix", "--align", "outer", "--lookback", "30")
    assert 0 < len(pandas.read_parquet(project.lake / "returns_matrix.parquet")) <= 31


def test_words_that_are_off(project):
    project.tvfs("matrix", "--align", "sideways", status=2)
    project.tvfs("features", "--last", "0", status=2)
    for path in project.lake.glob("*_1d.parquet"):
        path.unlink()
    if not project.folder:
        project.tvfs("commit", "-m", "no bars")
    assert "daily bars" in call(project, "matrix", status=15)["error"]["message"]
