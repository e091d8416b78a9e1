"""Publish, commit and sync, in every order."""

import itertools

import pytest


@pytest.fixture
def two(project):
    """Two live folders of one store: `other` publishes what the first does not know of."""
    text = (project.path / "tvfs.json").read_text()
    other = text.replace("data/lakehouse", "other/lakehouse")
    project.write("mine.json", "0")
    project.write("theirs.json", "0")
    project.commit()

    def as_other(*words, **more):
        (project.path / "tvfs.json").write_text(other)
        try:
            return project(*words, **more)
        finally:
            (project.path / "tvfs.json").write_text(text)

    as_other("sync")
    project.other = project.path / "other" / "lakehouse"
    project.as_other = as_other
    return project


def test_sync_brings_what_was_published(two):
    (two.other / "theirs.json").write_text("1")
    (two.other / "new").mkdir()
    (two.other / "new" / "x").write_text("x")
    two.as_other("commit")
    status = two.json("status")
    assert status["published"]["added"] == 1 and status["published"]["changed"] == 1
    assert status["live"]["changes"] == []
    doc = two.json("sync")
    assert (doc["added"], doc["changed"]) == (2, 1), doc  # the new folder, too
    assert (two.lake / "new" / "x").read_text() == "x"
    assert two.commit()["unchanged"]
    assert two.json("sync")["changes"] == []


@pytest.mark.parametrize("order", itertools.permutations(["publish", "commit", "sync"]))
def test_every_order(two, order):
    two.write("mine.json", "1")
    (two.other / "theirs.json").write_text("1")
    for step in order:
        if step == "publish":
            two.as_other("commit", "-m", "theirs")
        elif step == "commit":
            two.commit("-m", "mine")
        else:
            two("sync")
        # nobody's work is ever lost on the way
        assert (two.lake / "mine.json").read_text() == "1"
        assert (two.other / "theirs.json").read_text() == "1"
    two("commit")
    two("sync")
    two.as_other("sync")
    for folder in (two.lake, two.other):
        assert (folder / "mine.json").read_text() == "1"
        assert (folder / "theirs.json").read_text() == "1"
    assert two("cat", "main:mine.json").out == two("cat", "main:theirs.json").out == "1"
    assert two.json("status")["live"]["changes"] == []


def test_local_changes_are_not_overwritten(two):
    (two.other / "theirs.json").write_text("1")
    two.as_other("commit")
    two.write("theirs.json", "local")
    two.write("mine.json", "local")
    before = two.files()
    result = two("sync", status=12)
    assert "conflict: theirs.json" in result.err and "mine.json" not in result.err
    assert two.files() == before
    two("sync", "--force")
    assert (two.lake / "theirs.json").read_text() == "1"
    assert (two.lake / "mine.json").read_text() == "local"


def test_sync_to_an_old_state_and_back(filled):
    now = filled.files()
    filled("sync", "main~1")
    assert filled.files()["a.json"] == b'{"v": 1}' and "sub/b.json" in filled.files()
    filled("sync")
    assert filled.files() == now


def test_sync_makes_the_folder(filled, tmp_path):
    import shutil

    shutil.move(filled.lake, tmp_path / "away")
    filled.path.joinpath("tvfs.json").write_text('{"lakehouse": "new/place"}')
    filled("sync")
    assert (filled.path / "new" / "place" / "c.json").read_text() == "{}"


def test_status_text(two):
    (two.other / "theirs.json").write_text("1")
    two.as_other("commit")
    two.write("mine.json", "1")
    two.write("new.json", "1")
    out = two("status").out
    assert "changed here, 'tvfs commit' publishes it (+1 -0 ~1" in out
    assert "  ~ mine.json\n" in out and "  + new.json\n" in out
    assert "published since, 'tvfs sync' brings it here (+0 -0 ~1" in out
    assert "  ~ theirs.json\n" in out
