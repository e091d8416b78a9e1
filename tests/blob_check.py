"""Every blob of a store is what its name says: the digest of its bytes (docs/format.md)."""

import pathlib

import xxhash


def changed_blobs(folder):
    """The blobs of all stores below a folder that are not what they were when they were stored."""
    for path in sorted(pathlib.Path(folder).rglob(".tvfs/blobs/*/*")):
        if xxhash.xxh3_128(path.read_bytes()).hexdigest() != path.name:
            yield str(path)


def assert_blobs_unchanged(folder):
    changed = list(changed_blobs(folder))
    assert not changed, f"blobs were changed: {changed}"
