"""The same steps in a plain folder and in a view that begin with the same files: results and trees compared."""

import fnmatch
import hashlib
import os
import stat

from mount_support import View, wait_for


def contents(path, root):
    """What is in a file or a link. Programs write down where they stand: both folders have one name here."""
    try:
        if os.path.islink(path):
            return os.readlink(path).replace(root, b"@")
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as f:
            return hashlib.sha256(f.read().replace(root, b"@")).hexdigest()
    except PermissionError:
        return "denied"


def xattrs(path):
    try:
        return {name: os.getxattr(path, name, follow_symlinks=False)
                for name in sorted(os.listxattr(path, follow_symlinks=False))}
    except PermissionError:
        return "denied"


def facts(path, root, names, since):
    """All that must be equal. names: inode -> its first name; times from `since` on are all "now"."""
    st = os.lstat(path)
    found = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid), "xattrs": xattrs(path),
             "mtime": st.st_mtime_ns if st.st_mtime_ns < since else "now"}
    if not stat.S_ISDIR(st.st_mode):
        found["links"] = st.st_nlink
        found["also"] = names.setdefault(st.st_ino, os.path.relpath(path, root))
        found["contents"] = contents(path, root)
    return found


def tree(root, since=1 << 62, but=()):
    """Relative path -> facts of all below the root, as far as the user can see. Of files that match `but` only the
    names count."""
    root, names, found = os.fsencode(root), {}, {}

    def add(path):
        name = os.path.relpath(path, root)
        if any(fnmatch.fnmatch(os.fsdecode(name), pattern) for pattern in but):
            found[name] = "whatever"
            return
        try:
            found[name] = facts(path, root, names, since)
        except PermissionError:
            found[name] = "denied"
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(folders + files):
            add(os.path.join(folder, name))
    return found


def differences(plain, view):
    for name in sorted(plain.keys() | view.keys()):
        a, b = plain.get(name, "missing"), view.get(name, "missing")
        if a != b and isinstance(a, dict) and isinstance(b, dict):
            a, b = ({k: v for k, v in x.items() if a.get(k) != b.get(k)} for x in (a, b))
        if a != b:
            yield f"{os.fsdecode(name)}: plain {a}, view {b}"


def now(folder):
    """As the filesystem counts it, which is in ticks."""
    (folder / "now").touch()
    return (folder / "now").stat().st_mtime_ns


class SideBySide:
    """A plain checkout of a foundation, and a view of it."""

    def __init__(self, foundation, way, home, tools):
        home.mkdir()
        home.chmod(0o755)
        foundation.own(home)
        self.plain = home / "plain"
        foundation.tool("checkout", "main", self.plain)
        self.view = View(foundation, way, home / "view", tools).start()
        self.since = now(home) + 1
        wait_for(lambda: now(home) >= self.since, what="the filesystem's next tick")

    def in_plain(self, steps, timeout=100):
        """By the same user, in the same namespaces: these have rules of their own, such as for owners."""
        return self.view.do(lambda: steps(self.plain), timeout)

    def both(self, steps, *args, timeout=100):
        """Takes the steps in each folder, as the view's user; they must lead to the same result."""
        plain = self.in_plain(lambda lake: steps(lake, *args), timeout)
        view = self.view.do(lambda: steps(self.view.path, *args), timeout)
        assert view == plain, f"plain {plain}\nview  {view}"
        return view

    def differences(self, but=()):
        plain = self.in_plain(lambda lake: tree(lake, self.since, but))
        return list(differences(plain, self.view.do(lambda: tree(self.view.path, self.since, but))))

    def same(self, but=()):
        """The trees must be equal: now, and when the view is mounted anew."""
        for when in ("at once", "after a remount"):
            found = self.differences(but)
            assert not found, "\n".join([when, *found[:20]])
            if when == "at once":
                self.view.remount()
