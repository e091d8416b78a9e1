"""Planted keys are sent to their sources, and are in nothing that `tvfs ingest` says, writes, shows or leaves."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from price_server import Answer
from test_hostile import PRICES, settings, start, wait_for
from test_ingest import Project

KEY = "k3y-Pl4nted/With+Odd=Chars"
PARTS = (b"Pl4nted", b"Odd=Ch", b"Odd%3DCh", b"pl4nted")


def assert_clean(*where):
    """In none of the texts, and in no file below the folders."""
    for place in where:
        files = [place] if isinstance(place, str) else [p for p in place.rglob("*") if p.is_file()]
        for thing in files:
            data = thing.encode() if isinstance(thing, str) else thing.read_bytes() + thing.name.encode()
            for part in PARTS:
                at = data.find(part)
                assert at < 0, (thing if files != [place] else "output", data[max(0, at - 100):at + 100])


def echoes(server):
    """Answers that tell the key back, in all the ways that servers do."""
    escaped = KEY.replace("/", "\\/")
    pages = {
        "plain": Answer(f"wrong key {KEY}".encode()),
        "json": Answer(json.dumps({"message": f"wrong key {KEY}"}).encode()),
        "php": Answer(f'{{"message": "wrong key {escaped}", "n": [1'.encode()),
        "csv": Answer(f"timestamp,open,high,low,close,volume\n{KEY},1,1,1,1,1\n".encode()),
        "cut": Answer(f"timestamp,open,high,low,close,volume\n{'x' * 60}{KEY},1,1,1,1,1\n".encode()),
        "html": Answer(f"<html>{KEY}</html>".encode(), type="text/html"),
        "denied": Answer(f"no {KEY} here".encode(), 403),
        "broken": Answer(f"no {KEY} here".encode(), 500),
        "wait": Answer(KEY.encode(), 429, {"Retry-After": "9999", "X-Key": KEY}),
        "moved": Answer(b"", 302, {"Location": f"http://other.invalid/{KEY}"}),
        "around": Answer(b"", 302, {"Location": f"/plain?key={KEY}"}),
    }
    for name, answer in pages.items():
        server.routes[f"/{name}"] = answer
    return pages


@pytest.mark.parametrize("folder", [False, True], ids=["store", "folder"])
def test_whatever_a_source_answers(server, tmp_path, folder):
    key = tmp_path / "keys" / "key"
    key.parent.mkdir()
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    keys = {"env": {"env": "PLANTED"}, "file": {"file": str(key)}}
    made = {f"{kind.upper()}{n}": {"kind": kind, "url": f"{server.base}/{{lower}}?token={{k}}", "headers": ["X-Key: {k}"],
                                   "keys": {"k": keys[["env", "file"][n]]}}
            for kind in ("csv", "json") for n in range(2)}
    pages = echoes(server)
    (tmp_path / "work").mkdir()
    project = Project(tmp_path / "work", settings(**made), folder)
    where = ["--folder", project.lake] if folder else []
    symbols = [f"{name}:{page.upper()}" for name in made for page in pages]
    for words in ((), ("--json",)):
        done = project.tvfs("ingest", *where, *words, *symbols, status=13, env={"PLANTED": KEY})
        assert {r.headers["X-Key"] for r in server.seen} == {KEY} == {r.query["token"] for r in server.seen if "token" in r.query}
        assert_clean(done.stdout, done.stderr, project.path)
    assert len(list(project.lake.glob("quarantine/*.body"))) >= 10, "the answers are evidence"
    if not folder:
        assert_clean(project.tvfs("show", "--json").stdout, project.tvfs("log", "--json").stdout)


def test_whatever_a_program_does_with_it(tmp_path):
    """It has the key in its environment, and nothing else of ours; its arguments are anybody's to read."""
    (tmp_path / "fetch.py").write_text(
        "import os, sys; key, how = os.environ['TOKEN'], sys.argv[1]\n"
        "assert 'PLANTED' not in os.environ\n"
        "if how == 'OUT': print(key)\n"
        "if how == 'ERR': sys.exit(f'no such key {key}')\n"
        "if how == 'LONG': sys.exit('x' * 20000 + key[5:] + 'y' * 290 + key)\n"
        "if how == 'PARQUET':\n"
        "    import pandas; sys.stdout.buffer.write(pandas.DataFrame({'a' * 180 + key: [1], key: [1]}).to_parquet())\n")
    source = {"kind": "exec", "argv": [sys.executable, str(tmp_path / "fetch.py"), "{symbol}"],
              "env": ["PATH", "TOKEN={k}"], "keys": {"k": {"env": "PLANTED"}}}
    (tmp_path / "work").mkdir()
    project = Project(tmp_path / "work", settings(X=source), True)
    done = project.tvfs("ingest", "--json", "--folder", project.lake, "X:OUT", "X:ERR", "X:LONG", "X:PARQUET",
                        status=13, env={"PLANTED": KEY})
    assert "no such key ***" in done.stdout
    assert_clean(done.stdout, done.stderr, project.path)
    settings_of_keys = source | {"argv": [sys.executable, "{k}"]}
    project.configure(settings(X=settings_of_keys))
    done = project.tvfs("ingest", "--folder", project.lake, "X:A", status=15, env={"PLANTED": KEY})
    assert "nothing is known as {k}" in done.stdout
    assert_clean(done.stdout, done.stderr)


def dies_with_a_core(process):
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
    return os.WCOREDUMP(status)


def unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_process_that_dies_leaves_no_core(server, tmp_path):
    """Nor are the keys in the arguments of any process meanwhile."""
    try:
        with subprocess.Popen(["sleep", "60"], cwd=tmp_path, preexec_fn=unlimited) as other:
            dumped = dies_with_a_core(other)
    except (ValueError, subprocess.SubprocessError):
        dumped = False
    if not dumped:
        pytest.skip("machine cannot: dump core")
    for core in tmp_path.glob("core*"):
        core.unlink()
    server.routes["/slow"] = Answer(PRICES.body, delay=60)
    source = {"kind": "csv", "url": f"{server.base}/slow?token={{k}}", "keys": {"k": {"env": "PLANTED"}}}
    project = Project(tmp_path, settings(X=source), True)
    call = start(project, "X:A", env={"PLANTED": KEY}, preexec_fn=unlimited)
    wait_for(lambda: server.seen)
    with open(f"/proc/{call.pid}/cmdline", encoding="utf-8") as file:
        assert_clean(file.read())
    assert not dies_with_a_core(call)
    assert_clean(tmp_path)


def test_a_key_in_the_name_of_a_host(server, tmp_path):
    """Names of hosts go over the network in plain text, but no message tells them."""
    source = {"kind": "csv", "url": "https://{k}.invalid/{k}", "keys": {"k": {"env": "PLANTED"}}}
    project = Project(tmp_path, settings(X=source), True)
    done = project.tvfs("ingest", "--json", "--folder", project.lake, "X:A", status=15, env={"PLANTED": "Pl4nted-in-a-host"})
    assert_clean(done.stdout, done.stderr, tmp_path)


def test_settings_with_keys_in_them(tmp_path):
    """A key that is typed into the settings is refused without being shown."""
    project = Project(tmp_path, {}, True)
    for keys in ({"k": KEY}, {"k": {"env": "UNSET", "file": KEY}}, {"k": {"value": KEY}}, [KEY]):
        (tmp_path / "tvfs.json").write_text(json.dumps(settings(X={"kind": "csv", "url": "https://h.invalid", "keys": keys})))
        done = project.tvfs("ingest", "--folder", project.lake, "X:A", status=1)
        assert "keys" in done.stderr
        assert_clean(done.stdout, done.stderr)
