import pytest


def unreachable(filled):
    """A branch with a file of its own, deleted again."""
    filled.write("big.bin", "x" * 300000)
    filled.commit("--ref", "trial")
    filled("branch", "--delete", "trial")
    (filled.lake / "big.bin").unlink()
    filled("sync", "--force")


def test_gc(filled):
    before = filled.json("gc")
    assert not before["deleted"] and before["commits"] == 0 and before["kept_commits"] == 2
    unreachable(filled)
    would = filled.json("gc")
    assert would["commits"] >= 1 and would["blobs"] >= 1
    assert "nothing was removed" in filled("gc").out
    assert filled.json("gc") == would
    done = filled.json("gc", "--delete")
    assert done["deleted"] and done["commits"] == would["commits"]
    filled("fsck", "--read-data")
    assert filled("cat", "main~1:a.json").out == '{"v": 1}'
    filled("gc", "--grace", "soon", status=2)
    filled("gc", "--delete", "--grace", "1h")


def test_forget(project):
    for i in range(5):
        project.write("a", str(i))
        project.commit("-m", str(i))
    project("tag", "kept", "main~3")
    filled = project
    assert "say what to keep" in filled("forget", "--commits", status=2).err
    filled("forget", "--keep-last", "1", status=2)
    filled("forget", "--runs", "--commits", "--keep-last", "1", status=2)
    filled("forget", "--commits", "--keep-last", "x", status=2)
    would = filled.json("forget", "--commits", "--keep-last", "2")
    assert not would["deleted"] and len(would["forgotten"]) >= 2
    assert len(filled("log", "--json").items) == 5
    done = filled.json("forget", "--commits", "--keep-last", "2", "--keep-tagged", "--delete")
    assert done["deleted"]
    filled("gc", "--delete")
    filled("fsck", "--read-data")
    assert filled("cat", "kept:a").out == "1"
    assert len(filled("log", "--json").items) <= 4


def test_fsck(filled):
    doc = filled.json("fsck", "--read-data")
    assert doc["damages"] == 0 and doc["commits"] == 2 and doc["findings"] == []
    assert "0 damaged" in filled("fsck").out


def test_doctor(filled, tmp_path):
    doc = filled.json("doctor")
    names = {c["name"] for c in doc["checks"]}
    assert {"kernel", "/dev/fuse", "libfuse", "passthrough", "store", "index"} <= names
    assert all(c["level"] in ("ok", "warn", "fail") and c["message"] for c in doc["checks"])
    assert not [c for c in doc["checks"] if c["level"] != "ok" and "advice" not in c]
    # works where there is no store, too
    outside = filled("doctor", cwd=tmp_path, status=0 if doc["ok"] else 1).out
    assert "none here" in outside


@pytest.mark.parametrize("words", [
    ["status"], ["show"], ["tag"], ["branch"], ["gc"], ["fsck"], ["doctor"], ["help"], ["version"],
    ["commit"], ["sync"], ["diff", "--stat", "main~1"], ["forget", "--runs", "--keep-last", "1"],
    ["init"], ["tag", "t"], ["branch", "b"], ["revert", "main~1"], ["checkout", "main", "out"],
    ["cat", "main:a.json"],
])
def test_every_document_parses(filled, words):
    assert isinstance(filled.json(*words), dict)


@pytest.mark.parametrize("words", [["ls"], ["log"], ["diff", "main~1"], ["log", "a.json"]])
def test_every_stream_parses(filled, words):
    assert all(isinstance(i, dict) for i in filled(*words, "--json").items)
