import json
import os
import stat


def test_makes_store_and_settings(bare):
    doc = bare.json("init")
    assert doc["store_made"] and doc["settings_made"] and doc["lakehouse_exists"]
    settings = json.loads((bare.path / "tvfs.json").read_text())
    assert settings["lakehouse"] == "data/lakehouse"
    assert settings["profiles"].keys() == {"production", "development", "data"}
    assert stat.S_IMODE((bare.path / ".tvfs").stat().st_mode) == 0o700
    assert [p.name for p in bare.path.iterdir() if p.name.endswith("tmp")] == []


def test_can_be_repeated_and_keeps_settings(bare):
    bare("init")
    (bare.path / "tvfs.json").write_text('{"ref": "trunk"}')
    doc = bare.json("init")
    assert not doc["store_made"] and not doc["settings_made"]
    assert (bare.path / "tvfs.json").read_text() == '{"ref": "trunk"}'


def test_says_what_is_next(tmp_path, bare):
    out = bare("init", "fresh", cwd=tmp_path).out
    assert "there is no data/lakehouse yet" in out and "next: tvfs commit" in out
    assert (tmp_path / "fresh" / ".tvfs").is_dir()


def test_not_inside_a_store(project):
    for place in (".tvfs", ".tvfs/blobs/x"):
        err = project("init", place, status=1).err
        assert "lies inside the store" in err


def test_mistakes_in_settings_stop_it(bare):
    (bare.path / "tvfs.json").write_text('{\n  "lakehaus": "x"\n}')
    err = bare("init", status=1).err
    assert "tvfs.json line 2: key 'lakehaus'" in err
    assert not (bare.path / ".tvfs").exists()


def test_lakehouse_that_leads_out(bare, tmp_path):
    bare.lake.rmdir()
    (tmp_path / "elsewhere").mkdir()
    bare.lake.symlink_to(tmp_path / "elsewhere")
    assert "leads out of the project" in bare("init", status=1).err


def test_group(bare):
    assert "there is no group" in bare("init", "--group", "no-such-group", status=1).err
    gid = os.getgid()
    import grp

    bare("init", "--group", grp.getgrgid(gid).gr_name)
    settings = json.loads((bare.path / "tvfs.json").read_text())
    assert settings["writers_group"] == grp.getgrgid(gid).gr_name
    assert stat.S_IMODE((bare.path / ".tvfs").stat().st_mode) == 0o2770
