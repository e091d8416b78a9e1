"""What the crash tests share: the programs that they build, projects, and the scenarios."""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"
TOOLS = BUILD / "tests" / "crash"
FULL = os.environ.get("TVFS_CRASH") == "full"
SEED = int(os.environ.get("TVFS_CRASH_SEED", "1"))
WARNINGS = "-Wall -Wextra -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes".split()


# --- programs ---------------------------------------------------------------------------------------


class Locked:
    """One at a time, over processes."""

    def __enter__(self):
        TOOLS.mkdir(parents=True, exist_ok=True)
        self.file = open(TOOLS / ".lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def pkg_config(*names):
    out = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *names], capture_output=True, text=True, check=True
    )
    return out.stdout.split()


def compile_c(name, sources, extra=(), needs=()):
    """Builds a C program of this folder when something that it is made of is newer."""
    out = TOOLS / name
    sources = [HERE / source for source in sources]
    newest = max(p.stat().st_mtime for p in [*sources, *HERE.glob("*.h"), *needs])
    with Locked():
        if not out.exists() or out.stat().st_mtime <= newest:
            subprocess.run(
                ["cc", "-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
                 *WARNINGS, f"-I{ROOT}", "-o", out, *sources, *extra],
                check=True,
            )
    return out


def recorder():
    return compile_c("recorder", ["recorder.c", "record.c", "calls.c", "tracee.c"])


def replayer():
    archives = [store_archive("store/libtv_store.a"), store_archive("store/base/libtv_base.a")]
    libraries = pkg_config("lmdb", "libcjson", "libxxhash", "libcrypto")
    return compile_c("replayer", ["replayer.c", "check.c", "model.c"],
                     [*archives, *libraries, "-lpthread"], archives)


def sample():
    return compile_c("sample", ["sample.c"], pkg_config("lmdb"))


def store_archive(name):
    return single().parent / name


def single():
    """The folder of the single-threaded build, which is made when need be."""
    chosen = os.environ.get("TVFS_SINGLE_BIN")
    if chosen:
        return Path(chosen)
    if not single.done:
        with Locked():
            log = TOOLS / "single.log"
            with open(log, "w") as out:
                for command in (["cmake", "--preset", "single", "-DBUILD_TESTING=OFF"],
                                ["cmake", "--build", "build/single"]):
                    made = subprocess.run(command, cwd=ROOT, stdout=out, stderr=out, check=False)
                    assert made.returncode == 0, f"{command}: see {log}"
        single.done = True
    return BUILD / "single" / "bin"


single.done = False


def can_trace():
    """None, or why processes cannot be traced here."""
    if os.uname().machine != "x86_64":
        return "machine cannot: the recorder knows x86-64 only"
    done = subprocess.run([recorder(), "--", "true"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"machine cannot: trace: {done.stderr.strip()}"


def in_mount_namespace():
    """What to put in front of a command that mounts; None when nothing helps."""
    for prefix in ([], ["unshare", "-m"], ["unshare", "-Ur", "-m"]):
        if prefix and subprocess.run(
            [*prefix, "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True, check=False
        ).returncode == 0:
            return prefix
    return None


# --- nothing left behind ----------------------------------------------------------------------------

# Each process of a session carries this in its environment, and each of its folders in its name.
MARK = "CRASH_TEST_SESSION"
token = ""


def scratch_base():
    """In memory where that is possible."""
    shm = Path("/dev/shm")
    if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 256 << 20:
        return shm
    return Path(tempfile.gettempdir())


def scratch():
    """A folder of its own."""
    prefix = f"tvfs-crash-{token}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=scratch_base())).resolve()


def marked(mark):
    """The processes of a session but this one, which is what ends them."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and (
                wanted in (entry / "environ").read_bytes().split(b"\0")
            ):
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended, or is another user's
    return found


def end_processes(mark, seconds=20):
    """Kills what a session has left running. What that was."""
    killed, until = [], time.monotonic() + seconds
    while (pids := marked(mark)) and time.monotonic() < until:
        for pid in pids:
            if pid not in killed:
                killed.append(pid)
            try:
                os.kill(pid, 9)
            except OSError:
                pass
        time.sleep(0.02)
    return killed


def guard():
    """Begins a session: another process waits for this one's end, however that comes, and then ends
    what is left of its processes, mounts and folders. The end of the pipe that it waits for."""
    global token
    outer = {k: v for k, v in os.environ.items() if k != MARK}
    token = secrets.token_hex(4)
    os.environ[MARK] = token
    ours, theirs = os.pipe()
    subprocess.Popen([sys.executable, __file__, token, str(scratch_base())], stdin=ours, env=outer,
                     start_new_session=True, stdout=subprocess.DEVNULL)
    os.close(ours)
    return theirs


def clean_up(mark, base):
    """The guard's part."""
    sys.stdin.buffer.read()
    end_processes(mark)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4]
        if f"/tvfs-crash-{mark}-" in target:
            subprocess.run(["umount", "-l", target], check=False, capture_output=True)
    for folder in Path(base).glob(f"tvfs-crash-{mark}-*"):
        shutil.rmtree(folder, ignore_errors=True)


class OwnMounts:
    """This process and what it starts are in a mount namespace of their own, where that may be had:
    mounts end with the last process."""

    NEWNS, REC, PRIVATE = 0x00020000, 16384, 1 << 18

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.cwd, self.old = os.getcwd(), os.open("/proc/self/ns/mnt", os.O_RDONLY)
        if self.libc.unshare(self.NEWNS) != 0:
            os.close(self.old)
            self.old = -1
        elif self.libc.mount(b"none", b"/", None, self.REC | self.PRIVATE, None) != 0:
            raise OSError(ctypes.get_errno(), "cannot make the mounts private")

    def leave(self):
        if self.old < 0:
            return
        if self.libc.setns(self.old, self.NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "cannot go back to the mounts of before")
        os.close(self.old)
        os.chdir(self.cwd)


# --- projects ---------------------------------------------------------------------------------------


def parquet(seed, size):
    """Bytes that pass as Parquet at both ends, different all over for each seed."""
    block = (f"{seed:016x}".encode() * (size // 16 + 1))[: max(size - 12, 0)]
    return b"PAR1" + block + (4).to_bytes(4, "little") + b"PAR1"


NO_STORE = 10


class Project:
    """A project folder with a store, driven through the program."""

    def __init__(self, folder, binaries):
        self.folder = folder
        self.live = folder / "data" / "lakehouse"
        self.binary = Path(binaries) / "tvfs"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("TVFS_", "TV_"))}
        self.env["LC_ALL"] = "C.UTF-8"
        self.has_store = True

    def make(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.live.mkdir(parents=True)
        self.tvfs("init")
        (self.folder / "tvfs.json").write_text('{"settle": "0s"}\n')

    def command(self, *args):
        return [str(self.binary), *map(str, args)]

    def run(self, argv, timeout=60, **options):
        return subprocess.run(
            list(map(str, argv)), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False, **options
        )

    def tvfs(self, *args, status=0):
        done = self.run(self.command(*args))
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def put(self, name, data):
        path = self.live / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def head(self, rev="main"):
        """(commit, foundation hash, parents); None when there is no such revision."""
        done = self.run(self.command("log", "--json", "-n", "1", rev))
        if done.returncode == NO_STORE:
            return None
        if done.returncode != 0:
            assert "main" in done.stderr + done.stdout, (done.returncode, done.stderr)
            return None
        doc = json.loads(done.stdout)
        return doc["commit"], doc["foundation_hash"], doc.get("parents", [])

    def fsck(self):
        """The damage found, "" when there is none."""
        done = self.run(self.command("fsck", "--read-data"))
        if done.returncode == NO_STORE and not self.has_store:
            return ""
        return "" if done.returncode == 0 else f"fsck {done.returncode}: {done.stdout}{done.stderr}"


def settle():
    """Lets what was written grow older than the clock's grain: then it counts as seen."""
    time.sleep(0.05)


def tree(folder):
    """Everything in a folder: path -> (kind, bytes)."""
    out = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            out[name] = ("link", os.readlink(path))
        elif path.is_dir():
            out[name] = ("folder", "")
        else:
            out[name] = ("file", path.read_bytes())
    return out


# --- scenarios --------------------------------------------------------------------------------------


def first_files(p):
    for i in range(6):
        p.put(f"NASDAQ_S{i}_1d.parquet", parquet(i, 700 + 2900 * i))
    p.put("foundation_health.json", '{"AAPL": {"status": "ok"}}')
    p.put("features/date=2026-01-19/part-0.parquet", parquet(77, 5000))
    p.put("notes.txt", "")
    (p.live / "latest").symlink_to("features")


def change_files(p):
    """One of each kind of change."""
    p.put("NASDAQ_S0_1d.parquet", parquet(100, 9000))
    p.put("NASDAQ_S9_1d.parquet", parquet(109, 20000))
    p.put("features/date=2026-01-20/part-0.parquet", parquet(78, 5000))
    p.put("foundation_health.json", '{"AAPL": {"status": "stale"}}')
    (p.live / "NASDAQ_S1_1d.parquet").unlink()
    (p.live / "NASDAQ_S2_1d.parquet").rename(p.live / "NASDAQ_T2_1d.parquet")
    (p.live / "NASDAQ_S3_1d.parquet").chmod(0o755)
    os.utime(p.live / "NASDAQ_S4_1d.parquet", (1, 1))
    (p.live / "latest").unlink()
    (p.live / "latest").symlink_to("features/date=2026-01-20")


class Scenario:
    """A state to begin from and a command.

    restore: what the command may change. moves: whether main moves. view: what else the command
    changes, as a value that must be the old or the new one. once: it cannot be repeated when it is
    done. again: a shell command for a state after a power cut, $0 the program, when the command itself
    will not do. power: options for the replayer.
    """

    def __init__(self, name, prepare, command, restore, moves=True, view=None, once=False,
                 again=None, power=()):
        self.name, self.prepare, self.command = name, prepare, command
        self.restore, self.moves, self.once = restore, moves, once
        self.view = view or (lambda p: None)
        self.again, self.power = again, list(power)


def empty(p):
    shutil.rmtree(p.folder, ignore_errors=True)
    p.live.mkdir(parents=True)
    p.has_store = False


def with_files(p):
    p.make()
    first_files(p)
    settle()


def committed(p):
    with_files(p)
    p.tvfs("commit", "-m", "first")


def changed(p):
    committed(p)
    change_files(p)
    settle()


def many_changed(p):
    committed(p)
    for i in range(40):
        p.put(f"many/NASDAQ_M{i}_1d.parquet", parquet(1000 + i, 3000 + 40 * i))
    settle()


def behind(p):
    """The live folder stands two commits after what main shows."""
    changed(p)
    first = p.head()[0]
    p.tvfs("commit", "-m", "second")
    p.tvfs("revert", first)
    assert p.tvfs("status") is not None
    settle()


def reverted(p):
    """main stands at the second commit, the first one is tagged."""
    committed(p)
    p.tvfs("tag", "base")
    change_files(p)
    settle()
    p.tvfs("commit", "-m", "second")


def with_history(p):
    committed(p)
    for i in range(5):
        p.put("NASDAQ_S0_1d.parquet", parquet(200 + i, 6000 + i))
        p.tvfs("commit", "-m", f"more {i}")
        p.tvfs("tag", f"t{i}")


def with_rubbish(p):
    """Commits, nodes and blobs that nothing needs, temp files and strange files beside."""
    changed(p)
    p.tvfs("commit", "-m", "second")
    for i in range(3):
        p.put("NASDAQ_S0_1d.parquet", parquet(200 + i, 6000 + i))
        p.put(f"old/NASDAQ_O{i}_1d.parquet", parquet(300 + i, 5000))
        p.tvfs("commit", "-m", f"third {i}")
    shutil.copytree(p.live / "old", p.folder / "kept")
    shutil.rmtree(p.live / "old")
    p.tvfs("commit", "-m", "last")
    p.tvfs("forget", "--commits", "--keep-last", "1", "--delete")
    (p.folder / ".tvfs" / "tmp" / "left-over").write_bytes(b"x" * 5000)


# What gc was about to remove comes again: who trusts a row whose file is gone now loses data.
PUT_BACK = (
    'cp -r kept data/lakehouse/old && "$0" commit -q -m again && "$0" fsck -q --read-data && '
    "rm -r data/lakehouse/old && "
    '"$0" commit -q -m gone && "$0" gc -q --delete'
)


def names(kind):
    return lambda p: [line.split()[:3] for line in p.tvfs(kind, "--list").splitlines()]


def history(p):
    return [line for line in p.tvfs("log").splitlines() if line.startswith("commit")]


def checked_out(p):
    out = p.folder / "out"
    return tree(out) if out.exists() else None


# A data job that may be run again on what it has published.
JOB = (
    "cd data/lakehouse && printf PAR1-a-new-one-xxxxPAR1 >NASDAQ_NEW_1d.parquet && "
    "printf PAR1-rewritten-xxxxxxxxPAR1 >NASDAQ_S0_1d.parquet && rm -f NASDAQ_S1_1d.parquet && "
    "mkdir -p more && { [ ! -e NASDAQ_S2_1d.parquet ] || mv NASDAQ_S2_1d.parquet more/; }"
)

RUNS = "artifacts/summaries/runs"
RUN_AGAIN = (
    '"$0" prune && "$0" run --publish main --run-id JOB-2 -- sh -c ' + "'" + JOB + "'"
)

SCENARIOS = {
    s.name: s
    for s in (
        Scenario("init", empty, ["init"], [".tvfs", "tvfs.json"], moves=False),
        Scenario("first-commit", with_files, ["commit", "-m", "first"], [".tvfs"]),
        Scenario("commit", changed, ["commit", "-m", "second"], [".tvfs"]),
        Scenario("commit-path", changed,
                 ["commit", "-m", "second", "data/lakehouse/NASDAQ_S0_1d.parquet",
                  "data/lakehouse/features"], [".tvfs"]),
        Scenario("commit-many", many_changed, ["commit", "-m", "many"], [".tvfs"]),
        Scenario("sync", behind, ["sync"], [".tvfs", "data"], moves=False),
        Scenario("gc", with_rubbish, ["gc", "--delete"], [".tvfs"], moves=False, again=PUT_BACK,
                 power=["--loose"]),
        Scenario("forget", with_history,
                 ["forget", "--commits", "--keep-last", "2", "--keep-tagged", "--delete"], [".tvfs"],
                 moves=False, view=history),
        Scenario("tag", committed, ["tag", "v1"], [".tvfs"], moves=False, view=names("tag"),
                 once=True, again='"$0" show -q v1 || "$0" tag v1'),
        Scenario("branch", committed, ["branch", "other"], [".tvfs"], moves=False,
                 view=names("branch"), once=True, again='"$0" show -q other || "$0" branch other'),
        Scenario("revert", reverted, ["revert", "base"], [".tvfs"], once=True),
        Scenario("checkout", committed, ["checkout", "main", "out"], [".tvfs", "out"], moves=False,
                 view=checked_out, once=True, power=["--dest", "out"],
                 again='[ -e out ] || "$0" checkout -q main out'),
        Scenario("run-publish", committed,
                 ["run", "--publish", "main", "--run-id", "JOB-1", "--", "sh", "-c", JOB],
                 [".tvfs", "artifacts"], again=RUN_AGAIN,
                 power=["--record", f"{RUNS}/JOB-1/config/run.json"]),
    )
}


class Stage:
    """One scenario, ready to begin again and again in the same place."""

    def __init__(self, scenario, folder, binaries):
        self.scenario = scenario
        folder.mkdir(parents=True, exist_ok=True)
        self.project = Project(folder / scenario.name, binaries)
        self.template = folder / f"{scenario.name}.template"
        scenario.prepare(self.project)
        shutil.rmtree(self.template, ignore_errors=True)
        self.copy(self.project.folder, self.template)
        self.old = self.project.head()
        self.old_live = tree(self.project.live)
        self.old_view = self.look()
        self.argv = self.project.command(*scenario.command)

    @staticmethod
    def copy(source, dest):
        subprocess.run(["cp", "-a", source, dest], check=True)

    def reset(self):
        """Puts back what the command may have changed. Everything else stays the file it was."""
        for left in self.project.folder.glob(".tvfs-checkout.*"):
            shutil.rmtree(left)
        for name in self.scenario.restore:
            shutil.rmtree(self.project.folder / name, ignore_errors=True)
            (self.project.folder / name).unlink(missing_ok=True)
            if (self.template / name).exists():
                self.copy(self.template / name, self.project.folder / name)

    def finish(self):
        """Runs the command undisturbed, and remembers what it leads to."""
        self.reset()
        done = self.project.run(self.argv)
        assert done.returncode == 0, (self.argv, done.returncode, done.stdout, done.stderr)
        self.new = self.project.head()
        self.new_live = tree(self.project.live)
        self.new_view = self.look()
        assert (self.new != self.old) == self.scenario.moves
        assert not self.project.fsck()
        return done

    def look(self):
        return self.scenario.view(self.project)

    def done_already(self):
        return self.project.head() != self.old or self.look() != self.old_view


if __name__ == "__main__":
    clean_up(*sys.argv[1:])
