"""The checksum of a file's content."""

import hashlib
from pathlib import Path


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content, by the name that `hashlib` has for the algorithm."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
