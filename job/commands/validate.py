"""Whether a finished run is what it was when it ended."""

from pathlib import Path

from job.output.finished import VerifiedRun


def validate(folder: Path) -> int:
    """Checks metrics.json against its schema and every file against its hash; returns how many files were checked.

    Raises:
        MissingInputError: No finished run is there.
        DataError: A file is missing, was changed, or does not follow the schema.
    """
    return len(VerifiedRun.verify(folder).record.files or {})
