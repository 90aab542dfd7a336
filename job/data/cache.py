"""The cache: files are made or fetched in a folder of their own in it, and renamed when they are whole."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from job.errors import InputOutputError, OutputError, TemporaryError
from job.files import atomic
from job.files.lock import WriterLock

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger(__name__)

# Older folders are what a kill left behind; younger ones may belong to another job at work.
_LEFTOVER_SECONDS = 24 * 3600
_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20


@contextmanager
def staging_folder(cache: Path, made: str) -> Iterator[Path]:
    """A new folder in the cache, removed at the end with what is still in it.

    One process at a time makes what `made` names; the others wait for it, however long it takes, and should then check
    whether it is there.

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
    try:
        for leftover in root.iterdir():
            try:
                if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                    atomic.remove(leftover)
            except FileNotFoundError:
                continue
        with WriterLock(root, name=f"{made}.lock", wait_for_the_living=True):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch(url: str, target: Path, known_hash: str, otherwise: str) -> None:
    """Downloads `url` to `target`, through the proxy and with the CA bundle that the environment names.

    Args:
        known_hash: What the file's checksum must be, its algorithm in front: `sha256:…` or `md5:…`.
        otherwise: What the user can do without a network; ends the error's line.

    Raises:
        TemporaryError: The network failed, or the file is not the expected one.
        OutputError: The cache cannot be written.
        InputOutputError: Writing failed midway.
    """
    import pooch
    import requests

    # It would report where its temporary file lies.
    pooch.get_logger().setLevel(logging.ERROR)
    try:
        with staging_folder(target.parent, target.name) as staging:
            if target.exists():
                # Another process was faster, and verified it.
                return
            log.info(f"fetching {url}")
            with _progress() as progress:
                downloader = pooch.HTTPDownloader(
                    progressbar=_Bar(progress, target.name), chunk_size=_CHUNK, timeout=_TIMEOUT_SECONDS
                )
                pooch.retrieve(url, known_hash, fname=target.name, path=staging.resolve(), downloader=downloader)
            atomic.flush(staging / target.name)
            os.replace(staging / target.name, target)
    except requests.RequestException as error:
        reason = type(error).__name__
        if error.response is not None:
            reason += f" {error.response.status_code}"
            # Pooch leaves the connection open.
            error.response.close()
        raise TemporaryError(f"{target.name} could not be fetched from {url} ({reason}); {otherwise}") from None
    except ValueError as error:
        # Its first sentence holds the checksum that was expected and the one that was found.
        found = str(error).partition(". ")[0]
        raise TemporaryError(f"{url}: a broken download, or not the file: {found}; {otherwise}") from None
    except OSError as error:
        raise InputOutputError(
            f"{target}: writing failed ({error.strerror or error}); free some space or name another folder with --cache"
        ) from None


def _progress() -> "Progress":
    """Shows how far a download is, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


class _Bar:
    """One download's bar, with the attributes of tqdm's that pooch uses.

    https://www.fatiando.org/pooch/latest/progressbars.html#using-custom-progress-bars
    """

    total = 0
    """Bytes in all, set by pooch; 0 where the server does not say."""

    def __init__(self, progress: "Progress", name: str) -> None:
        self._progress, self._task = progress, progress.add_task(name, total=None)

    def update(self, count: int) -> None:
        """Another `count` bytes came."""
        self._progress.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        """Goes back to nothing; at its end pooch follows this with one update by the total."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """The display is closed by its own context."""
