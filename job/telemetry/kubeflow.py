"""Tells Kubeflow Trainer how far its TrainJob is (its status server, KEP-2779; alpha, behind a feature gate there).

Trainer sets three variables in the pod: the URL, the file of its certificate, and the file of a token, which it renews.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from job.telemetry.observer import Observer
from job.telemetry.sender import Sender
from job.telemetry.status import Status

URL, CERTIFICATE, TOKEN = (f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "CA_CERT", "TOKEN"))
# No more often than every five seconds, its documentation asks.
_SECONDS = 10.0
_PATIENCE_SECONDS = 5.0


class TrainJobStatus(Observer):
    """Sends progress, the remaining time and the latest figures."""

    name = "Kubeflow Trainer"

    def __init__(self, status: Status, environment: Mapping[str, str]) -> None:
        self._status, self._environment = status, environment
        self._sender = Sender(f"Kubeflow Trainer ({environment[URL]})", self._send, _SECONDS)

    def close(self, exit_code: int) -> None:
        self._sender.close(exit_code)

    def _send(self) -> None:
        import requests

        headers = {}
        if self._environment.get(TOKEN):
            # Read each time: it is renewed.
            headers["Authorization"] = f"Bearer {Path(self._environment[TOKEN]).read_text().strip()}"
        answer = requests.post(
            self._environment[URL],
            json=payload(self._status),
            headers=headers,
            timeout=_PATIENCE_SECONDS,
            verify=self._environment.get(CERTIFICATE) or True,
        )
        answer.raise_for_status()


def payload(status: Status) -> dict[str, Any]:
    """An UpdateTrainJobStatusRequest of trainer.kubeflow.org/v1alpha1."""
    told: dict[str, Any] = {
        "progressPercentage": round(100 * status.share),
        "lastUpdatedTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if status.remaining is not None:
        told["estimatedRemainingSeconds"] = round(status.remaining)
    metrics = {}
    for label, training in [*status.trainings.items()]:
        for name in ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"):
            value = getattr(training, name)
            if value is not None:
                metrics[f"{str(label).replace(' ', '_')}_{name}"] = f"{value:.6g}"
    told["metrics"] = [{"name": name, "value": value} for name, value in metrics.items()]
    return {"trainerStatus": told}
