"""Who observes a run: what its options ask for, and what its surroundings do."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from job.errors import JobError, OutputError
from job.machine.signals import Interrupted
from job.telemetry import kubeflow
from job.telemetry.observer import Observer, Observers
from job.telemetry.status import Status
from job.training.desk import Display
from job.watch import Watch


@contextmanager
def observed(display: Display, watch: Watch, environment: Mapping[str, str], is_chief: bool = True) -> Iterator[Observers]:
    """A display whose run is seen from outside, too, as long as it runs; at the end all are told how it ended.

    Args:
        is_chief: Of a group, the chief alone tells how the run goes; the others would contradict it, and show life alone.

    Raises:
        OutputError: A file that is asked for cannot be written.
        ConfigurationError: What is to keep track of the run is not installed, or not named.
    """
    if not is_chief:
        watch, environment = Watch(heartbeat=watch.heartbeat), {}
    observers = Observers(display, _observers(watch, environment))
    code = 1
    try:
        yield observers
        code = 0
    except (JobError, Interrupted) as error:
        code = error.exit_code
        raise
    finally:
        observers.close(code)


def _observers(watch: Watch, environment: Mapping[str, str]) -> list[Observer]:
    status = Status()
    found: list[Observer] = [status]
    if watch.heartbeat:
        from job.telemetry.heartbeat import Heartbeat

        found.append(_writing("--heartbeat", watch.heartbeat, Heartbeat))
    if watch.metrics_file or watch.push_gateway:
        from job.telemetry.prometheus import MetricsFile, PushGateway

        if watch.metrics_file:
            found.append(_writing("--metrics-file", watch.metrics_file, lambda path: MetricsFile(status, path)))
        if watch.push_gateway:
            found.append(PushGateway(status, watch.push_gateway))
    if watch.track:
        from job.telemetry.mlflow import Tracking

        found.append(Tracking(environment))
    if environment.get(kubeflow.URL):
        found.append(kubeflow.TrainJobStatus(status, environment))
    return found


def _writing(option: str, path: Path, make: Callable[[Path], Observer]) -> Observer:
    try:
        return make(path)
    except OSError as error:
        raise OutputError(
            f"{option} {path}: cannot be written ({error.strerror}); name a file in a folder that is there"
        ) from None
