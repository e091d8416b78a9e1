#!/usr/bin/env python3
"""The foundation hash of a plain folder, straight from docs/format.md and nothing else.

usage: foundation_hash.py FOLDER...

Prints a line a folder, as sha256sum does. Shares no code with tvfs, so that each checks the other.
"""

import hashlib
import os
import stat
import struct
import sys

FILE, DIRECTORY, SYMLINK = 1, 2, 3
RANK_BITS = 6


def sha256(data):
    return hashlib.sha256(data).digest()


def rank(name):
    """Leading zero bits of the name's SHA-256, divided by RANK_BITS."""
    digest = int.from_bytes(sha256(name), "big")
    return (256 - digest.bit_length()) // RANK_BITS


def hash_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def project_entry(path, name):
    """What of one directory entry goes into the hash of its node."""
    info = os.lstat(path)
    flags = size = 0
    if name.startswith(b".wh."):
        raise ValueError(f"{path!r}: the name is reserved")
    if stat.S_ISDIR(info.st_mode):
        kind, digest = DIRECTORY, hash_folder(path)
    elif stat.S_ISLNK(info.st_mode):
        target = os.readlink(path)
        kind, size, digest = SYMLINK, len(target), sha256(target)
    elif stat.S_ISREG(info.st_mode):
        kind, size, digest = FILE, info.st_size, hash_file(path)
        flags = 1 if info.st_mode & stat.S_IXUSR else 0
    else:
        raise ValueError(f"{path!r}: not a file, folder or symlink")
    return struct.pack("<BBH", kind, flags, len(name)) + name + struct.pack("<Q", size) + digest


def split(records, level):
    """Cuts one level into nodes: a record whose name has a rank over the level ends one."""
    nodes, node = [], []
    for record in records:
        node.append(record)
        if rank(record[0]) > level:
            nodes.append(node)
            node = []
    return nodes + [node] if node or not nodes else nodes


def hash_node(level, node):
    projection = b"TVH1" + struct.pack("<BI", level, len(node))
    return sha256(projection + b"".join(data for _, data, _ in node))


def hash_folder(path):
    # A record is (last name, projection, number of entries below).
    names = sorted(os.listdir(path))
    records = [(name, project_entry(os.path.join(path, name), name), 1) for name in names]
    level = 0
    while True:
        nodes = split(records, level)
        if len(nodes) == 1:
            return hash_node(level, nodes[0])
        records = []
        for node in nodes:
            last = node[-1][0]
            count = sum(below for _, _, below in node)
            data = struct.pack("<H", len(last)) + last + struct.pack("<Q", count)
            records.append((last, data + hash_node(level, node), count))
        level += 1


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    for folder in sys.argv[1:]:
        print(f"{hash_folder(os.fsencode(folder)).hex()}  {folder}")


if __name__ == "__main__":
    main()
