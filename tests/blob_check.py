"""Every blob of a store is what its name says: the digest of its bytes (docs/format.md)."""

import os
import pathlib

import xxhash


def stores(folder):
    """All below a folder. Folders whose path is too long for a system call are passed over."""
    for top, folders, _ in os.walk(folder):
        folders.sort()
        if ".tvfs" in folders:
            folders.remove(".tvfs")
            yield pathlib.Path(top, ".tvfs")


def changed_blobs(folder):
    """The blobs of all stores below a folder that are not what they were when they were stored."""
    for store in stores(folder):
        for path in sorted(store.glob("blobs/*/*")):
            if xxhash.xxh3_128(path.read_bytes()).hexdigest() != path.name:
                yield str(path)


def assert_blobs_unchanged(folder):
    changed = list(changed_blobs(folder))
    assert not changed, f"blobs were changed: {changed}"
