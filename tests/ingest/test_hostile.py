"""`tvfs ingest` and what nobody means well: names, environments, signals, full disks, long lists."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import test_collect as forms
from ingest_support import BIN, clean_environment
from price_server import Answer, PriceServer, serving
from test_ingest import Project

DAY = 86400
TODAY = int(time.time()) // DAY * DAY
BARS = [[TODAY - (100 - i) * DAY, 10 + i % 7, 12 + i % 7, 9 + i % 7, 11 + i % 7, 100 + i] for i in range(100)]
PRICES = Answer(forms.csv(BARS).encode())


@pytest.fixture
def source(server):
    server.routes["/c"] = PRICES
    return {"kind": "csv", "url": server.base + "/c?s={symbol}"}


def settings(**sources):
    return {"sources": sources, "gates": {"exchanges": {name: {"calendar": "24x7"} for name in sources}},
            "ingest": {"tries": 2, "host_per_second": 0}}


def start(project, *words, **more):
    return subprocess.Popen([BIN / "tvfs", "ingest", "--json", "--folder", project.lake, *words], cwd=project.path,
                            env=clean_environment() | more.pop("env", {}), stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, **more)


MEASURE = """
import resource, subprocess, sys
print(subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode, end=" ", file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def measured(project, *words):
    """Status, peak of memory in KiB, and output. A process begins with the peak of the one that forks it,
    which a test's is too large for."""
    done = subprocess.run([sys.executable, "-Sc", MEASURE, BIN / "tvfs", "ingest", *words], cwd=project.path,
                          env=clean_environment(), capture_output=True, text=True, timeout=120, check=True)
    status, memory = map(int, done.stderr.split())
    return status, memory, done.stdout


def wait_for(what, seconds=30):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [False, True], ids=["store", "folder"])
def test_two_symbols_never_share_a_file(source, tmp_path, folder):
    """A_B:C and A:B_C would: of two new ones neither is taken, and later only the one that was first."""
    project = Project(tmp_path, settings(A_B=source, A=source), folder)
    done = project.ingest("A_B:C", "A:B_C", "A:OTHER", status=15)["by_symbol"]
    assert [done[s]["outcome"] for s in ("A_B:C", "A:B_C", "A:OTHER")] == ["failed", "failed", "fetched"]
    assert "that of A:B_C" in done["A_B:C"]["reason"] and not (project.lake / "A_B_C_1d.parquet").exists()
    project.ingest("A_B:C")
    before = project.state()
    assert project.ingest("A:B_C", "--fresh", "0", status=15)["by_symbol"]["A:B_C"]["outcome"] == "failed"
    done = project.ingest("A:B_C", "A_B:C", status=15)["by_symbol"]
    assert done["A_B:C"]["outcome"] == "skipped" and project.state() == before


def test_odd_names(source, server, tmp_path):
    """Each is a file of its own in the lakehouse, and asked for as it is; or it is refused."""
    project = Project(tmp_path, settings(X=source), True)
    good = ["X:..", "X:.hidden", "X:-rf", "X:%2e%2e", "X:BTC.P", "X:btc.p", "X:^GSPC", "X:con?a=b&c#d", "X:é💥", "X:a\\b",
            "X:'quoted\"", "X:{symbol}", "X:$(id)", "X:*"]
    bad = ["X:../../x", "X:a/b", "../X:a", "X:" + "n" * 300, "X:a:b", "X:a b", "X:\x01a", ":a", "X:", ".X:a"]
    done = project.ingest(*good, *bad)
    assert {s: item["outcome"] for s, item in done["by_symbol"].items()} == dict.fromkeys(good, "fetched")
    assert {r.query["s"] for r in server.seen} == {s[2:] for s in good}
    names = {p.name for p in project.lake.glob("*_1d.parquet")}
    assert names == {f"X_{s[2:]}_1d.parquet" for s in good}
    assert sorted(project.json("catalog.json")) == sorted(good)
    assert {p.name for p in tmp_path.iterdir()} == {"data", "tvfs.json"}
    assert project.ingest(*good)["skipped"] == len(good)


def test_lists_that_are_odd(source, tmp_path):
    project = Project(tmp_path, settings(X=source), True)
    for text, status, word in (("[]", 1, "no list names a symbol"), ('{"data": []}', 1, "no list names"), ("", 1, ""),
                               ("[" * 5000, 1, ""), ('{"symbols": ["X:A"]}', 1, "data"), ('["X:A", "X:A", 7, null]', 0, "")):
        (tmp_path / "c.json").write_text(text)
        done = project.tvfs("ingest", "--folder", project.lake, "c.json", status=status)
        assert word in done.stderr
    done = project.tvfs("ingest", "--folder", project.lake, "--", "-rf:x", status=15)
    assert "no source" in done.stdout


def test_a_hundred_thousand_symbols(source, tmp_path):
    """Planned in seconds, with little memory; on a terminal the table is short."""
    project = Project(tmp_path, settings(X=source), True)
    (tmp_path / "c.json").write_text(json.dumps([f"NOBODY:S{i * 7919 % 100_000}" for i in range(100_000)]))
    begun = time.monotonic()
    status, memory, out = measured(project, "--folder", project.lake, "c.json")
    assert time.monotonic() - begun < 60 and memory < 200_000
    assert status == 15 and len(out.splitlines()) < 100 and "100000 failed" in out


def test_things_that_are_no_files(source, tmp_path):
    """FIFOs, folders and links in the place of files: that symbol fails, at once, and the others do not."""
    project = Project(tmp_path, settings(X=source), True)
    os.mkfifo(project.lake / "X_FIFO_1d.parquet")
    (project.lake / "X_FOLDER_1d.parquet").mkdir()
    (project.lake / "X_LOOP_1d.parquet").symlink_to("X_LOOP_1d.parquet")
    (project.lake / "X_NOWHERE_1d.parquet").symlink_to("nowhere")
    (tmp_path / "outside").write_bytes(b"not ours")
    (project.lake / "X_OUTSIDE_1d.parquet").symlink_to(tmp_path / "outside")
    done = project.ingest("X:FIFO", "X:FOLDER", "X:LOOP", "X:NOWHERE", "X:OUTSIDE", "X:GOOD", status=15)["by_symbol"]
    assert {s[2:]: item["outcome"] for s, item in done.items()} == {
        "FIFO": "failed", "FOLDER": "failed", "LOOP": "failed", "NOWHERE": "fetched", "OUTSIDE": "failed", "GOOD": "fetched"}
    assert (tmp_path / "outside").read_bytes() == b"not ours" and not (project.lake / "nowhere").exists()


def test_much_evidence_needs_little_memory(server, tmp_path):
    page = Answer(b"<html>" + b"x" * (2 << 20), type="text/html")
    server.routes["/c"] = page
    project = Project(tmp_path, settings(X={"kind": "csv", "url": server.base + "/c"}), False)
    project.configure({"ingest": {"tries": 1, "host_per_second": 0}})
    status, memory, _ = measured(project, *[f"X:S{n}" for n in range(80)])
    assert status == 13 and len(list(project.lake.glob("quarantine/*.body"))) == 80
    assert memory < 140_000, "the answers alone are 160 MB"


# --- the network ----------------------------------------------------------------------------------------


def test_no_proxy_sees_what_is_on_this_machine(source, server, tmp_path):
    """Keys go to this machine in plain text: not to a proxy of the environment."""
    keyed = source | {"url": server.base + "/c?k={k}", "keys": {"k": {"env": "PLANTED"}}}
    project = Project(tmp_path, settings(X=keyed), True)
    with serving() as proxy:
        words = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), proxy.base)
        project.ingest("X:A", env=words | {"PLANTED": "planted-key"})
        assert proxy.seen == [] and server.seen[0].query["k"] == "planted-key"


def test_other_hosts_are_asked_through_the_proxy(tmp_path):
    with serving() as proxy:
        proxy.routes["/c"] = PRICES
        project = Project(tmp_path, settings(X={"kind": "csv", "url": "http://prices.invalid/c"}), True)
        assert project.ingest("X:A", env={"http_proxy": proxy.base})["fetched"] == 1
        assert proxy.seen[0].headers["Host"] == "prices.invalid"


class OverIPv6(PriceServer):
    address_family = socket.AF_INET6
    host = "::1"


def test_ipv6(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("machine cannot: it has no IPv6")
    with serving(kind=OverIPv6) as server:
        server.routes["/c"] = PRICES
        source = {"kind": "csv", "url": f"http://[::1]:{server.server_port}/c?k={{k}}", "keys": {"k": {"env": "PLANTED"}}}
        project = Project(tmp_path, settings(X=source), True)
        assert project.ingest("X:A", env={"PLANTED": "planted-key"})["fetched"] == 1


def test_gzip_and_servers_that_hang_up(source, server, tmp_path):
    """A body that is packed; a connection that is closed before, within and behind the header."""
    raw = socket.create_server(("127.0.0.1", 0))
    raw.settimeout(20)
    address = f"http://127.0.0.1:{raw.getsockname()[1]}"
    server.routes["/gzip"] = Answer(PRICES.body, gzipped=True)
    server.routes["/broken"] = Answer(PRICES.body, headers={"Content-Encoding": "gzip"})
    project = Project(tmp_path, settings(
        X={"kind": "csv", "url": server.base + "/{lower}"}, RAW={"kind": "csv", "url": address}), True)
    call = start(project, "X:GZIP", "X:BROKEN", "RAW:A")
    for sent in (b"", b"HTTP/1.1 200 OK\r\nContent-Le"):
        connection, _ = raw.accept()
        connection.recv(4096)
        connection.sendall(sent)
        connection.close()
    out, _ = call.communicate(timeout=30)
    raw.close()
    done = {item["symbol"]: item for item in json.loads(out)["symbols"]}
    assert call.returncode == 15 and done["X:GZIP"]["outcome"] == "fetched"
    assert done["X:BROKEN"]["outcome"] == done["RAW:A"]["outcome"] == "failed", done
    assert done["RAW:A"]["tries"] == 2


# --- deadlines and signals --------------------------------------------------------------------------------


def program(text="import time; time.sleep(60)"):
    return {"kind": "exec", "argv": [sys.executable, "-c", text], "env": ["PATH"]}


def test_the_deadline_of_the_whole(source, server, tmp_path):
    """What is not there by then has failed, the rest is published; programs are not excepted."""
    server.routes["/slow"] = Answer(PRICES.body, delay=60)
    project = Project(tmp_path, settings(X=source, S=source | {"url": server.base + "/slow"}), True)
    begun = time.monotonic()
    done = project.ingest("X:A", "S:A", "--deadline", "1s", status=15)["by_symbol"]
    assert done["X:A"]["outcome"] == "fetched" and "deadline of the whole" in done["S:A"]["reason"]
    project.configure(settings(P=program()))
    done = project.ingest("P:A", "P:B", "--deadline", "1s", status=15)["by_symbol"]
    assert "before it ended" in done["P:A"]["reason"] and "before it was asked" in done["P:B"]["reason"]
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM),
                                            (signal.SIGKILL, -signal.SIGKILL)])
def test_signals(source, tmp_path, number, status):
    """Nothing is published, the program that runs ends too, and what was fetched is there for the next call."""
    text = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    project = Project(tmp_path, settings(X=source, P=program(text)), True)
    call = start(project, "X:A", "P:A")
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    call.send_signal(number)
    out, errors = call.communicate(timeout=20)
    assert call.returncode == status, (out, errors)
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not forms.alive(pid))
    assert not [p for p in project.lake.iterdir() if not p.name.startswith(".")]
    assert project.ingest("X:A")["by_symbol"]["X:A"]["resumed"]


# --- disks ------------------------------------------------------------------------------------------------


FULL = """
set -e
mount -t tmpfs -o size=48k none "$1"
cd "$2"
shift 2
set +e
"$@"; echo "status $?"
find "$OLDPWD/data/lakehouse" -name '*_1d.parquet' -not -path '*/.tvfs-spool/*' | wc -l
mount -o remount,size=4m none "$OLDPWD/data/lakehouse"
"$@"; echo "status $?"
ls "$OLDPWD/data/lakehouse"
mount -o remount,ro none "$OLDPWD/data/lakehouse"
"$@" --fresh 0 X:NEW; echo "status $?"
"""


def test_a_full_and_a_read_only_folder(source, tmp_path):
    """Nothing is published, and the next call goes on where there was no more room."""
    project = Project(tmp_path, settings(X=source), True)
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", project.lake], capture_output=True,
                      check=False).returncode:
        pytest.skip("machine cannot: mount a tmpfs")
    symbols = [f"X:S{i:02}" for i in range(30)]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", FULL, "sh", project.lake, tmp_path, BIN / "tvfs", "ingest",
                           "--folder", project.lake, *symbols], cwd=tmp_path, env=clean_environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=True).stdout
    full, fixed, frozen = done.split("status ")[:3]
    assert "No space left on device" in full and fixed.startswith("1\n0\n"), done
    assert "30 fetched" in fixed and frozen.startswith("0\n") and frozen.count("_1d.parquet") == 31, done
    assert "'X_NEW_1d.parquet': Read-only file system" in frozen and done.endswith("status 1\n"), done


def test_a_store_that_is_read_only(source, tmp_path):
    project = Project(tmp_path, settings(X=source), False)
    frozen = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99; shift; cd . && exec "$@"'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", frozen, "sh", tmp_path / ".tvfs", BIN / "tvfs", "ingest", "X:A"],
                          cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("machine cannot: mount a folder read-only")
    assert done.returncode == 1 and "mounted read-only" in done.stderr, done
    assert project.ingest("X:A")["fetched"] == 1
