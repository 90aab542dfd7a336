"""Keeps track of a run on an MLflow server; what the server does not get now, it gets later.

MLflow is an extra, and slow to import: only the thread that sends does so.
"""

import importlib.util
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from job.errors import ConfigurationError
from job.files.lock import WriterLock
from job.machine import signals
from job.output import content, finished
from job.output.finished import FinishedRun, VerifiedRun
from job.output.folder import DEPENDENCY
from job.output.outbox import Item, Outbox
from job.presets import ModelName
from job.records.history import Epoch
from job.records.run import RunRecord
from job.telemetry import told
from job.telemetry.delivery import Delivery
from job.telemetry.observer import Observer
from job.telemetry.sender import Sender
from job.training.desk import Label

URI, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
_SECONDS = 5.0
_LAST_SECONDS, _FAILED_SECONDS, _KILLED_SECONDS = 30.0, 10.0, 3.0
_KEY = "sentiment_job.key"
# Of one request.
_PARAMS, _METRICS = 100, 500
_SETTINGS = {
    # We try again by ourselves, and tell of the run alone: nobody else is told that it was.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_FILES = (
    finished.METRICS,
    finished.RECORD,
    finished.REPORT,
    finished.PREDICTIONS,
    finished.VALIDATION_PREDICTIONS,
    finished.EXAMPLES,
    DEPENDENCY,
)


class Tracking(Observer):
    """Writes into the run's outbox what there is to tell, and has it sent.

    Raises:
        ConfigurationError: MLflow is not installed, or no server is named.
    """

    name = "MLflow"

    def __init__(self, environment: Mapping[str, str]) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise ConfigurationError(
                "--track mlflow: MLflow's client is not installed; `pip install 'sentiment-job[mlflow]'`, or leave the option out"
            )
        if not environment.get(URI):
            raise ConfigurationError(
                f"--track mlflow: {URI} does not say where the server is; set it, as to http://mlflow:5000, or leave the option out"
            )
        self._environment = environment
        self._outbox: Outbox | None = None
        self._sender: Sender | None = None
        self._is_over = False

    def begin(self, record: RunRecord) -> None:
        self._open(Path(record.configuration.output))
        self._add([*told.of_beginning(record), told.of_start()])

    def epoch(self, label: Label, epoch: Epoch) -> None:
        self._add(told.of_epoch(label, epoch, told.now()))

    def finish(self, run: FinishedRun) -> None:
        # While this process is still the folder's one writer; so it waits here.
        self._add([*told.of_history(run), *told.of_end(run)])
        self._close(_LAST_SECONDS)

    def found(self, run: VerifiedRun) -> None:
        items = [*told.of_beginning(run.record), *told.of_history(FinishedRun.of_verified(run)), *told.of_end(run)]
        there = Outbox(run.folder)
        if there.new(items) or there.pending()[0]:
            with WriterLock(run.folder):
                self._open(run.folder)
                self._add(items)
                self._close(_LAST_SECONDS)

    def close(self, exit_code: int) -> None:
        if self._outbox is not None and not self._is_over:
            self._add(told.of_exit(exit_code))
            self._close(_KILLED_SECONDS if exit_code in signals.EXIT_CODES.values() else _FAILED_SECONDS)

    def _open(self, folder: Path) -> None:
        self._outbox = Outbox(folder)
        server = MlflowServer(self._environment)
        self._sender = Sender(
            f"MLflow ({server.name})",
            Delivery(self._outbox, server).send,
            _SECONDS,
            "it goes on; what the server is not told is kept in the output folder and sent when it is back, or by the same command",
        )

    def _add(self, items: Iterable[Item]) -> None:
        if self._outbox is not None:
            self._outbox.add(items)

    def _close(self, patience: float) -> None:
        self._is_over = True
        if self._sender is not None:
            self._sender.close(patience=patience)


class MlflowServer:
    """The one that the environment names, as MLflow's own client reads it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.name = _without_password(environment[URI])
        self._made: Any = None

    def find(self, key: str) -> str | None:
        """See `Server`, as with the others."""
        found = self._ask("search_runs", [self._experiment()], f"tags.`{_KEY}` = '{key}'")
        return str(found[0].info.run_id) if found else None

    def create(self, key: str, folder: Path, time: int) -> str:
        """See `Server`."""
        folder = folder.resolve()
        # A shard's folder is called after its number alone.
        name = f"{folder.parent.parent.name} {folder.name}" if folder.parent.name == "shards" else folder.name
        made = {"start_time": time, "tags": {_KEY: key}, "run_name": name or "sentiment-job"}
        return str(self._ask("create_run", self._experiment(), **made).info.run_id)

    def steps(self, run_id: str, metric: str) -> set[int]:
        """See `Server`."""
        return {each.step for each in self._ask("get_metric_history", run_id, metric)}

    def log(self, run_id: str, params: Mapping[str, str], tags: Mapping[str, str], metrics: Sequence[Item]) -> None:
        """See `Server`."""
        from mlflow.entities import Metric, Param, RunTag

        told: dict[str, tuple[list[Any], int]] = {
            "params": ([Param(*each) for each in params.items()], _PARAMS),
            "tags": ([RunTag(*each) for each in tags.items()], _PARAMS),
            "metrics": ([Metric(each.key, each.value, each.time, each.step) for each in metrics], _METRICS),
        }
        for kind, (values, size) in told.items():
            for start in range(0, len(values), size):
                self._ask("log_batch", run_id, **{kind: values[start : start + size]})

    def upload(self, run_id: str, folder: Path, model: str) -> None:
        """See `Server`."""
        names = [*_FILES, *(f"{name}/{finished.HISTORY}" for name in ModelName)]
        files = [(folder / name, Path(name).parent) for name in names if (folder / name).is_file()]
        with tempfile.TemporaryDirectory() as made:
            if model:
                saved = folder / model / finished.SAVED_MODEL
                inside = [path for path in sorted(saved.rglob("*")) if path.is_file()]
                files += [(path, Path("model/data", path.parent.relative_to(saved))) for path in inside]
                files += [(path, Path("model", path.parent.relative_to(made))) for path in _frame(Path(made), run_id, folder)]
            # One by one: MLflow's own way for folders starts threads that the process would wait for at its end.
            for path, place in files:
                self._ask("log_artifact", run_id, str(path), place.as_posix() if place.parts else None)

    def set_status(self, run_id: str, status: str, time: int) -> None:
        """See `Server`."""
        if status == "RUNNING":
            self._ask("update_run", run_id, status)
        else:
            self._ask("set_terminated", run_id, status, time)

    def _experiment(self) -> str:
        """Its id; made where it is not there."""
        if self._environment.get("MLFLOW_EXPERIMENT_ID"):
            return self._environment["MLFLOW_EXPERIMENT_ID"]
        name = self._environment.get(EXPERIMENT) or "sentiment-job"
        found = self._ask("get_experiment_by_name", name)
        return str(found.experiment_id if found else self._ask("create_experiment", name))

    def _ask(self, method: str, *values: Any, **named: Any) -> Any:
        """What a method of MLflow's client answers."""
        try:
            return getattr(self._client(), method)(*values, **named)
        except Exception as error:
            # The message may quote the URL with its password.
            raise ConnectionError(_without_password(str(error))) from None

    def _client(self) -> Any:
        if self._made is None:
            for name, value in _SETTINGS.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            # What it has to say is said by what it raises.
            logging.getLogger("mlflow").setLevel(logging.CRITICAL)
            self._made = MlflowClient(self._environment[URI])
        return self._made


def _frame(folder: Path, run_id: str, run: Path) -> list[Path]:
    """Writes what makes a SavedModel one of MLflow's; the files."""
    import mlflow
    import yaml
    from mlflow.types.schema import ColSpec, Schema

    record = content.read_record(run / finished.RECORD)
    python = record.versions["python"] if record else "3.11"
    versions = [
        f"mlflow=={mlflow.__version__}",
        "pandas",
        f"tensorflow=={record.versions['tensorflow']}" if record else "tensorflow",
    ]
    schemas = {
        "inputs": Schema([ColSpec("string", "text")]),
        "outputs": Schema([ColSpec("float", "probability"), ColSpec("string", "label")]),
    }
    flavor = {
        "loader_module": "sentiment_job_model",
        "data": "data",
        "code": "code",
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "python_version": python,
    }
    documents: dict[str, Any] = {
        "MLmodel": {
            "artifact_path": "model",
            "flavors": {"python_function": flavor},
            "mlflow_version": mlflow.__version__,
            "run_id": run_id,
            "signature": {name: json.dumps(schema.to_dict()) for name, schema in schemas.items()} | {"params": None},
            "utc_time_created": (record.end or record.start or "") if record else "",
        },
        "conda.yaml": {
            "channels": ["conda-forge"],
            "dependencies": [f"python={python}", "pip", {"pip": versions}],
            "name": "mlflow-env",
        },
        "python_env.yaml": {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]},
    }
    contents = {name: yaml.safe_dump(values, sort_keys=False) for name, values in documents.items()}
    contents["requirements.txt"] = "".join(f"{each}\n" for each in versions)
    contents["code/sentiment_job_model.py"] = Path(__file__).with_name("served.py").read_text()
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [folder / name for name in contents]


def _without_password(text: str) -> str:
    """A URL, or a text that holds some, without what stands before a host."""
    return re.sub(r"//[^/@\s]+@", "//", text)
