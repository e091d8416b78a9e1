"""Projects for the tests of runs and mounts: the real program, real mounts, as root and as a user."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TVFS_BIN", SOURCE / "build" / "bin"))
PYTHON = sys.executable
TEST_USER = "tvfs-tests"


def settings(**changes):
    """Keys of tvfs.json that differ from the defaults."""
    return json.dumps(changes, indent=1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(condition, seconds=20, what="the condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (FileNotFoundError, json.JSONDecodeError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def fuse_mounts(under=""):
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if " - fuse.tvfs " in line and str(under) in line]


class Done:
    def __init__(self, process, out, err):
        self.status = process.returncode
        self.out, self.err = out.decode(errors="replace"), err.decode(errors="replace")

    @property
    def doc(self):
        return json.loads(self.out)


class Project:
    """A folder with a lakehouse. Calls run in it, as its owner, and must end with `status`."""

    def __init__(self, path, bin_dir=BIN, user=None, python=PYTHON):
        self.path, self.bin, self.user = pathlib.Path(path), pathlib.Path(bin_dir), user
        self.python = python
        self.lake = self.path / "data" / "lakehouse"
        self.runs = self.path / "artifacts" / "summaries" / "runs"

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("TVFS_", "TV_", "CANDIDATES")) and k != "NO_COLOR"}
        for name in ("TVFS_SANITIZER",):
            if name in os.environ:
                env[name] = os.environ[name]
        # A folder on the PATH that a user cannot enter makes "not found" into "not permitted".
        path = "/usr/local/bin:/usr/bin:/bin" if self.user else env["PATH"]
        env.update(PATH=f"{self.bin}:{path}", LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
        return env | more

    def start(self, *words, env=None, cwd=None, **more):
        if self.user:
            more.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE} | more
        return subprocess.Popen([str(w) for w in words], cwd=cwd or self.path,
                                env=self.environment(**(env or {})), **more)

    def finish(self, process, status=0, timeout=120):
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        done = Done(process, out or b"", err or b"")
        assert status is None or done.status == status, (process.args, done.status, done.out[-3000:],
                                                         done.err[-3000:])
        assert not re.search("(?i)sanitizer|runtime error", done.err), done.err
        return done

    def __call__(self, *words, status=0, **more):
        return self.finish(self.start(self.bin / "tvfs", *words, **more), status)

    def json(self, *words, **more):
        return self(*words, "--json", **more).doc

    def run(self, *command, options=(), **more):
        return self("run", *options, "--", *command, **more)

    def sh(self, script, *options, **more):
        return self.run("sh", "-ec", script, options=options, **more)

    def py(self, code, *options, **more):
        return self.run(self.python, "-c", code, options=options, **more)

    def start_run(self, *command, options=(), ready=None, **more):
        """Starts a run in the background and waits until its command has made the file `ready`."""
        process = self.start(self.bin / "tvfs", "run", *options, "--", *command, **more)
        if ready:
            path = self.path / ready
            try:
                wait_for(path.exists, what=f"{ready}")
            except AssertionError:
                process.kill()
                print(process.communicate())
                raise
        return process

    def write(self, name, contents):
        path = self.lake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        self.own(path)
        return path

    def own(self, *paths):
        if self.user and os.geteuid() == 0:
            for path in paths:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def own_all(self):
        self.own(self.path, *self.path.rglob("*"))

    def configure(self, **changes):
        (self.path / "tvfs.json").write_text(settings(**changes))
        self.own(self.path / "tvfs.json")

    def commit(self, *words):
        return self.json("commit", *words)

    def run_dir(self, run_id):
        return self.runs / run_id

    def record(self, run_id):
        return json.loads((self.run_dir(run_id) / "config" / "run.json").read_text())

    def processes(self, run_id):
        """name -> pid of a run's processes."""
        record = self.record(run_id)
        pids = {name: p["pid"] for name, p in record["processes"].items()}
        return pids | {"command": record["sessions"][-1]["pid"]}

    def live(self):
        return self.json("ps")

    def assert_clean(self):
        """No mount, no lease, no entry, no process of this project."""
        ps = self.live()
        assert ps["live"] == [] and ps["stale_leases"] == 0, ps
        assert list((self.path / ".tvfs" / "live").iterdir()) == []
        assert fuse_mounts(self.path) == []


def snapshot(folder):
    """Relative path -> (kind, bytes, mtime) of a plain folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        st = path.lstat()
        found[str(path.relative_to(folder))] = (st.st_mode, path.read_bytes() if path.is_file() else b"",
                                                st.st_mtime_ns)
    return found


def make_project(base, name, bin_dir=BIN, owner=None, python=PYTHON):
    """A project with a first commit, in a folder of its own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{name[:40]}-", dir=base))
    path.chmod(0o755)
    p = Project(path, bin_dir, owner, python)
    p.lake.mkdir(parents=True)
    (path / "export").mkdir()
    (path / "data" / "logs").mkdir()
    p.write("a.txt", "one\n")
    p.write("sub/b.txt", "two\n")
    p.write("portfolio_candidates.json", '["frozen"]\n')
    p.write("portfolio_candidates_raw.json", '["frozen raw"]\n')
    p.own_all()
    p("init")
    p("commit", "-m", "first")
    return p


def test_user():
    """The account for tests that must not be root, made when it is missing; None without root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(TEST_USER)
    except KeyError:
        pass
    if not shutil.which("useradd"):
        return None
    subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", TEST_USER],
                   check=True, capture_output=True)
    return pwd.getpwnam(TEST_USER)


test_user.__test__ = False


def can_read_as(user, *paths):
    """True when the user may execute and read these."""
    return all(subprocess.run(["test", "-r", path], user=user.pw_uid, group=user.pw_gid,
                              extra_groups=[], check=False).returncode == 0 for path in paths)


def starts_as(user, python):
    return subprocess.run([python, "-c", "import json, mmap, socket, sqlite3"], user=user.pw_uid,
                          group=user.pw_gid, extra_groups=[], check=False,
                          capture_output=True, cwd="/").returncode == 0


def python_of(user, folder):
    """A Python that the user can start: this one, the system's, or a copy of this one (its standard
    library only), which is made in the folder."""
    for path in (PYTHON, "/usr/bin/python3"):
        if can_read_as(user, os.path.realpath(path)) and starts_as(user, path):
            return path
    program = pathlib.Path(os.path.realpath(PYTHON))
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, folder / "bin" / program.name)
    shutil.copytree(library, folder / library.relative_to(program.parents[1]), symlinks=True,
                    ignore=shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "*.a",
                                                  "__pycache__"))
    copy = str(folder / "bin" / program.name)
    return copy if starts_as(user, copy) else None


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
