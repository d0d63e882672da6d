"""Run as a program, alone: prints size and SHA-256 of each file named, as JSON. See fingerprint.py for why.

`python -I hash_files.py FILE …` prints [[size, sha256] or null, …]: null for a file that isn't there. Standard
library only, since it runs without our package on the path. Exit status 3: a path is no regular file.
"""

import hashlib
import json
import os
import stat
import sys

_BLOCK = 1 << 20


def hash_file(path: str) -> tuple[int, str] | None:
    """(bytes read, SHA-256 in hex), or None when there is no such file. Raises OSError, ValueError for no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not block us
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        digest, size = hashlib.sha256(), 0
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def main(paths: list[str]) -> int:
    try:
        print(json.dumps([hash_file(path) for path in paths]))
    except (OSError, ValueError) as error:
        print(type(error).__name__, getattr(error, "strerror", "") or "not a regular file", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
