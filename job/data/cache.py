"""Fetches a file once: to a temporary name, its checksum verified, then renamed."""

import hashlib
import os
import sys
from pathlib import Path

from job.data.staging import staging_folder
from job.errors import InputOutputError, TemporaryError
from job.files import atomic

_CHUNK = 1 << 20


def checksum(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def fetch(url: str, target: Path, algorithm: str, expected: str, otherwise: str) -> None:
    """Downloads `url` to `target`, through the proxy and with the CA bundle that the environment names.

    Args:
        algorithm: Of `expected`, the checksum: `sha256` or `md5`.
        otherwise: What the user can do where there is no network; ends the error's line.

    Raises:
        TemporaryError: The network failed, or something else came than was expected.
        OutputError: The cache cannot be written.
        InputOutputError: Writing failed midway.
    """
    import requests
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    digest = hashlib.new(algorithm, usedforsecurity=False)
    console = Console(stderr=True)
    try:
        with staging_folder(target.parent, target.name) as staging:
            if target.exists():
                # Another process was faster, and verified it.
                return
            partial = staging / target.name
            with (
                partial.open("wb") as stream,
                requests.get(url, stream=True, timeout=30) as response,
                Progress(
                    TextColumn(target.name),
                    BarColumn(),
                    DownloadColumn(),
                    TransferSpeedColumn(),
                    console=console,
                    disable=not console.is_terminal,
                ) as bar,
            ):
                response.raise_for_status()
                length = response.headers.get("Content-Length", "")
                task = bar.add_task(target.name, total=int(length) if length.isdigit() else None)
                if not console.is_terminal:
                    print(f"fetching {url}", file=sys.stderr)
                for chunk in response.iter_content(_CHUNK):
                    stream.write(chunk)
                    digest.update(chunk)
                    bar.advance(task, len(chunk))
            if digest.hexdigest() != expected:
                raise TemporaryError(
                    f"{url}: its {algorithm} is {digest.hexdigest()}, not {expected}: a broken download, or not the file; {otherwise}"
                )
            atomic.flush(partial)
            os.replace(partial, target)
    except requests.RequestException as error:
        reason = type(error).__name__ + (f" {error.response.status_code}" if error.response is not None else "")
        raise TemporaryError(f"{target.name} could not be fetched from {url} ({reason}); {otherwise}") from None
    except OSError as error:
        raise InputOutputError(
            f"{target}: writing failed ({error.strerror or error}); free some space or name another folder with --cache"
        ) from None
