"""What those outside are told of a run: the right figures, in time, and never at the run's cost."""

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from job.config import Request, fingerprint, resolve
from job.errors import OutputError, TemporaryError
from job.machine.signals import Interrupted
from job.presets import PresetName
from job.records.history import Epoch
from job.records.run import RunRecord
from job.telemetry import kubeflow, prometheus, sender
from job.telemetry.observed import observed
from job.telemetry.observer import Observer, Observers
from job.telemetry.status import Status
from job.training.desk import Label, Unseen
from job.training.position import Position
from job.watch import Watch
from tests.output.test_metrics import DEVICE

RNN, LSTM = Label("rnn", 0), Label("lstm", 0)
EPOCH = Epoch(
    epoch=1, loss=0.5, accuracy=0.75, validation_loss=0.4, validation_accuracy=0.8, learning_rate=0.1, seconds=2.0, tokens_per_second=100.0
)  # fmt: skip


def record() -> RunRecord:
    configuration = resolve(Request(preset=PresetName.quickstart))
    identity = configuration.identity("0" * 64)
    return RunRecord(
        version="1.0", state="training", identity=identity, fingerprint=fingerprint(identity), configuration=configuration.plan(),
        device=DEVICE, versions={}, source_revision=None, seeds=1, shard=None, test_set_looks=[], files=None,
    )  # fmt: skip


def position(epoch: int, step: int) -> Position:
    return Position(epoch=epoch, step=step, loss_sum=1.5, correct=3, reviews=4, tokens=50, seconds=0.5)


def half(status: Observer) -> None:
    """A network is done, of another one that costs three times as much a third."""
    status.plan({RNN: 1.0, LSTM: 3.0})
    status.start(RNN, 2)
    status.step(RNN, position(2, 5), 5)
    status.end(RNN)
    status.start(LSTM, 3)
    status.step(LSTM, position(1, 10), 10)
    status.epoch(LSTM, EPOCH)


def test_the_share_that_is_done_counts_what_trainings_cost() -> None:
    status = Status()
    assert (status.share, status.remaining) == (0.0, None)
    half(status)
    assert status.share == pytest.approx(0.5)
    assert status.trainings[LSTM].validation_accuracy == 0.8
    assert (status.trainings[RNN].loss, status.trainings[RNN].accuracy) == (0.375, 0.75)
    assert status.trainings[RNN].tokens_per_second == 100
    status.step(LSTM, position(3, 10), 10)
    assert status.share == 0.99
    status.close(0)
    assert status.share == 1


def test_whatever_a_run_is_called_its_figures_are_read_back(tmp_path: Path) -> None:
    hostile = 'a"} 1\nsentiment_job_exit_code 7\n# HELP x \\\x1b[31m\u202e<script>'
    status = Status()
    status.begin(record().but(version=hostile, source_revision=hostile, device=DEVICE.but(name=hostile)))
    path = tmp_path / "job.prom"
    prometheus.MetricsFile(status, path)
    families = {family.name: family for family in text_string_to_metric_families(path.read_text())}
    (sample,) = families["sentiment_job_info"].samples
    assert (sample.labels["version"], sample.labels["revision"]) == (hostile, hostile)
    assert "sentiment_job_exit_code" not in families


def test_what_was_done_before_is_not_taken_for_this_process_s_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    status = Status()
    status.plan({RNN: 1.0})
    status.start(RNN, 10)
    # Continued after nine tenths.
    status.step(RNN, position(10, 0), 10)
    now[0] += 60
    status.step(RNN, position(10, 5), 10)
    assert status.remaining == pytest.approx(60)


def figures(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name.removeprefix("sentiment_job_"), sample.labels.get("training", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_file_is_prometheus_s_format_and_replaced_as_a_whole(tmp_path: Path) -> None:
    status, path = Status(), tmp_path / "job.prom"
    file = prometheus.MetricsFile(status, path)
    assert figures(path.read_text())["progress_ratio", ""] == 0
    status.begin(record())
    half(status)
    file.epoch(LSTM, EPOCH)
    found = figures(path.read_text())
    assert found["progress_ratio", ""] == pytest.approx(0.5)
    assert (found["validation_accuracy", "lstm"], found["loss", "rnn"]) == (0.8, 0.375)
    assert (found["trainings_planned", ""], found["trainings_finished", ""]) == (2, 1)
    assert abs(found["last_step_timestamp_seconds", ""] - time.time()) < 60
    assert ("exit_code", "") not in found
    status.close(75)
    file.close(75)
    assert figures(path.read_text())["exit_code", ""] == 75
    assert [each.name for each in tmp_path.iterdir()] == ["job.prom"]


def test_a_heartbeat_is_as_young_as_the_last_sign_of_life(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    with observed(Unseen(), Watch(heartbeat=path), {}) as observers:
        assert json.loads(path.read_text())["what"] == "started"
        observers.start(RNN, 2)
        for step in range(5):
            observers.step(RNN, position(1, step), 10)
        # Not at each step of thousands a second.
        assert json.loads(path.read_text())["what"] == "rnn seed 0"
        observers.epoch(RNN, EPOCH)
        told = json.loads(path.read_text())
        assert told["what"] == "rnn seed 0, epoch 1"
        assert abs(told["time"] - time.time()) < 60
    assert json.loads(path.read_text())["what"] == "ended with 0"


@pytest.mark.parametrize(
    ("error", "code"), [(TemporaryError("gone"), 75), (Interrupted(signal.SIGTERM), 143), (RuntimeError("x"), 1)]
)
def test_those_outside_learn_what_a_run_ended_with(error: BaseException, code: int, tmp_path: Path) -> None:
    path = tmp_path / "job.prom"
    with pytest.raises(type(error)), observed(Unseen(), Watch(metrics_file=path), {}):
        raise error
    assert figures(path.read_text())["exit_code", ""] == code


@pytest.mark.parametrize("option", ["heartbeat", "metrics_file"])
def test_a_file_that_cannot_be_written_is_73_before_the_run(option: str, tmp_path: Path) -> None:
    path: Any = tmp_path / "none" / "file.prom"
    with pytest.raises(OutputError, match=f"{path}: cannot be written"), observed(Unseen(), Watch(**{option: path}), {}):
        pass


def test_an_observer_that_fails_costs_a_warning_and_no_run(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        name = "broken"

        def plan(self, costs: dict[Label, float]) -> None:
            raise ValueError("no\nsuch thing")

    status = Status()
    observers = Observers(Unseen(), [Broken(), status])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            observers.plan({RNN: 1.0})
    assert [each.message for each in caplog.records] == ["broken: no such thing; it is told no more"]
    assert status.costs == {RNN: 1.0}


@contextmanager
def server(code: int = 200) -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """Its URL, and what it was sent: path, headers, body."""
    heard: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, dict(self.headers), body))
            self.send_response(code)
            self.end_headers()

        do_POST = do_PUT  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", heard
        finally:
            listening.shutdown()
            thread.join()


def test_a_pushgateway_is_told_as_the_run_goes_and_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_PUSH_SECONDS", 0.05)
    with server() as (url, heard):
        with observed(Unseen(), Watch(push_gateway=url), {}) as observers:
            observers.begin(record())
            observers.plan({RNN: 1.0})
            end = time.monotonic() + 10
            while not heard:
                assert time.monotonic() < end
                time.sleep(0.01)
        path, _, body = heard[-1]
    assert path.startswith(f"/metrics/job/sentiment-job/run/{record().fingerprint[:12]}/shard")
    assert figures(body.decode())["exit_code", ""] == 0
    assert ("exit_code", "") not in figures(heard[0][2].decode())


def test_trainer_is_told_in_its_own_terms_with_a_token_that_is_read_each_time(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with server() as (url, heard):
        environment = {kubeflow.URL: f"{url}/trainjobs/mine/status", kubeflow.TOKEN: str(token)}
        with observed(Unseen(), Watch(), environment) as observers:
            observers.begin(record())
            half(observers)  # type: ignore[arg-type] # is told the same
            token.write_text("second\n")
    ((path, headers, body),) = heard
    assert (path, headers["Authorization"]) == ("/trainjobs/mine/status", "Bearer second")
    told = json.loads(body)["trainerStatus"]
    assert told["progressPercentage"] == 100
    assert {"name": "lstm_seed_0_validation_accuracy", "value": "0.8"} in told["metrics"]
    assert all(isinstance(each["value"], str) for each in told["metrics"])
    assert told["lastUpdatedTime"].endswith("Z")


def test_of_a_group_the_chief_alone_tells(tmp_path: Path) -> None:
    """All of its processes have the same variables."""
    watch = Watch(heartbeat=tmp_path / "heartbeat", metrics_file=tmp_path / "job.prom")
    with server() as (url, heard):
        with observed(Unseen(), watch, {kubeflow.URL: url}, is_chief=False) as observers:
            observers.alive()
        assert [each.name for each in tmp_path.iterdir()] == ["heartbeat"]
        assert heard == []
        with observed(Unseen(), watch, {kubeflow.URL: url}):
            pass
        assert (tmp_path / "job.prom").exists()
        assert len(heard) == 1


def test_trainer_s_own_model_of_the_request_takes_it() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="Kubeflow's own description is not installed")
    status = Status()
    half(status)
    told = kubeflow.payload(status)
    read = models.TrainerV1alpha1UpdateTrainJobStatusRequest.from_dict(told)
    assert read.trainer_status.progress_percentage == 50
    assert set(read.to_dict()["trainerStatus"]) == set(told["trainerStatus"])


@pytest.mark.parametrize("code", [500, 0])
def test_a_server_that_is_away_costs_one_warning(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kubeflow, "_SECONDS", 0.01)
    with server(code or 200) as (url, heard):
        where = url if code else "http://127.0.0.1:9"
        with caplog.at_level(logging.WARNING), observed(Unseen(), Watch(), {kubeflow.URL: where}) as observers:
            half(observers)  # type: ignore[arg-type]
            time.sleep(0.3)
        assert not code or len(heard) > 2
    (said,) = [each.message for each in caplog.records]
    assert said.startswith(f"Kubeflow Trainer ({where}): cannot be told how the run goes (")


def test_a_server_that_hangs_holds_up_the_end_for_some_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_PATIENCE_SECONDS", 0.1)
    let_go, began = threading.Event(), time.monotonic()
    hanging = sender.Sender("it", lambda: [let_go.wait(60)].clear(), 0.01)
    time.sleep(0.05)
    hanging.close()
    assert time.monotonic() - began < 5
    let_go.set()


def test_after_a_signal_servers_that_hang_leave_time_to_end_in() -> None:
    began = time.monotonic()

    def run(url: str) -> None:
        with observed(Unseen(), Watch(push_gateway=url), {kubeflow.URL: url}) as observers:
            observers.begin(record())
            raise Interrupted(signal.SIGTERM)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Interrupted):
        run(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - began < 7
