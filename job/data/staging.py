"""Where the cache's files are while they are unfinished."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from job.errors import OutputError

# What a kill left behind; younger ones may be another job's, at work.
_LEFTOVER_SECONDS = 24 * 3600


@contextmanager
def staging_folder(cache: Path) -> Iterator[Path]:
    """A new folder in the cache, removed at the end with what is still in it.

    Raises:
        OutputError: The cache cannot be written.
    """
    root = cache / "unfinished"
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root))
    except OSError as error:
        raise OutputError(
            f"the cache {cache} cannot be written ({error.strerror or error}); name another folder with --cache"
        ) from None
    for leftover in root.iterdir():
        try:
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        except FileNotFoundError:
            continue
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
