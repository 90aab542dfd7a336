"""Whether a finished run is what it was when it ended."""

from pathlib import Path

from job.errors import ConfigurationError, DataError, MissingInputError
from job.output.folder import Output, checksum
from job.schema import check_schema


def validate(folder: Path, but: str | None = None) -> int:
    """Checks a run's metrics.json against its schema and every file against its hash; returns how many files were checked.

    Args:
        but: A file that is not checked, as it is about to be made anew.

    Raises:
        MissingInputError: No finished run is there.
        DataError: A file is missing, was changed, or does not follow the schema.
    """
    import jsonschema

    output = Output(folder)
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder; expected the --output of a finished run")
    try:
        metrics, run = output.read_json("metrics.json"), output.read_json("run.json")
    except ConfigurationError as error:
        raise DataError(str(error).split(";")[0]) from None
    if metrics is None:
        state = "an unfinished run: run the same `train` command again to continue it" if run else "no run"
        raise MissingInputError(f"{folder}: has no metrics.json, so it holds {state}")
    if run is None or not isinstance(run.get("files"), dict):
        raise DataError(f"{folder / 'run.json'}: is missing or tells no hashes, so the files cannot be verified")
    try:
        check_schema(metrics)
    except jsonschema.ValidationError as error:
        raise DataError(f"{folder / 'metrics.json'}: {error.json_path}: {' '.join(error.message.split())[:300]}") from None
    for name, expected in run["files"].items():
        path = folder / name
        if name == but:
            continue
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise DataError(f"{path}: is missing from the run")
        if checksum(path) != expected:
            raise DataError(f"{path}: was changed since the run ended (its SHA-256 is not the one in run.json)")
    return len(run["files"])
