"""Database files on a view: SQLite and DuckDB, with several processes and crashes, as on a plain folder."""

import hashlib
import os
import pathlib
import signal
import sqlite3

import duckdb
import pytest

from side_by_side import tree

JOURNALS = ["delete", "truncate", "persist", "wal"]
ROWS = 1000
# What is drawn by lot (a journal's nonce, a DuckDB file's identifier), and SQLite's shared memory.
RANDOM = ["*-journal", "*-wal", "*-shm", "*.duckdb"]


@pytest.fixture(params=["passthrough", "plain", "namespace"])
def way(request):
    return request.param


def fill_lake(lake):
    """Databases that a run finds, one left in each of SQLite's two ways of journaling."""
    for mode in ("delete", "wal"):
        with sqlite3.connect(lake / f"{mode}.db") as db:
            db.execute(f"pragma journal_mode={mode}")
            insert(db, ROWS)
        db.close()
    (lake / "folder").mkdir()
    with duckdb.connect(str(lake / "folder" / "prices.duckdb")) as db:
        db.execute(f"create table t as select range as id, 'price ' || range as what from range({ROWS})")


def insert(db, rows):
    db.execute("create table t (id integer primary key, what text, body blob)")
    db.execute("create index what on t (what)")
    db.executemany("insert into t values (?, ?, ?)", ((i, f"price {i}", bytes([i % 256]) * 300) for i in range(rows)))
    db.commit()


def contents(path):
    """SQLite's own check of a database, and all that is in it."""
    db = sqlite3.connect(path, timeout=30)
    try:
        check = db.execute("pragma integrity_check").fetchall()
        rows = [db.execute(f"select * from {table}").fetchall() for table in ("sqlite_master", "t order by id")]
        return check, hashlib.sha256(repr(rows).encode()).hexdigest()
    finally:
        db.close()


def fork(function):
    """A process of its own, that ends with the function or is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException as e:
            print(e, flush=True)
        finally:
            os._exit(1)
    return pid


def work(path, mode):
    """Transactions of every kind in a new database."""
    db = sqlite3.connect(path)
    assert db.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    insert(db, 300)
    for i in range(3):
        with db:
            db.execute("update t set what = what || ? where id % 7 = ?", (" changed", i))
            db.execute("delete from t where id % 11 = ?", (i,))
        with pytest.raises(ZeroDivisionError), db:
            db.execute("delete from t")
            raise ZeroDivisionError  # a rollback
    db.execute("vacuum")
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    return contents(path), sorted(p.name for p in path.parent.glob(path.name + "*"))


def test_sqlite(beside):
    for mode in JOURNALS:
        beside.both(lambda lake: work(lake / f"new-{mode}.db", mode))
    beside.same(RANDOM)


def change(path):
    db = sqlite3.connect(path)
    with db:
        db.execute("update t set what = 'changed', body = zeroblob(100) where id % 3 = 0")
        db.execute("insert into t values (-1, 'new', x'00')")
    db.close()


def test_frozen_sqlite(beside):
    """A database that begins frozen is read, changed, and found changed after a remount."""
    def steps(lake):
        found = []
        for name in ("delete.db", "wal.db"):
            found.append(contents(lake / name))
            change(lake / name)
            found.append(contents(lake / name))
        return found
    found = beside.both(steps)
    assert all(check == [("ok",)] for check, _ in found) and found[0] != found[1]
    beside.same(RANDOM)
    assert beside.both(lambda lake: [contents(lake / n) for n in ("delete.db", "wal.db")]) == found[1::2]


def add(path, who, times):
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    for i in range(times):
        db.execute("begin immediate")
        (n,) = db.execute("select coalesce(max(n), 0) from log").fetchone()
        db.execute("insert into log values (?, ?, ?)", (n + 1, who, i))
        db.execute("commit")
    db.close()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_with_several_processes(beside, mode):
    """Each reads the last number and adds one: no two may have had the same."""
    def steps(lake):
        path = lake / f"{mode}.db"  # frozen: who comes first copies it up, beside the others
        db = sqlite3.connect(path)
        db.execute("create table log (n integer, who integer, i integer)")
        db.commit()
        db.close()
        pids = [fork(lambda who=who: add(path, who, 15)) for who in range(4)]
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
        db = sqlite3.connect(path)
        numbers = [n for n, in db.execute("select n from log order by n")]
        rows = sorted(db.execute("select who, i from log"))
        check = db.execute("pragma integrity_check").fetchall()
        db.close()
        return numbers, rows, check
    numbers, _, check = beside.both(steps)
    assert numbers == list(range(1, 61)) and check == [("ok",)]


def half_a_transaction(path, told):
    """So much that SQLite writes some of it to its files before the commit, which never comes."""
    db = sqlite3.connect(path)
    db.execute("pragma cache_size=5")
    db.execute("update t set what = 'never', body = randomblob(1000)")
    os.write(told, b"x")
    signal.pause()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_after_a_crash(beside, mode):
    def steps(lake):
        path = lake / f"{mode}.db"
        before = contents(path)
        come, told = os.pipe()
        pid = fork(lambda: half_a_transaction(path, told))
        os.read(come, 1)
        journal = pathlib.Path(f"{path}-{'wal' if mode == 'wal' else 'journal'}")
        assert journal.stat().st_size > 100_000
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert contents(path) == before and before[0] == [("ok",)]
        change(path)
        return contents(path)
    beside.both(steps)
    beside.same(RANDOM)


def look(path, ask, tell):
    """A connection that only reads, opened before there is a writer; looks whenever it is asked to."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)
    while os.read(ask, 1):
        try:
            found = db.execute("pragma integrity_check").fetchall() + db.execute(
                "select count(*), min(id), sum(length(what)) from t").fetchall()
        except sqlite3.Error as e:
            found = e
        os.write(tell, repr(found).encode().ljust(1000))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_reader_beside_the_first_writer(beside, mode):
    """It sees what a writer commits, and never a mixture of what is frozen and what is not."""
    def steps(lake):
        path, found = lake / f"{mode}.db", []
        (asked, ask), (told, tell) = os.pipe(), os.pipe()
        pid = fork(lambda: (os.close(ask), look(path, asked, tell)))

        def seen():
            os.write(ask, b"x")
            found.append(os.read(told, 1000).decode().strip())
        seen()
        db = sqlite3.connect(path)
        db.execute("pragma cache_size=5")
        db.execute("update t set what = 'all', body = zeroblob(900)")
        seen()
        db.commit()
        seen()
        db.execute("pragma wal_checkpoint(truncate)")
        seen()
        with db:
            db.execute("update t set what = 'some' where id % 50 = 0")
        seen()
        db.close()
        seen()
        os.close(ask)
        os.waitpid(pid, 0)
        return found
    found = beside.both(steps)
    assert "'ok'" in found[-1] and found[-1] != found[0]
    assert ("locked" in found[1]) == (mode == "delete")


def test_duckdb(beside):
    def steps(lake):
        for path in (lake / "new.duckdb", lake / "folder" / "prices.duckdb"):
            with duckdb.connect(str(path)) as db:
                db.execute("create table if not exists t as select range as id, 'own' as what from range(1000)")
                db.execute("begin; delete from t; rollback")
                db.execute("delete from t where id % 2 = 0")
                db.execute("checkpoint")
                db.execute("insert into t select range, 'more' from range(5000)")
        return sorted(os.listdir(lake)), [rows(p) for p in (lake / "new.duckdb", lake / "folder" / "prices.duckdb")]

    def rows(path):
        with duckdb.connect(str(path), read_only=True) as db:
            return db.execute("select count(*), sum(id), min(what), max(what), count(distinct what) from t").fetchall()
    _, found = beside.both(steps)
    beside.same(RANDOM)
    assert beside.both(lambda lake: [rows(p) for p in (lake / "new.duckdb", lake / "folder" / "prices.duckdb")]) == found


def test_duckdb_after_a_crash(beside):
    """What was committed is in its log when the process is killed, and is there when it is opened again."""
    def steps(lake):
        path = lake / "folder" / "prices.duckdb"
        come, told = os.pipe()

        def crash():
            db = duckdb.connect(str(path))
            db.execute("delete from t where id < 100")
            db.execute("begin; delete from t")
            os.write(told, b"x")
            signal.pause()
        pid = fork(crash)
        os.read(come, 1)
        log = pathlib.Path(f"{path}.wal").exists()
        refused = fork(lambda: duckdb.connect(str(path)))  # somebody else has it open
        status = os.waitpid(refused, 0)[1]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        counting = fork(lambda: (lake / "count").write_text(str(
            duckdb.connect(str(path)).execute("select count(*), sum(id) from t").fetchall())))
        os.waitpid(counting, 0)
        return log, status != 0, (lake / "count").read_text()
    assert beside.both(steps) == (True, True, f"[({ROWS - 100}, {sum(range(100, ROWS))})]")


def test_reading_a_frozen_database_copies_nothing(beside):
    def steps(lake):
        db = sqlite3.connect(f"file:{lake / 'delete.db'}?mode=ro", uri=True)
        found = db.execute("select count(*) from t").fetchone()
        db.close()
        with duckdb.connect(str(lake / "folder" / "prices.duckdb"), read_only=True) as db:
            return found, db.execute("select count(*) from t").fetchone()
    assert beside.both(steps) == ((ROWS,), (ROWS,))
    assert tree(beside.view.overlay) == {}
