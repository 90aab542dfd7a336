"""The line in which Kubernetes shows a job's cause or result, beside its pod's status."""

import os
import sys
from pathlib import Path

# Where Kubernetes looks unless told otherwise, and what it takes:
# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
_DEFAULT = Path("/dev/termination-log")
_BYTES = 4096


def leave(text: str, name: str | None) -> None:
    """Leaves the line, cut to what is taken; that it cannot be left is no failure of the job.

    Args:
        name: Of the file; without one it goes where Kubernetes looks by default, if that place is there.
    """
    path = Path(name) if name else _DEFAULT
    if name or os.path.exists(path):
        try:
            path.write_bytes(text.encode()[:_BYTES].decode(errors="ignore").encode())
        except OSError as error:
            print(f"warning: {path}: {error.strerror}; no termination message was left", file=sys.stderr)
