"""Hundreds of rules of POSIX and Linux, by system call (tests/helpers/posix.h), on ext4 and on views.

ext4 must give what the table foretells, and each view what ext4 gives, in three states of the files: frozen,
copied up, made in the overlay. A difference has to stand in docs/limits.md, with its reason; one that stands there
has to be there.
"""

import os
import re
import shutil
import subprocess

import pytest

from mount_support import SLOW, SOURCE, WAYS, Child, Foundation, View

LIMITS = SOURCE / "docs" / "limits.md"
SECTION = "## Differences from ext4, by case"
READ_ONLY = "read-only"


def new_ext4(base, name):
    """A filesystem of its own: nothing on it needs to be removed file by file, nor to reach a disk. None where that
    cannot be."""
    folder, image = base / name, base / f"{name}.img"
    folder.mkdir()
    with open(image, "wb") as f:
        f.truncate(1 << 30)
    made = os.geteuid() == 0 and shutil.which("mkfs.ext4") and subprocess.run(
        f"mkfs.ext4 -q -F -b 4096 -i 4096 '{image}' && mount -o loop,barrier=0 '{image}' '{folder}'",
        shell=True, check=False, capture_output=True, timeout=120).returncode == 0
    image.unlink()
    if not made:
        return None
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def disk(base):
    folder = new_ext4(base, "posix")
    if not folder:
        pytest.skip("machine cannot: make an ext4 of its own to compare with")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class Cases:
    """The cases of one user: their files, frozen and on a read-only ext4, and what is foretold of them."""

    def __init__(self, disk, user, tools):
        self.program, self.user = tools / "helper-posix", user
        self.foundation = Foundation(disk, "user" if user else "root", user, tools, self.lay)
        self.foretold = self.lines(self.as_user(lambda: self.call("list")))

    def call(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, check=False,
                              timeout=300 * SLOW)
        assert done.returncode == 0 and not done.stderr, (words, done.stderr[-2000:], done.stdout[-500:])
        return done.stdout.decode(errors="backslashreplace")

    def as_user(self, function):
        return Child(function, self.user).result(300)

    def lay(self, folder):
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self.as_user(lambda: self.call("lay", folder))

    @staticmethod
    def lines(text):
        return dict(line.split("\t") for line in text.splitlines())

    def run(self, view, folder, *how):
        return self.lines(view.do(lambda: self.call("run", folder, *how), timeout=300))


@pytest.fixture(scope="session")
def all_cases():
    return {}


@pytest.fixture
def cases(way, foundation, disk, tools, all_cases):
    name = "user" if foundation.user else "root"
    if name not in all_cases:
        all_cases[name] = Cases(disk, foundation.user, tools)
    return all_cases[name]


@pytest.fixture
def make_posix_view(cases, way, disk, tools):
    views = []

    def make(**more):
        home = disk / f"view-{way}-{len(views)}{os.urandom(2).hex()}"
        options = ["--allow-other"] if way in ("passthrough", "plain") else []
        views.append(View(cases.foundation, way, home, tools, options=options, **more))
        return views[-1].start()
    yield make
    for view in views:
        view.close()


def known_differences(text, way, names):
    """The case@states that docs/limits.md lists for a way of mounting."""
    known = set()
    here = {way, READ_ONLY if way.endswith(READ_ONLY) else "all"}
    for line in text.split(SECTION)[1].split("\n## ")[0].splitlines():
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 3 and all(cells), line
        where = set(cells[1].split(", "))
        assert where <= {*WAYS, "all", READ_ONLY}, line
        for case in re.findall(r"`([^`]+)`", cells[0]) if here & where else ():
            matching = [n for n in names if case in (n, n.split("@")[0])]
            assert matching, f"docs/limits.md names a case '{case}' for {way}; there is none"
            known.update(matching)
    return known


def compare(way, wanted, given, text=None):
    assert wanted.keys() == given.keys()
    known = known_differences(LIMITS.read_text() if text is None else text, way, wanted)
    wrong = [f"{n}\n    ext4:  {wanted[n]}\n    {way}: {given[n]}"
             for n in wanted if wanted[n] != given[n] and n not in known]
    gone = [n for n in known if wanted[n] == given[n]]
    assert not wrong, f"{len(wrong)} of {len(wanted)} cases differ from ext4:\n" + "\n".join(wrong)
    assert not gone, "in docs/limits.md, but no difference any more:\n" + "\n".join(gone)


def test_the_comparison():
    text = SECTION + "\n| `a@new` `b` | all | why |\n| `c` | plain, read-only | why |\n## More\n| `d` | all | why |"
    wanted = dict.fromkeys(["a@frozen", "a@new", "b@frozen", "b@new", "c@new", "d@new"], "ok")
    differ = wanted | dict.fromkeys(["a@new", "b@frozen", "b@new"], "ENOENT")
    compare("namespace", wanted, differ, text)
    compare("plain", wanted, differ | {"c@new": "ENOENT"}, text)
    compare("plain-read-only", wanted, wanted | {"c@new": "ENOENT"}, text)
    for way, given, message in (("plain", differ, r"any more:\s+c@new"),
                                ("namespace", differ | {"b@new": "ok"}, r"any more:\s+b@new"),
                                ("namespace", differ | {"d@new": "EIO"}, r"1 of 6 cases differ from ext4:\s+d@new"),
                                ("namespace", differ | {"a@frozen": "EIO"}, "1 of 6 cases differ")):
        with pytest.raises(AssertionError, match=message):
            compare(way, wanted, given, text)
    with pytest.raises(AssertionError, match="there is none"):
        compare("plain", {"a@new": "ok"}, {"a@new": "ok"}, text)


def test_rules(cases, make_posix_view, way):
    view = make_posix_view()
    plain = view.home / "plain"
    plain.mkdir()
    cases.lay(plain)
    wanted = cases.run(view, plain)
    wrong = [f"{n}\n    expected: {e}\n    ext4:     {wanted[n]}"
             for n, e in cases.foretold.items() if e and wanted[n] != e]
    assert not wrong, "\n".join(wrong)
    compare(way, wanted, cases.run(view, view.path))


@pytest.fixture(scope="session")
def read_only_disk(base):
    folder = new_ext4(base, "posix-read-only")
    if not folder:
        pytest.skip("machine cannot: make a read-only ext4 to compare with")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("way", ["passthrough", "plain", "fusermount"], indirect=True)
def test_rules_where_nothing_can_be_changed(cases, make_posix_view, read_only_disk, way):
    plain = read_only_disk / way
    subprocess.run(["mount", "-o", "remount,rw", read_only_disk], check=True)
    plain.mkdir()
    cases.lay(plain)
    subprocess.run(["mount", "-o", "remount,ro", read_only_disk], check=True)
    view = make_posix_view(overlay=False)
    wanted = cases.run(view, plain, READ_ONLY)
    compare(f"{way}-{READ_ONLY}", wanted, cases.run(view, view.path, READ_ONLY))
