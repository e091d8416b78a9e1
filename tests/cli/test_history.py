import datetime
import hashlib
import itertools
import os
import struct
import subprocess
import sys

from cli_support import BIN, SOURCE, environment

sys.path.append(str(SOURCE / "tests"))
import foundation_hash  # noqa: E402  (the independent script)


def test_ls(filled):
    assert filled("ls").out.splitlines() == ["a.json", "c.json", "latest", "sub/"]
    assert filled("ls", "-R").out.splitlines() == ["a.json", "c.json", "latest", "sub/",
                                                     "sub/keep.txt"]
    assert filled("ls", "main:sub").out == "sub/keep.txt\n"
    assert filled("ls", "main~1:sub/").out.splitlines() == ["sub/b.json", "sub/keep.txt"]
    assert filled("ls", "main:a.json").out == "a.json\n"
    long = filled("ls", "-l").out.splitlines()
    assert long[0].startswith("-rw") and long[0].endswith("Z a.json") and " 8 " in long[0]
    assert long[2].startswith("lrwxrwxrwx") and long[2].endswith("latest -> a.json")
    assert filled("ls", program="tvfs-ls", status=1).err  # a revision named "ls" does not exist
    assert filled(program="tvfs-ls").out == filled("ls").out


def test_ls_json(filled):
    items = {e["path"]: e for e in filled("ls", "-R", "--json").items}
    assert items["a.json"]["type"] == "file" and items["a.json"]["size"] == 8
    assert items["latest"]["target"] == "a.json" and items["latest"]["type"] == "symlink"
    assert items["sub"]["files"] == 1 and len(items["sub"]["folder_hash"]) == 64
    digest = subprocess.run(["sha256sum", filled.lake / "a.json"], capture_output=True, check=True)
    assert digest.stdout[:64].decode() == items["a.json"]["sha256"]
    assert items["a.json"]["mode"] == "0644"


def test_ls_hash(filled):
    lines = filled("ls", "--hash").out.splitlines()
    assert [line[66:] for line in lines] == ["a.json", "c.json", "sub/keep.txt"]
    short = filled("ls", "--hash=xxh128").out.splitlines()
    assert [line[34:] for line in short] == ["a.json", "c.json", "sub/keep.txt"]
    folders = filled("ls", "--hash", "--folders").out.splitlines()
    assert folders[0] == f"# foundation {filled.second['foundation_hash']}"
    assert folders[3].startswith("# folder ") and folders[3].endswith("  sub")
    assert "knows sha256" in filled("ls", "--hash=md5", status=2).err
    filled("ls", "--folders", status=2)


def test_log(filled):
    items = filled("log", "--json").items
    assert [c["message"] for c in items] == ["two", "one"]
    assert items[0]["parents"] == [filled.first["commit"]]
    assert items[0]["foundation_hash"] == filled.second["foundation_hash"]
    assert len(filled("log", "-n", "1", "--oneline").out.splitlines()) == 1
    assert filled("log", "-n1", "--json").items[0]["message"] == "two"
    assert [c["message"] for c in filled("log", "main~1", "--json").items] == ["one"]
    text = filled("log").out
    assert f"commit     {filled.second['commit']}\n" in text and "\n    two\n" in text
    filled("log", "-n", "x", status=2)
    filled("log", "-n", "-1", status=2)


def test_log_of_a_path(filled):
    items = filled("log", "a.json", "--json").items
    assert [(v["change"], v["commit"]) for v in items] == [
        ("changed", filled.second["commit"]), ("added", filled.first["commit"])]
    gone = filled("log", "data/lakehouse/sub/b.json", "--json").items
    assert [v["change"] for v in gone] == ["removed", "added"]
    assert gone[0]["removed"] and "entry" not in gone[0]
    assert [v["change"] for v in filled("log", "main~1:a.json", "--json").items] == ["added"]
    assert filled("log", "a.json").out.splitlines()[0].startswith("~ ")
    assert "is no revision" in filled("log", "nothing.json", status=1).err


def test_diff(filled):
    assert filled("diff", "main~1", "main").out.splitlines() == ["~ a.json", "+ c.json",
                                                                   "- sub/b.json"]
    assert filled("diff", "main~1").out == filled("diff", "main~1", "main").out
    assert filled("diff", "main", "main").out == ""
    assert filled("diff", "main~1", "main", "sub").out == "- sub/b.json\n"
    assert filled("diff", "--stat", "main~1").out.startswith("+1 -1 ~1")
    stat = filled.json("diff", "--stat", "main", "main~1")
    assert (stat["added"], stat["removed"], stat["changed"]) == (1, 1, 1)
    items = filled("diff", "main~1", "--json").items
    assert items[0]["before"]["sha256"] != items[0]["after"]["sha256"]
    assert "before" not in items[1] and "after" not in items[2]


def test_diff_touched(filled):
    os.utime(filled.lake / "c.json", (5, 5))
    filled.commit()
    assert filled("diff", "main~1").out == ""
    assert ". c.json" in filled("diff", "--touched", "main~1").out


def test_show(filled):
    doc = filled.json("show")
    assert doc["refs"] == ["main"] and doc["files"] == 4 and doc["message"] == "two"
    assert [c["path"] for c in doc["changes"]] == ["a.json", "c.json", "sub/b.json"]
    out = filled("show", "main~1").out
    assert "message    one" in out and "  + sub/keep.txt" in out


def test_cat(filled):
    assert filled("cat", "main:a.json").out == '{"v": 2}'
    assert filled("cat", "main~1:a.json", "main:c.json").out == '{"v": 1}{}'
    assert filled.json("cat", "main:c.json")["content_b64"] == "e30="
    assert "is a folder" in filled("cat", "main:sub", status=1).err
    assert "is a symlink" in filled("cat", "main:latest", status=1).err
    assert "there is no 'nope'" in filled("cat", "main:nope", status=1).err


def test_cat_is_binary_safe(project):
    data = bytes(range(256)) * 5000
    project.write("blob.bin", data)
    project.write("empty", b"")
    project.commit()
    assert project("cat", "main:blob.bin").raw == data
    assert project("cat", "main:empty").raw == b""
    assert project.json("cat", "main:empty")["content_b64"] == ""


def test_tags(filled):
    assert filled.json("tag", "v1", "main~1")["commit"] == filled.first["commit"]
    filled("tag", "v2")
    assert [t["name"] for t in filled.json("tag", "--list")["tags"]] == ["v1", "v2"]
    assert filled("cat", "v1:a.json").out == '{"v": 1}'
    assert "already" in filled("tag", "v1", status=1).err
    assert filled("tag").out.splitlines()[0].startswith("v1  ")
    assert "is not a branch" in filled("branch", "--delete", "v1", status=1).err
    assert filled.json("tag", "--delete", "v1")["deleted"] == "v1"
    filled("ls", "v1", status=1)
    filled("tag", "--delete", status=2)
    for bad in ("a b", "1f3a9c021f3a", "-x", "x.lock", ".x", "a//b"):
        filled("tag", "--", bad, status=1)


def test_branches(filled):
    filled("branch", "research", "main~1")
    assert "already" in filled("branch", "research", status=1).err
    filled("branch", "--force", "research", "main")
    names = [b["name"] for b in filled.json("branch")["branches"]]
    assert names == ["main", "research"]
    filled("branch", "-d", "research")
    assert "main" in filled("branch", "--delete", "main", status=1).err


def test_revisions(filled):
    first, second = filled.first, filled.second
    assert filled.json("show", "main@{2199-01-01}")["commit"] == second["commit"]
    assert filled.json("show", first["foundation_hash"][:12])["commit"] == first["commit"]
    assert filled.json("show", first["commit"][:8])["commit"] == first["commit"]
    assert filled.json("show", "main~")["commit"] == first["commit"]
    filled("show", "main@{2001-01-01}", status=15)
    for bad in ("nope", "main~9", "main@{soon}", "12345678", "main@{", ""):
        filled("show", bad, status=1)


def colliding():
    """Two contents of a file "a" whose foundations begin with the same eight digits."""
    seen = {}
    for i in itertools.count():
        contents = str(i).encode()
        entry = struct.pack("<BBH", 1, 0, 1) + b"a" + struct.pack("<Q", len(contents))
        entry += hashlib.sha256(contents).digest()
        prefix = foundation_hash.hash_node(0, [(b"a", entry, 1)])[:4]
        if prefix in seen:
            return seen[prefix], contents
        seen[prefix] = contents


def test_ambiguous_prefix(project):
    """Two foundations that share their first eight digits, found by trying some 100,000 contents."""
    first, second = colliding()
    for contents in (first, second):
        project.write("a", contents)
        project.commit()
    hashes = [c["foundation_hash"] for c in project("log", "--json").items]
    assert hashes[0][:8] == hashes[1][:8] and hashes[0] != hashes[1]
    result = project("show", hashes[0][:8], status=1)
    assert all(h[:12] in result.err for h in hashes)
    assert project("show", hashes[0][:8], "--json", status=1).doc["error"]["code"] == "ENOTUNIQ"
    assert project.json("show", hashes[1])["foundation_hash"] == hashes[1]


def test_checkout(filled):
    dest = filled.path / "out"
    doc = filled.json("checkout", "main~1", dest)
    assert doc["files"] == 4
    assert (dest / "a.json").read_text() == '{"v": 1}'
    assert (dest / "latest").readlink().name == "a.json"
    mtime = datetime.datetime.fromtimestamp(int((dest / "a.json").stat().st_mtime),
                                            datetime.timezone.utc)
    listed = filled.json("ls", "main~1:a.json")["mtime"]
    assert listed.startswith(mtime.strftime("%Y-%m-%dT%H:%M:%S"))
    assert str(dest) in filled("checkout", "main", dest, status=1).err
    assert (dest / "a.json").stat().st_nlink == 1
    filled("checkout", "main:sub", filled.path / "sub")
    assert [p.name for p in (filled.path / "sub").iterdir()] == ["keep.txt"]
    filled("checkout", "main:a.json", filled.path / "no", status=1)


def test_revert(filled):
    live = filled.files()
    out = filled("revert", "main~1").out
    assert filled.first["foundation_hash"] in out and "'tvfs sync'" in out
    assert filled.files() == live
    head = filled.json("show")
    assert head["foundation_hash"] == filled.first["foundation_hash"]
    assert head["parents"] == [filled.second["commit"]]
    assert head["message"] == "revert to main~1"
    assert head["meta"] == {"reverts_to": filled.first["commit"]}
    filled("sync")
    assert (filled.lake / "a.json").read_text() == '{"v": 1}'
    again = filled.json("revert", filled.first["commit"])
    assert again["unchanged"] and again["commit"] == head["commit"]


def test_a_reader_that_had_enough(project):
    for i in range(3000):
        project.write(f"f{i:04}-{'x' * 60}", "")
    project.commit()
    for words in (["ls"], ["ls", "--hash"], ["ls", "--json"], ["show", "--json"]):
        with subprocess.Popen([BIN / "tvfs", *words], cwd=project.path, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment(),
                              restore_signals=False) as p:
            p.stdout.read(1)
            p.stdout.close()
            assert p.stderr.read() == b"", words
            assert p.wait(30) in (0, 1)
