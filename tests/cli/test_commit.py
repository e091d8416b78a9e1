import os
import pathlib
import subprocess

import pytest


def test_first_then_nothing_then_a_change(project):
    project.write("a.json", "{}")
    project.write("b.txt", "b")
    first = project.commit("-m", "hello", "--trace-id", "trace-1", "--author", "me")
    assert (first["added"], first["removed"], first["changed"]) == (2, 0, 0)
    assert not first["unchanged"] and first["trace_id"] == "trace-1"
    again = project.commit()
    assert again["unchanged"] and again["commit"] == first["commit"]
    assert "nothing changed" in project("commit").out

    project.write("b.txt", "c")
    (project.lake / "a.json").unlink()
    out = project("commit", "-m", "second").out
    assert "- a.json" in out and "~ b.txt" in out and "main: +0 -1 ~1 (1 files, 1 B)" in out
    shown = project.json("show", first["commit"])
    assert shown["message"] == "hello" and shown["author"] == "me"
    assert shown["trace_id"] == "trace-1"


def test_trace_id_is_a_uuid7_by_default(project):
    project.write("a", "a")
    trace = project.commit()["trace_id"]
    assert len(trace) == 36 and trace[14] == "7"


def test_only_times_changed_is_a_commit_of_the_same_foundation(project):
    path = project.write("a", "a")
    first = project.commit()
    os.utime(path, (1, 1))
    second = project.commit()
    assert second["foundation_hash"] == first["foundation_hash"]
    assert second["commit"] != first["commit"] and second["touched"] >= 1
    assert project.json("ls", "main:a")["mtime"] == "1970-01-01T00:00:01Z"
    # a foundation that two commits have means the newest
    note = project("show", first["foundation_hash"])
    assert f"commit     {second['commit']}" in note.out
    assert "is commit" in note.err


@pytest.mark.parametrize("word, cwd", [
    ("a.json", "."), ("data/lakehouse/a.json", "."), ("./data//lakehouse/../lakehouse/a.json", "."),
    ("a.json", "data/lakehouse"), ("../a.json", "data/lakehouse/sub"),
    ("data/lakehouse/a.json", "data/lakehouse/sub"), ("lakehouse/a.json", "data"),
])
def test_paths(project, word, cwd):
    project.write("a.json", "1")
    project.write("sub/b.json", "1")
    project.commit()
    project.write("a.json", "22")
    project.write("sub/b.json", "22")
    doc = project.commit(word, cwd=project.path / cwd)
    assert [c["path"] for c in doc["changes"]] == ["a.json"]
    assert project("cat", "main:sub/b.json").out == "1"


def test_absolute_path_and_whole_folder(project):
    path = project.write("a.json", "1")
    project.write("b.json", "1")
    assert project.commit(path)["added"] == 1
    assert project.commit("data/lakehouse")["added"] == 1


def test_path_that_was_deleted(project):
    path = project.write("sub/a.json", "1")
    project.commit()
    path.unlink()
    assert project.commit("data/lakehouse/sub/a.json")["removed"] == 1


def test_paths_outside(project):
    (project.path / "README").write_text("x")
    project.write("a", "a")
    for word in ("README", "/etc/passwd", "../x", "data"):
        err = project("commit", word, status=1).err
        assert "lakehouse" in err, (word, err)
    assert "nothing published" in project("status").out


def test_ref(project):
    project.write("a", "a")
    assert project.commit("--ref", "research")["ref"] == "research"
    assert [b["name"] for b in project.json("branch")["branches"]] == ["research"]
    project("commit", "--ref", "bad name", status=1)


def test_ignored_names(project):
    for name in ("a.lock", "b.tmp", "c.bak", "d.bak_1", ".bak_x", "e.json"):
        project.write(name, "{}")
    project.commit()
    assert [e["path"] for e in project("ls", "--json").items] == ["e.json"]


def test_refuses_broken_files_by_name(project):
    project.write("empty.parquet", b"")
    project.write("cut.parquet", b"PAR1 and no footer")
    project.write("sub/broken.json", '{"a": ')
    project.write("good.json", "[1]")
    result = project("commit", status=13)
    for name in ("empty.parquet", "cut.parquet", "sub/broken.json"):
        assert f"refused: {name}" in result.err
    assert "good.json" not in result.err
    doc = project.commit(status=13)
    assert {f["path"] for f in doc["refused"]} == {"empty.parquet", "cut.parquet",
                                                    "sub/broken.json"}
    assert all(f["reason"] for f in doc["refused"]) and doc["error"]["exit"] == 13
    assert "nothing published" in project("status").out
    assert project.commit("--force")["added"] == 4


def test_status_without_a_folder_to_look_at(project):
    """Whatever keeps it from the live folder is told, not just an errno."""
    project.lake.rmdir()
    project.lake.write_text("a file")
    told = project("status", status=1).err
    assert "failed:" not in told and str(project.lake) in told


def test_special_files(project):
    project.write("a", "a")
    os.mkfifo(project.lake / "pipe")
    assert "pipe" in project("commit", status=1).err
    status = project("status").out
    assert "+ a" in status and "cannot be committed" in status and "pipe" in status
    doc = project("status", "--json").doc
    assert doc["live"]["added"] == 1
    assert doc["refused"][0]["path"] == "pipe" and "fifo" in doc["refused"][0]["reason"]
    project("log", status=1)
    (project.lake / "pipe").unlink()
    assert project.commit()["added"] == 1


def test_odd_names(project):
    names = [b"x" * 255, b"\xff\xfe.txt", b"new\nline", b"back\\slash", b"carriage\rreturn",
             "grüße €".encode(), b" lead", b"-dash", b"#hash", b"tab\t"]
    for name in names:
        project.write(name, b"content of " + name)
    project.commit()
    listed = project("ls", "--json").items
    assert len(listed) == len(names)
    import base64

    got = {base64.b64decode(e["path_b64"]) if "path_b64" in e else e["path"].encode()
           for e in listed}
    assert got == set(names)
    # coreutils check the listing; symlinks and folders are not in it
    project.write("sub/x", "y")
    (project.lake / "link").symlink_to("sub")
    project.commit()
    lines = project("ls", "--hash", "--folders").raw
    assert lines.startswith(b"# foundation ")
    done = subprocess.run(["sha256sum", "-c", "--strict"], input=lines, cwd=project.lake,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b": OK\n") == len(names) + 1
    # and for people nothing breaks a line
    assert len(project("ls").out.splitlines()) == len(names) + 2
    project("checkout", "main", project.path / "out")
    for name in names:
        with open(os.fsencode(project.path / "out") + b"/" + name, "rb") as f:
            assert f.read() == b"content of " + name


def test_reserved_names(project):
    project.write(".wh.x", "")
    assert ".wh." in project("commit", status=1).err


def test_lakehouse_that_leads_out_of_the_project(project, tmp_path):
    project.lake.rmdir()
    (tmp_path / "elsewhere").mkdir()
    project.lake.symlink_to(tmp_path / "elsewhere")
    err = project("commit", status=1).err
    assert "leads out of the project" in err


def test_lakehouse_that_is_a_link_inside(project):
    project.lake.rmdir()
    (project.path / "real").mkdir()
    project.lake.symlink_to(project.path / "real")
    project.write("a.json", "1")
    assert project.commit()["added"] == 1
    project.write("a.json", "2")
    assert project.commit("a.json", cwd=project.lake)["changed"] == 1
    project.write("a.json", "3")
    assert project.commit("data/lakehouse/a.json")["changed"] == 1


def test_no_lakehouse(project):
    project.lake.rmdir()
    assert "there is no lakehouse" in project("commit", status=15).err


def test_store_option_and_variable(project, tmp_path):
    project.write("a", "a")
    assert project.commit("--store", project.path, cwd=tmp_path)["added"] == 1
    assert project("--store", str(project.path / ".tvfs"), "ls", cwd=tmp_path).out == "a\n"
    assert project("ls", cwd=tmp_path, env={"TVFS_STORE": str(project.path)}).out == "a\n"
    assert "no store" in project("ls", cwd=tmp_path, status=10).err
    assert project("ls", "--store", tmp_path / "nope", cwd=tmp_path, status=10)


def test_two_that_change_the_same_path(project, tmp_path):
    """Two live folders of one store: the second publisher gets exit 12 and the path."""
    project.write("a.json", "1")
    project.commit()
    # a second project shares the store: its own live folder starts at the same state
    text = (project.path / "tvfs.json").read_text()
    (project.path / "tvfs.json").write_text(text.replace("data/lakehouse", "second/lakehouse"))
    project("sync")
    second = project.path / "second" / "lakehouse"
    (second / "a.json").write_text("22")
    project.commit("-m", "from second")
    (project.path / "tvfs.json").write_text(text)
    project.write("a.json", "333")
    result = project("commit", status=12)
    assert "conflict: a.json" in result.err
    assert [c["path"] for c in project.commit(status=12)["conflicts"]] == ["a.json"]
    assert project("cat", "main:a.json").out == "22"
    assert pathlib.Path(project.lake / "a.json").read_text() == "333"
    # the way out: take theirs
    assert "conflict: a.json" in project("sync", status=12).err
    project("sync", "--force")
    assert (project.lake / "a.json").read_text() == "22"


def test_an_emptied_lakehouse(project):
    """As when the disk below it is not mounted."""
    project.write("a.txt", "a")
    project.write("sub/b.txt", "b")
    before = project.commit()
    (project.lake / "a.txt").unlink()
    (project.lake / "sub/b.txt").unlink()
    (project.lake / "sub").rmdir()
    err = project("commit", status=13).err
    assert "2 files" in err and "--force" in err and "mounted" in err
    assert project("show", "--json").doc["commit"] == before["commit"]
    # one by one, by name, is a decision
    project("commit", project.lake / "a.txt")
    project("commit", status=13)
    done = project("commit", "--force", "--json").doc
    assert done["removed"] == 1
    # and empty from the beginning is fine
    assert project("commit", "--json").doc["unchanged"]


def test_published_on_another_ref(project):
    """What was published as a draft is not on main, and a commit there does not pretend so."""
    project.write("a.txt", "one")
    project.commit()
    project.write("a.txt", "two")
    draft = project("commit", "--ref", "draft/x", "--json").doc
    done = project("commit")
    assert "nothing changed" in done.out and "which 'main' does not have" in done.err
    assert f"tvfs branch --force main {draft['commit'][:12]}" in done.err
    assert project("commit", "--json").doc["elsewhere"] == draft["commit"]
    project("branch", "--force", "main", draft["commit"][:12])
    done = project("commit")
    assert "nothing changed" in done.out and "which" not in done.err
    assert project("cat", "main:a.txt").out == "two"
