"""Platforms that start the job in places and with variables of their own: what they say becomes the job's own variables.

A platform is known by a variable that it sets. What the user says, by options or variables of ours, counts first.

- SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
- Vertex AI: https://cloud.google.com/vertex-ai/docs/training/code-requirements
"""

import difflib
import json
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job import options
from job.errors import ConfigurationError
from job.machine.terminal import visible

log = logging.getLogger(__name__)
_SAGEMAKER, _VERTEX = "TRAINING_JOB_NAME", ("AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR")
# Channels by the option that names the path of their files.
_CHANNELS = {
    "data": ("train", "training"),
    "test_data": ("test",),
    "validation_data": ("validation",),
    "unlabelled": ("unlabelled", "unlabeled", "unsup"),
}
# What the image sets (docker/Dockerfile) for whoever mounts a volume there: no word of the user's.
_OF_THE_IMAGE = {"JOB_OUTPUT": "/output"}
_PORT = 2222
_FAILURE_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Where a run's parts belong on a platform."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    """By variables of ours."""
    model: Path | None = None
    """Takes the SavedModel that is asked by default, when the run is finished."""
    tensorboard: Path | None = None

    def describe(self) -> str:
        """In a line."""
        said = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.name}: {said or 'nothing set'}" + (f"; the model goes to {self.model}" if self.model else "")


def find(environment: Mapping[str, str], root: Path = Path("/")) -> Platform | None:
    """The platform that started this process, if it is a known one.

    Args:
        root: Of the file system, for tests.

    Raises:
        ConfigurationError: Its settings are none of the job's.
    """
    if _is_sagemaker(environment, root):
        return _sagemaker(root / "opt/ml")
    if any(environment.get(name) for name in _VERTEX):
        return _vertex(environment, root)
    return None


def adopt(arguments: Sequence[str], environment: MutableMapping[str, str], root: Path = Path("/")) -> None:
    """Sets what a platform says as variables of ours, unless they are set, and says so; for the commands that train."""
    if arguments[:1] not in (["train"], ["data"]):
        return
    platform = find(environment, root)
    if platform is not None:
        for name, value in platform.settings.items():
            if environment.get(name) in (None, _OF_THE_IMAGE.get(name)):
                environment[name] = value
        log.info(platform.describe())


def leave_failure(line: str, environment: Mapping[str, str], root: Path = Path("/")) -> None:
    """Where the platform shows why a job failed; that it cannot be left there is no other failure."""
    # Also where what it says of the job is what is wrong.
    if _is_sagemaker(environment, root):
        with suppress(OSError):
            path = root / "opt/ml/output/failure"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(visible(line).encode()[:_FAILURE_BYTES])


def _is_sagemaker(environment: Mapping[str, str], root: Path) -> bool:
    return bool(environment.get(_SAGEMAKER)) and (root / "opt/ml/input/config").is_dir()


def _sagemaker(folder: Path) -> Platform:
    settings = {}
    kept = folder / "checkpoints"
    # Where checkpoints are kept beyond the machine, so that a spot instance's successor goes on.
    settings["JOB_OUTPUT"] = str(kept if kept.is_dir() else folder / "output/data")
    for name, channels in _CHANNELS.items():
        for channel in channels:
            place = folder / "input/data" / channel
            if place.is_dir():
                settings[f"JOB_{name.upper()}"] = str(_only_file(place))
    resources = _read(folder / "input/config/resourceconfig.json")
    hosts = list(resources.get("hosts", []))
    if len(hosts) > 1:
        settings["JOB_WORKER"] = f"{hosts.index(resources['current_host'])}/{len(hosts)}"
        settings["JOB_HOSTS"] = ",".join(f"{host}:{_PORT}" for host in hosts)
    settings |= _hyperparameters(_read(folder / "input/config/hyperparameters.json"))
    # TensorFlow Serving's container there takes a folder with a version's number.
    return Platform(name="SageMaker", settings=settings, model=folder / "model/1")


def _only_file(folder: Path) -> Path:
    """A channel is a folder: of one file, or of a data set's layout."""
    inside = [each for each in folder.iterdir() if not each.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_file() else folder


def _hyperparameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Options by name, as texts, which may hold JSON."""
    found = {}
    for name, value in values.items():
        # Of the platform's own frameworks, and of its tuning jobs.
        if name.startswith(("sagemaker_", "_")):
            continue
        setting = name.lower().lstrip("-").replace("-", "_")
        if setting not in options.SETTINGS:
            near = difflib.get_close_matches(setting, options.SETTINGS, 1, 0.75)
            hint = f"; did you mean {near[0]}?" if near else "; expected options of train, without the dashes"
            raise ConfigurationError(f"hyperparameters.json: there is no option {name}{hint}")
        found[f"JOB_{setting.upper()}"] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); expected JSON, as the platform writes it") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: is no JSON object; expected one, as the platform writes it")
    return values


def _vertex(environment: Mapping[str, str], root: Path) -> Platform:
    model, checkpoints, tensorboard = (_mounted(name, environment.get(name), root) for name in _VERTEX)
    output = checkpoints or (model.with_name("run") if model else None)
    settings = {"JOB_OUTPUT": str(output)} if output else {}
    return Platform(name="Vertex AI", settings=settings, model=model, tensorboard=tensorboard)


def _mounted(name: str, value: str | None, root: Path) -> Path | None:
    """A path, or that of a bucket's place, which the platform mounts."""
    if not value:
        return None
    if not value.startswith("gs://"):
        return Path(value)
    bucket, _, path = value.removeprefix("gs://").partition("/")
    mount = root / "gcs" / bucket
    if not mount.is_dir():
        raise ConfigurationError(f"{name}={value}: {mount} is not there; expected the bucket to be mounted, as Vertex AI does")
    return mount / path
