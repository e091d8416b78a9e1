"""Each source check finds the fault that it is for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).with_name("check.py")

FAULTS = {
    "base-includes-store": ("store/base/a.c", '#include "store/blob.h"\n', "may not include"),
    "store-includes-fs": ("store/a.c", '#include "fs/inode.h"\n', "may not include"),
    "fs-includes-tools": ("fs/a.c", '#include "tools/cmd.h"\n', "may not include"),
    "tools-includes-ingest": ("tools/a.c", '#include "ingest/duck.h"\n', "may not include"),
    "ingest-includes-fs": ("ingest/a.c", '#include "fs/inode.h"\n', "may not include"),
    "duckdb-elsewhere": ("ingest/a.c", "#include <duckdb.h>\n", "no place"),
    "relative-include": ("store/a.c", '#include "blob.h"\n', "project's root"),
    "lmdb-elsewhere": ("store/tree.c", "#include <lmdb.h>\n", "no place"),
    "fuse-elsewhere": ("fs/view.c", "#include <fuse_lowlevel.h>\n", "no place"),
    "curl": ("store/remote.c", "#include <curl/curl.h>\n", "no place"),
    "prints": ("fs/a.c", 'void f(void)\n{\n\tprintf("x");\n}\n', "printf"),
    "exits": ("store/a.c", "void f(void)\n{\n\texit(1);\n}\n", "exit"),
    "banned": ("tools/a.c", "void f(char *a, char *b)\n{\n\tstrcpy(a, b);\n}\n", "banned"),
    "machine-path": ("docs/a.md", "see " + "/wor" + "k/x\n", "absolute path"),
    "registry": ("docs/a.md", "http://" + ".".join(("deb", "debian", "org")) + "/\n", "registry"),
}

FINE = {
    "store/blob.h": "",
    "store/kv.c": "#include <lmdb.h>\n",
    "fs/session.c": "#include <fuse_lowlevel.h>\n",
    "store/a.c": '#include "store/blob.h"\n/* printf("x") */\n'
    'int g(char *s)\n{\n\treturn snprintf(s, 9, "exit(1)");\n}\n',
    "tools/a.c": '#include "store/blob.h"\nvoid f(void)\n{\n\tprintf("x");\n}\n',
    "docs/a.md": "build/" + "work/ and $HOME/" + "work/ are not absolute\n",
}


def check(root, *options):
    return subprocess.run(
        [sys.executable, CHECK, "--root", root, *options], capture_output=True, text=True
    )


@pytest.fixture
def tree(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(tree, name):
    path, text, words = FAULTS[name]
    found = check(tree({"store/blob.h": "", "fs/inode.h": "", "ingest/duck.h": "", "tools/cmd.h": "",
                        path: text}))
    assert found.returncode == 1, found.stdout
    assert words in found.stdout and path in found.stdout


def test_good_sources_pass(tree):
    found = check(tree(FINE))
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "line, fault",
    [
        ("static int counter; int f(void); int f(void) { return counter++; }", True),
        ("int f(void); int f(void) { static int n = 3; return n++; }", True),
        ('const char *names[] = { "a" };', True),
        ("__thread int mine = 1;", True),
        ('const char *const names[] = { "a" };', False),
        ("static const int n[] = { 1 }; const int *f(void); const int *f(void) { return n; }", False),
    ],
)
def test_mutable_globals(tree, line, fault):
    compiler = shutil.which("cc")
    root = tree({"store/a.c": line + "\n"})
    objects = root / "build/dev/store/CMakeFiles/tv_store.dir"
    objects.mkdir(parents=True)
    subprocess.run(
        [compiler, "-O0", "-fPIC", "-c", root / "store/a.c", "-o", objects / "a.c.o"], check=True
    )
    found = check(root, "--objects", root / "build/dev")
    assert ("mutable global" in found.stdout) == fault, found.stdout
