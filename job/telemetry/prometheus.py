"""A run's figures for Prometheus: in a file that an exporter reads, or pushed to a gateway."""

import threading
import time
from pathlib import Path

import prometheus_client
from prometheus_client.metrics_core import GaugeMetricFamily

from job.output.finished import FinishedRun
from job.records.history import Epoch
from job.records.run import RunRecord
from job.telemetry.observer import Observer
from job.telemetry.sender import Sender
from job.telemetry.status import Status
from job.training.desk import Label
from job.training.position import Position

_FILE_SECONDS = 5.0
_PUSH_SECONDS = 15.0
# A request's.
_PATIENCE_SECONDS = 5.0
_OF_TRAININGS = {
    "epoch": "Epoch in work.",
    "share": "Share of the training that is done.",
    "loss": "Mean training loss of the epoch so far.",
    "accuracy": "Training accuracy of the epoch so far.",
    "validation_loss": "Validation loss after the last epoch.",
    "validation_accuracy": "Validation accuracy after the last epoch.",
    "tokens_per_second": "Real tokens trained on a second, without padding.",
}


class Figures(prometheus_client.registry.Collector):
    """The figures of a status, as Prometheus's library asks for them."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self.test_accuracy: dict[str, float] = {}
        """Means over seeds, once the run is finished."""

    def collect(self) -> list[GaugeMetricFamily]:
        """All that is known now."""
        status, found = self._status, []

        def add(name: str, text: str, value: float | None) -> None:
            if value is not None:
                found.append(GaugeMetricFamily(f"sentiment_job_{name}", text, value))

        if status.record:
            record = status.record
            info = GaugeMetricFamily(
                "sentiment_job_info", "What runs.", labels=["version", "preset", "device", "revision", "fingerprint"]
            )
            named = [record.version, record.identity.preset, record.device.type, record.source_revision or ""]
            info.add_metric([*named, record.fingerprint[:12]], 1)
            found.append(info)
        add("last_step_timestamp_seconds", "When the last training step was done, Unix time.", status.last_step)
        add("progress_ratio", "Share of the planned trainings that is done.", status.share)
        add("remaining_seconds", "Estimate of how long the trainings will take.", status.remaining)
        add("trainings_planned", "Trainings that this process has to do.", len(status.costs))
        add("trainings_finished", "Trainings that it has done.", len(status.finished))
        for name, text in _OF_TRAININGS.items():
            family = GaugeMetricFamily(f"sentiment_job_{name}", text, labels=["training", "seed"])
            for label, training in [*status.trainings.items()]:
                value = getattr(training, name)
                if value is not None:
                    family.add_metric([label.name, "" if label.seed is None else str(label.seed)], value)
            if family.samples:
                found.append(family)
        if self.test_accuracy:
            family = GaugeMetricFamily("sentiment_job_test_accuracy", "Mean over seeds.", labels=["model"])
            for model, value in self.test_accuracy.items():
                family.add_metric([model], value)
            found.append(family)
        add("exit_code", "What the process ended with.", status.exit_code)
        return found


class _Prometheus(Observer):
    """What file and gateway have in common."""

    def __init__(self, status: Status) -> None:
        self._figures, self._registry = Figures(status), prometheus_client.CollectorRegistry()
        self._registry.register(self._figures)

    def finish(self, run: FinishedRun) -> None:
        means = {str(name): entry.summary.test_accuracy.mean for name, entry in run.metrics.architectures.items()}
        means["baseline"] = run.metrics.baseline.test.accuracy
        if run.metrics.ensemble:
            means["ensemble"] = run.metrics.ensemble.test.accuracy
        self._figures.test_accuracy = {name: value for name, value in means.items() if value is not None}


class MetricsFile(_Prometheus):
    """Replaces a file every few seconds.

    Raises:
        OSError: It cannot be written.
    """

    name = "metrics file"

    def __init__(self, status: Status, path: Path) -> None:
        super().__init__(status)
        self._path, self._last = path, 0.0
        self._write()

    def begin(self, record: RunRecord) -> None:
        self._write()

    def step(self, label: Label, position: Position, steps: int) -> None:
        if time.monotonic() - self._last >= _FILE_SECONDS:
            self._write()

    def epoch(self, label: Label, epoch: Epoch) -> None:
        self._write()

    def end(self, label: Label) -> None:
        self._write()

    def finish(self, run: FinishedRun) -> None:
        super().finish(run)
        self._write()

    def close(self, exit_code: int) -> None:
        self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        # Under another name first, then renamed.
        prometheus_client.write_to_textfile(str(self._path), self._registry)


class PushGateway(_Prometheus):
    """Tells a Pushgateway, and tries again where it is away; its last word stays there when the run has ended."""

    name = "Pushgateway"

    def __init__(self, status: Status, url: str) -> None:
        super().__init__(status)
        self._status, self._url, self._lock = status, url, threading.Lock()
        self._sender = Sender(f"the Pushgateway {url}", self._push, _PUSH_SECONDS)

    def close(self, exit_code: int) -> None:
        self._sender.close(exit_code)

    def _push(self) -> None:
        record = self._status.record
        if record is not None:
            # Runs side by side must not replace one another's figures.
            grouping = {"run": record.fingerprint[:12], "shard": "-".join(map(str, record.shard)) if record.shard else ""}
            prometheus_client.push_to_gateway(
                self._url, "sentiment-job", self._registry, grouping_key=grouping, timeout=_PATIENCE_SECONDS
            )
