#!/usr/bin/env python3
"""Source checks: the order of the folders, who may include what, banned calls, mutable globals and
text that has no place in the project.

usage: check.py [--root DIR] [--objects BUILD-FOLDER] [--report]

Prints a line a finding and exits 1 where there is one. --report adds the lengths of functions.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

# What each folder may include. A longer name wins: store/base is not store.
LAYERS = {
    "store/base": {"store/base"},
    "store": {"store", "store/base"},
    "fs": {"fs", "store", "store/base"},
    "ingest": {"ingest", "store", "store/base"},
    # Mounts and runs never load DuckDB: only the program in tools/ingest links to ingest/.
    "tools": {"tools", "fs", "store", "store/base"},
    "tools/ingest": {"tools/ingest", "tools", "ingest", "store", "store/base"},
}

# Headers of other projects and the only files that may include them.
HEADERS = {
    "lmdb.h": r"store/kv\.c",
    "fuse_lowlevel.h": r"fs/(session|inode|ops-[a-z-]+)\.[ch]",
    "fuse.h": r"(?!)",
    "duckdb.h": r"ingest/duck\.c",
    "curl/curl.h": r"ingest/fetch[a-z-]*\.[ch]",
}

SILENT = ("store", "fs", "ingest")  # folders that never print and never exit
PRINTS = r"\b(printf|fprintf|vprintf|vfprintf|dprintf|puts|fputs|putchar|perror|exit|abort)\("
BANNED = (
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|system|popen"
    r"|mktemp|tmpnam|atoi|atol|atoll)\("
)

# Writable objects that are meant to be there.
GLOBALS_ALLOWED = {
    "store/kv.c:open_envs",  # LMDB forbids a process to open one environment twice
}

# Written in pieces, so that this file does not find itself.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("deb", "debian", "org"), ("snapshot", "debian", "org"), ("security", "debian", "org"),
        ("archive", "ubuntu", "com"), ("security", "ubuntu", "com"), ("pypi", "org"),
        ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"), ("crates", "io"),
        ("proxy", "golang", "org"), ("repo1", "maven", "org"),
    )
]
FORBIDDEN = [
    (re.compile(r"(?<![\w./$}-])/" + r"work/"), "an absolute path of one machine"),
    (re.compile(r"\.\./" + r"shared\b"), "a path outside the project"),
    (re.compile("|".join(map(re.escape, HOSTS))), "a package registry's host name"),
]

TOKENS = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)


def strip(text):
    """The code without comments and literals; line numbers stay."""

    def blank(match):
        token = match.group()
        return ('""' if token[0] == '"' else " ") + "\n" * token.count("\n")

    return TOKENS.sub(blank, text)


def listed(root):
    """The files that are, or would be, in the repository."""
    out = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(root),
         "ls-files", "-z", "-co", "--exclude-standard"],
        capture_output=True, check=True,
    ).stdout
    return sorted({name for name in out.decode().split("\0") if name and (root / name).is_file()})


def layer_of(path):
    for layer in sorted(LAYERS, key=len, reverse=True):
        if path.startswith(layer + "/"):
            return layer
    return None


def check_includes(root, path, text):
    layer = layer_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        kind, name = match.groups()
        where = f"{path}:{number}"
        for header, allowed in HEADERS.items():
            theirs = name == header or name.endswith("/" + header)
            if theirs and layer and not re.fullmatch(allowed, path):
                yield f"{where}: {name} has no place in this file"
        if kind == '"' and layer:
            target = layer_of(name)
            if not target or not (root / name).is_file():
                yield f'{where}: "{name}" is not a path from the project\'s root'
            elif target not in LAYERS[layer]:
                yield f"{where}: {layer} may not include {target}"


def check_calls(path, text):
    layer = layer_of(path)
    if not layer:
        return
    silent = path.split("/")[0] in SILENT
    for number, line in enumerate(strip(text).splitlines(), 1):
        if match := re.search(BANNED, line):
            yield f"{path}:{number}: {match.group(1)}() is banned"
        if silent and (match := re.search(PRINTS, line)):
            yield f"{path}:{number}: {match.group(1)}() where nothing prints or exits"


def check_text(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in FORBIDDEN:
            if match := pattern.search(line):
                yield f"{path}:{number}: {what}: {match.group()}"


def check_globals(root, build):
    """No writable objects at file scope, nor static ones in functions."""
    for obj in sorted(build.glob("**/tv_*.dir/**/*.o")) + sorted(build.glob("**/tvfs.dir/*.o")):
        relative = obj.relative_to(build)
        source = re.sub(r"CMakeFiles/[^/]+\.dir/", "", str(relative))[:-2]
        if not (root / source).is_file():
            continue  # left over from a source that is gone
        out = subprocess.run(
            ["nm", "-f", "sysv", str(obj)], capture_output=True, text=True, check=True
        ).stdout
        for line in out.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) != 7 or fields[2].lower() not in ("b", "d", "c", "s", "g"):
                continue
            name, section = fields[0], fields[6]
            if section.startswith(".data.rel.ro") or f"{source}:{name}" in GLOBALS_ALLOWED:
                continue
            if re.match(r"__(a|t|ub)san_|\.LASAN|__llvm_", name):
                continue
            yield f"{source}: {name} is a mutable global ({section})"


def functions(text):
    """(name, lines) of each function; in this style its braces stand alone in column 0."""
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = "\n".join(lines[max(0, start - 5):start])
            names = re.findall(r"\b(\w+)\s*\(", head)
            yield names[-1] if names else "?", number - start - 1
            start = None


def report(root, sources):
    lengths = []
    files = []
    for path in sources:
        text = (root / path).read_text()
        files.append((text.count("\n"), path))
        lengths += [(count, f"{path}: {name}") for name, count in functions(text)]
    if not lengths:
        return
    lengths.sort()
    ordered = [count for count, _ in lengths]
    p50, p90 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.9))
    print(f"{len(ordered)} functions: p50 {p50} lines, p90 {p90} (wanted: 40 or fewer)")
    for count, name in reversed(lengths[-10:]):
        if count > 40:
            print(f"  {count:4} {name}")
    for count, path in sorted(files, reverse=True)[:5]:
        if count > 400:
            print(f"  {count:4} {path}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()

    findings = []
    sources = []
    paths = listed(args.root)
    for path in paths:
        text = (args.root / path).read_bytes().decode("utf-8", "replace")
        findings += check_text(path, text)
        if path.endswith((".c", ".h")):
            findings += check_includes(args.root, path, text)
            findings += check_calls(path, text)
            if layer_of(path) and path.endswith(".c"):
                sources.append(path)
    if args.objects:
        findings += check_globals(args.root, args.objects)
    if args.report:
        report(args.root, sources)
    for finding in findings:
        print(finding)
    print(f"source checks: {len(paths)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
