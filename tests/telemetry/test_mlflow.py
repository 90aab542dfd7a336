"""A real run, told to a real MLflow server that is killed meanwhile, as the run is: one run there, and everything once.

The server, and the client in the job's process, are those of .venv-mlflow, which scripts/environment.sh makes.
"""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from job.errors import ConfigurationError
from job.telemetry.mlflow import Tracking
from tests.conftest import ROOT

TRAIN = ("--preset", "quickstart", "--architecture", "rnn", "--units", "8", "--batch-size", "128", "--device", "cpu")
# Enough that it still trains when the server has been told, is gone and is back: on a fast machine one takes 0.2 s.
EPOCHS = 80
TEXTS = ["take my words as they stand . praise", "naïve – «x»", ""]
# What loads a model as its users do, with nothing of this package.
LOAD = """
import json, sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
assert not any(name.split(".")[0] == "job" for name in sys.modules)
found = model.predict(pandas.DataFrame({"text": json.loads(sys.argv[2])}))
print(json.dumps([model.metadata.signature.to_dict(), found.to_dict("list")]))
"""


def python() -> str:
    """That of an environment with MLflow."""
    if importlib.util.find_spec("mlflow") and importlib.util.find_spec("sqlalchemy"):
        return sys.executable
    there = ROOT / ".venv-mlflow" / "bin" / "python"
    if not there.exists():
        pytest.skip("mlflow is not installed; make_mlflow_environment of scripts/environment.sh makes .venv-mlflow")
    return str(there)


class Server:
    """An MLflow server on loopback that keeps its data when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._python, self._folder = python(), folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--workers", "1"]
        arguments += ["--artifacts-destination", str(self._folder / "artifacts"), "--port", str(self._port)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, "-m", "mlflow", "server", *arguments],
                stdout=log,
                stderr=log,
                # It has a process of its own for its work: both are killed.
                start_new_session=True,
                cwd=self._folder,
                env=surroundings() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        await_(self._answers, lambda: f"no server: {(self._folder / 'server.log').read_text()[-2000:]}")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            if number is signal.SIGKILL:
                self._process.wait()
                self._process = None

    def ask(self, what: str, **values: Any) -> Any:
        """By its REST API."""
        answer = requests.get(f"{self.url}/api/2.0/mlflow/{what}", params=values, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def runs(self) -> list[Any]:
        """Those of the experiment."""
        name = {"experiment_name": "sentiment-job"}
        answer = requests.get(f"{self.url}/api/2.0/mlflow/experiments/get-by-name", params=name, timeout=30)
        if answer.status_code == 404:
            return []
        told = {"experiment_ids": [answer.json()["experiment"]["experiment_id"]]}
        found = requests.post(f"{self.url}/api/2.0/mlflow/runs/search", json=told, timeout=30)
        found.raise_for_status()
        runs: list[Any] = found.json().get("runs", [])
        return runs

    def steps(self, metric: str) -> list[int]:
        """Of the one run there is, if there is one."""
        runs = self.runs()
        if not runs:
            return []
        history = self.ask("metrics/get-history", run_id=runs[0]["info"]["run_id"], metric_key=metric)
        return [int(each.get("step", 0)) for each in history.get("metrics", [])]

    def artifacts(self, run_id: str, path: str = "") -> set[str]:
        """The paths of a run's files."""
        found: set[str] = set()
        for each in self.ask("artifacts/list", run_id=run_id, path=path).get("files", []):
            found |= self.artifacts(run_id, each["path"]) if each["is_dir"] else {each["path"]}
        return found


def surroundings() -> dict[str, str]:
    """The environment without what may be set where the tests run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOB_", "MLFLOW_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}


def await_(is_so: Callable[[], bool], why: Callable[[], str]) -> None:
    end = time.monotonic() + 240
    while not is_so():
        assert time.monotonic() < end, why()
        time.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    made = Server(folder)
    yield made
    # Where a test failed, they may still run.
    for job in Job.started:
        job.kill()
    Job.started.clear()
    made.send(signal.SIGKILL)


class Job:
    """`train` with tracking, in the environment that has MLflow's client."""

    started: ClassVar[list["Job"]] = []

    def __init__(self, folder: Path, cache: Path, url: str, *options: str) -> None:
        self._log, self._out = folder / "job.log", folder / "job.out"
        told = {"JOB_CACHE": str(cache), "JOB_WORKERS": "1", "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": url}
        command = [python(), "-m", "job", "train", *TRAIN, "--track", "mlflow", "--output", str(folder / "output"), *options]
        self.started.append(self)
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=log, stdin=subprocess.DEVNULL, env=surroundings() | told
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def await_epoch(self) -> None:
        """Until one more has ended."""
        count = self.log.count("validation accuracy")
        await_(lambda: self.log.count("validation accuracy") > count, lambda: self.log)
        assert self._process.poll() is None, self.log

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, seconds: float = 300) -> int:
        try:
            return self._process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def said(self) -> str:
        """All of it."""
        return self._out.read_text() + self.log


@pytest.mark.long
def test_server_and_job_are_killed_and_the_server_has_one_run_with_everything_once(
    tmp_path: Path, shared_cache: Path, server: Server
) -> None:
    server.start()
    job = Job(tmp_path, shared_cache, server.url, "--epochs", str(EPOCHS))
    await_(lambda: 1 in server.steps("rnn/0/loss"), lambda: job.log)
    (run,) = server.runs()
    assert run["info"]["status"] == "RUNNING"
    # It hangs first: a job that is stopped does not wait for that.
    server.send(signal.SIGSTOP)
    job.await_epoch()
    job.send(signal.SIGTERM)
    assert job.end(10) == 143, job.log
    server.send(signal.SIGKILL)
    # Then it is away, and so is the job, without a word.
    job = Job(tmp_path, shared_cache, server.url, "--epochs", str(EPOCHS))
    job.await_epoch()
    job.send(signal.SIGKILL)
    job.end()
    job = Job(tmp_path, shared_cache, server.url, "--epochs", str(EPOCHS))
    job.await_epoch()
    server.start()
    assert job.end() == 0, job.log
    assert job.log.count("warning: MLflow") <= 1
    assert not re.search("View run|🏃|Uploading|Retrying", job.said)

    (run,) = server.runs()
    run_id = run["info"]["run_id"]
    assert json.loads((tmp_path / "output" / "mlflow.json").read_text())["run_id"] == run_id
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", "output")
    for metric in ("loss", "accuracy", "validation_loss", "learning_rate"):
        assert server.steps(f"rnn/0/{metric}") == [*range(1, EPOCHS + 1)]
    metrics = json.loads((tmp_path / "output" / "metrics.json").read_text())
    figures = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert figures["rnn/0/test/accuracy"] == metrics["architectures"]["rnn"]["runs"][0]["test"]["accuracy"]
    params, tags = ({each["key"]: each["value"] for each in run["data"][kind]} for kind in ("params", "tags"))
    assert (params["preset"], params["data"], params["rnn.units"]) == ("quickstart", "embedded", "8")
    assert tags["data_sha256"] == metrics["data"]["sha256"]
    assert (tags["verdict"], tags["exit_code"]) == (metrics["baseline"]["verdict"], "0")
    found = server.artifacts(run_id)
    assert {"metrics.json", "run.json", "report.html", "predictions.csv", "rnn/history.csv"} <= found
    assert {"model/MLmodel", "model/data/saved_model.pb", "model/requirements.txt"} <= found
    signature, answer = loaded(server, f"runs:/{run_id}/model")
    assert [each["name"] for each in json.loads(signature["inputs"])] == ["text"]
    assert [each["name"] for each in json.loads(signature["outputs"])] == ["probability", "label"]
    assert [*zip(*answer.values(), strict=True)] == [(pytest.approx(p, abs=1e-5), label) for p, label in predicted(tmp_path)]
    assert subprocess.run(
        [sys.executable, "-m", "job", "validate", tmp_path / "output"], cwd=ROOT, capture_output=True
    ).returncode == 0  # fmt: skip


def loaded(server: Server, uri: str) -> Any:
    """What a model of the server says of the texts, and its signature."""
    done = subprocess.run(
        [python(), "-c", LOAD, uri, json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        cwd="/",
        env=surroundings() | {"MLFLOW_TRACKING_URI": server.url},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def predicted(folder: Path) -> list[tuple[float, str]]:
    """What `predict` says of them."""
    command = [sys.executable, "-m", "job", "predict", "--json", str(folder / "output"), *TEXTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [(each["probability"], each["label"]) for each in answers]


@pytest.mark.long
def test_without_a_server_a_run_ends_well_with_one_warning_and_the_same_command_sends_it_later(
    tmp_path: Path, shared_cache: Path, server: Server
) -> None:
    alone = Job(tmp_path, shared_cache, server.url.replace("//", "//me:secret@"), "--epochs", "2")
    assert alone.end() == 0, alone.log
    (warning,) = [line for line in alone.log.splitlines() if line.startswith("warning: MLflow")]
    assert "kept in the output folder" in warning
    assert "secret" not in alone.said + (tmp_path / "output" / "mlflow.json").read_text()
    server.start()
    later = Job(tmp_path, shared_cache, server.url, "--epochs", "2")
    assert later.end() == 0, later.log
    assert "nothing to do" in later.log
    assert "warning: MLflow" not in later.log
    (run,) = server.runs()
    assert run["info"]["status"] == "FINISHED"
    assert server.steps("rnn/0/loss") == [1, 2]
    assert "model/MLmodel" in server.artifacts(run["info"]["run_id"])
    # Seeds that are added continue it.
    more = Job(tmp_path, shared_cache, server.url, "--epochs", "2", "--seeds", "2")
    assert more.end() == 0, more.log
    (run,) = server.runs()
    assert {each["key"]: each["value"] for each in run["data"]["tags"]}["seeds"] == "2"
    assert (server.steps("rnn/0/loss"), server.steps("rnn/1/loss")) == ([1, 2], [1, 2])
    assert server.steps("rnn/test/accuracy_mean") == [1, 2]


def test_without_mlflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sentiment-job\[mlflow\]'"):
        Tracking({"MLFLOW_TRACKING_URI": "http://mlflow:5000"})


def test_without_a_server_named_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI"):
        Tracking({})
