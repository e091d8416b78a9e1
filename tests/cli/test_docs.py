"""The pages in docs/commands and the README's table against the program's own help."""

import json
import re
import subprocess

import pytest

from cli_support import BIN, SOURCE, environment

PAGES = SOURCE / "docs" / "commands"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "JSON"]


def run(*words):
    return subprocess.run([BIN / "tvfs", *words], capture_output=True, env=environment(),
                          check=True).stdout.decode()


COMMANDS = {c["name"]: c for c in json.loads(run("help", "--json"))["commands"]}


def page(name):
    text = (PAGES / f"tvfs-{name}.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    assert parts[0].strip() == f"# tvfs-{name}"
    return dict(zip(parts[1::2], (p.strip() for p in parts[2::2])))


def forms(name):
    """The options as the help prints them: "-m, --message MSG"."""
    found = []
    for line in run(name, "--help").splitlines():
        if m := re.match(r"  (?:(-.), |    )(--\S+(?: [A-Z]\S*)?)", line):
            found.append(", ".join(filter(None, m.groups())))
    return found


COMMON = ["--json", "--store DIR", "-q, --quiet", "-h, --help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_page(name):
    sections = page(name)
    assert list(sections) == SECTIONS
    assert all(sections.values())
    command = COMMANDS[name]
    assert sections["NAME"] == f"tvfs-{name} - {command['summary']}"
    assert sections["SYNOPSIS"] == command["synopsis"]
    shown = forms(name)
    assert shown[-4:] == COMMON
    own = [line.split(":")[0].removeprefix("- ").replace("`", "")
           for line in sections["OPTIONS"].splitlines() if line.startswith("- ")]
    assert own == shown[:-4]


@pytest.mark.parametrize("name", COMMANDS)
def test_synopsis_names_every_option(name):
    command = COMMANDS[name]
    for option in [] if "[OPTION...]" in command["synopsis"] else command["options"]:
        letter, long = option.get("letter"), f"--{option['name']}"
        assert long in command["synopsis"] or (letter and f"-{letter}" in command["synopsis"]), long


def test_no_page_without_a_command():
    assert {p.stem for p in PAGES.glob("*.md")} == {"tvfs"} | {f"tvfs-{c}" for c in COMMANDS}


def test_common_options_in_the_overview():
    text = (PAGES / "tvfs.md").read_text()
    for form in COMMON:
        assert "- " + ", ".join(f"`{part}`" for part in form.split(", ")) in text


def test_readme():
    readme = SOURCE / "README.md"
    listed = re.findall(r"^\| `tvfs (\S+)` \|", readme.read_text(), flags=re.M)
    assert set(listed) == set(COMMANDS) - {"help"}


def test_links():
    """Each verb that is installed as tvfs-VERB is a command."""
    for link in BIN.glob("tvfs-*"):
        if link.is_symlink():
            assert link.name.removeprefix("tvfs-") in COMMANDS
