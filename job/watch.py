"""Where a run is to be seen from outside while it runs."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from job.errors import ConfigurationError


class Tracker(StrEnum):
    """What keeps track of experiments."""

    mlflow = "mlflow"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Nothing in it changes a result."""

    heartbeat: Path | None = None
    """A file that is as young as the last sign of life."""
    metrics_file: Path | None = None
    """Figures in Prometheus's text format."""
    push_gateway: str | None = None
    """The URL of a Prometheus Pushgateway, which is given the same figures."""
    track: Tracker | None = None


def resolve_watch(heartbeat: Path | None, metrics_file: Path | None, push_gateway: str | None, track: Tracker | None) -> Watch:
    """Checks what can be checked before the run.

    Raises:
        ConfigurationError: A URL or a name that cannot be right.
    """
    if push_gateway is not None:
        parts = urlsplit(push_gateway)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"--push-gateway {push_gateway}: expected a URL, such as http://pushgateway:9091")
    if metrics_file is not None and not metrics_file.name.endswith(".prom"):
        # Node exporter's textfile collector reads no others.
        raise ConfigurationError(f"--metrics-file {metrics_file}: expected a name that ends in .prom")
    return Watch(heartbeat=heartbeat, metrics_file=metrics_file, push_gateway=push_gateway, track=track)
