"""The checksum of a file: the one place where a file is hashed."""

import hashlib
from pathlib import Path

from job.files import reading


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content; raises what `reading.opened` does."""
    with reading.opened(path) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
