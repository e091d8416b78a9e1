"""Projects for the tests of the command line."""

import pytest

from cli_support import Project


@pytest.fixture
def bare(tmp_path):
    """A project without a store."""
    project = Project(tmp_path / "project")
    project.lake.mkdir(parents=True)
    return project


@pytest.fixture
def project(bare):
    """A project with a store and nothing committed."""
    bare("init")
    return bare


@pytest.fixture
def filled(project):
    """Two commits: a.json, sub/b.json, then a.json changed, c.json new and sub/b.json gone."""
    project.write("a.json", '{"v": 1}')
    project.write("sub/b.json", "[]")
    project.write("sub/keep.txt", "keep")
    (project.lake / "latest").symlink_to("a.json")
    project.first = project.commit("-m", "one")
    project.write("a.json", '{"v": 2}')
    project.write("c.json", "{}")
    (project.lake / "sub" / "b.json").unlink()
    project.second = project.commit("-m", "two")
    return project
