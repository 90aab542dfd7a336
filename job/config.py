"""The configuration of a run, resolved from a preset and the user's options."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from job.errors import ConfigurationError
from job.peers import Peers, part_of, resolve_together, whole_number
from job.presets import HALF, PRESETS, Architecture, Hyperparameters, Preset, PresetName, ThresholdRule, Value
from job.source import DataRequest, DataSource, resolve_source, said_of_files
from job.watch import Tracker, Watch, resolve_watch

if TYPE_CHECKING:
    from job.records.run import Identity, Plan

# Hyperparameters of earlier versions, for networks that had embeddings of bigrams.
_GONE: dict[str, Value] = {"bigrams": 0, "bigram_size": 0, "ratio_scale": 0.0, "bigram_dropout": 0.0}
# Tokens of a review of the embedded corpus beside its filler, and room.
CLUES = 40
MAX_SEEDS = 10_000
"""Of a run: each is listed in its plan and in its results."""


class DeviceChoice(StrEnum):
    """Where to compute; `auto` takes a GPU where one is present."""

    auto = "auto"
    gpu = "gpu"
    cpu = "cpu"


class LogFormat(StrEnum):
    """How progress is shown; `auto` is a live display on a terminal and plain lines elsewhere."""

    auto = "auto"
    text = "text"
    json = "json"


@dataclass(frozen=True, kw_only=True)
class Request(DataRequest):
    """What a user says of a run."""

    output: Path = Path("./output")
    architecture: list[Architecture] | None = None
    seeds: int | None = None
    shard: str | None = None
    workers: str = "auto"
    """A number, or `auto`."""
    devices: str | None = None
    """A number, or `all`."""
    worker: str | None = None
    hosts: str | None = None
    device: DeviceChoice = DeviceChoice.auto
    require_fast_kernel: bool = False
    threshold: str = "0.5"
    """A rule's name, or a number."""
    heartbeat: Path | None = None
    metrics_file: Path | None = None
    push_gateway: str | None = None
    track: Tracker | None = None
    hyperparameters: Mapping[str, Value | None] = field(default_factory=dict)
    """Instead of the preset's, by name; None leaves the preset's."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One run, resolved: nothing in it is a default still to be looked up."""

    preset: PresetName
    source: DataSource
    hyperparameters: dict[Architecture, Hyperparameters]
    seeds: int
    device: DeviceChoice
    require_fast_kernel: bool
    output: Path
    """The folder of this run, that of its shard included."""
    remedies: dict[Architecture, dict[str, Hyperparameters]]
    """Of the preset dependency: the networks that are trained beside the plain ones, by name."""
    teachers: dict[Architecture, Hyperparameters] = field(default_factory=dict)
    """With texts without labels: the networks whose guesses for them are learned from."""
    threshold: ThresholdRule | float = HALF
    """Above which probability a text is labelled positive, or what chooses that."""
    shard: tuple[int, int] | None = None
    """Which part of the grid this run trains, and of how many."""
    workers: int | None = None
    """How many trainings are done side by side; None for as many as there is room for."""
    devices: int | None = None
    """How many of this machine's devices train each network together; 0 for all of them, None for one."""
    peers: Peers | None = None
    """The processes that train each network together, of which this is one."""
    watch: Watch = field(default_factory=Watch)
    """Where it is to be seen from outside while it runs."""

    def trials(self) -> list[tuple[Architecture, int]]:
        """The grid of architecture and seed, or this shard's part of it, in the order of training.

        The grid is dealt out one by one, seed by seed, the architectures in turn at the front: so every shard gets its
        share of each architecture, and what it has stays its own when seeds are added.
        """
        names = list(self.hyperparameters)
        dealt = [(names[(place + seed) % len(names)], seed) for seed in range(self.seeds) for place in range(len(names))]
        index, count = self.shard or (0, 1)
        return sorted(dealt[index::count], key=lambda trial: (names.index(trial[0]), trial[1]))

    def identity(self, data_hash: str) -> "Identity":
        """What determines the run's weights and scores."""
        from job.records.run import Identity

        plain = Identity(preset=self.preset, data=data_hash, hyperparameters=self.hyperparameters)
        if self.threshold != HALF:
            plain = plain.but(threshold=self.threshold)
        if self.teachers:
            plain = plain.but(teachers=self.teachers)
        if not self.compares_distances:
            return plain
        return plain.but(distances=list(self.source.distances), remedies=self.remedies)

    @property
    def compares_distances(self) -> bool:
        """Whether each trial trains a network for every distance, as in the preset dependency."""
        return bool(self.remedies)

    def plan(self) -> "Plan":
        """What a run would do: the resolved configuration and its trials."""
        from job.records.run import Plan, PlannedTrial

        source = self.source
        plan = Plan(
            preset=self.preset,
            data=source.name,
            # Unset ones are not written, but for the two columns that were always there.
            **{"text_column": None, "label_column": None}
            | {name: value for name, value in said_of_files(source).items() if value},
            distances=list(source.distances) if source.name == "embedded" else None,
            device=self.device,
            require_fast_kernel=self.require_fast_kernel,
            threshold=self.threshold,
            output=str(self.output),
            cache=str(source.cache),
            hyperparameters=self.hyperparameters,
            remedies=self.remedies,
            seeds=self.seeds,
            shard=f"{self.shard[0]}/{self.shard[1]}" if self.shard else None,
            trainings=[PlannedTrial(architecture=name, seed=seed) for name, seed in self.trials()],
        )
        if self.devices is not None:
            plan = plan.but(devices=self.devices or "all")
        if self.peers:
            plan = plan.but(worker=f"{self.peers.index}/{len(self.peers.hosts)}", hosts=list(self.peers.hosts))
        return plan.but(teachers=self.teachers) if self.teachers else plan


def fingerprint(identity: "Identity") -> str:
    """SHA-256 of an identity, hexadecimal.

    A hyperparameter that came later has a default, and is left out where it is that, and those that went are put in as what
    stands for nothing: runs of before keep their fingerprint.
    """
    later = {each.name: each.default for each in fields(Hyperparameters) if each.default is not MISSING}

    def known(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        gone = _GONE if "epochs" in values else {}
        return gone | {name: known(value) for name, value in values.items() if name not in later or value != later[name]}

    return hashlib.sha256(json.dumps(known(identity.to_values()), sort_keys=True).encode()).hexdigest()


def resolve(request: Request) -> Configuration:
    """Resolves a preset and the options given.

    Raises:
        ConfigurationError: A value out of range, or options that contradict one another.
    """
    preset = PRESETS[request.preset]
    seeds = preset.seeds if request.seeds is None else request.seeds
    if not 1 <= seeds <= MAX_SEEDS:
        raise ConfigurationError(f"--seeds {seeds}: expected 1 to {MAX_SEEDS}")
    source = resolve_source(request)
    if request.require_fast_kernel and request.device is DeviceChoice.cpu:
        raise ConfigurationError("--require-fast-kernel is about a GPU's kernels, but --device is cpu; leave one of them out")
    chosen = _hyperparameters(preset, request)
    devices, peers = resolve_together(request.devices, request.worker, request.hosts, os.environ)
    is_group = peers is not None or devices is not None
    if is_group and request.workers not in ("auto", "1"):
        raise ConfigurationError(
            f"--workers {request.workers}: a group of processes does one training after the other; leave out --workers, or --devices, --worker and --hosts"
        )
    if is_group and preset.remedies:
        raise ConfigurationError(
            f"--preset {request.preset}: is not trained by a group of processes; leave out --devices, --worker and --hosts (or TF_CONFIG)"
        )
    part = None if request.shard is None else _shard(request.shard, len(chosen) * seeds)
    return Configuration(
        preset=request.preset,
        source=source,
        hyperparameters=chosen,
        seeds=seeds,
        device=request.device,
        require_fast_kernel=request.require_fast_kernel,
        teachers=_teachers(preset, request),
        threshold=_threshold(request.threshold, request.preset, chosen),
        output=shard_folder(request.output, *part) if part else request.output,
        remedies={
            architecture: {name: replace(chosen[architecture], **changes) for name, changes in remedies.items()}  # type: ignore[arg-type]
            for architecture, remedies in preset.remedies.items()
            if architecture in chosen
        },
        shard=part,
        workers=_workers(request.workers),
        devices=devices,
        peers=peers,
        watch=resolve_watch(request.heartbeat, request.metrics_file, request.push_gateway, request.track),
    )


def _teachers(preset: Preset, request: Request) -> dict[Architecture, Hyperparameters]:
    """Both networks, whichever are trained: so every shard and every later seed has the same teacher."""
    if request.unlabelled is None:
        if preset.teachers:
            raise ConfigurationError(
                f"--preset {request.preset}: learns from texts without labels, too; name them with --unlabelled, or use --preset {PresetName.standard}"
            )
        return {}
    networks = preset.teachers or preset.networks
    if not all(values.validation_share for values in networks.values()):
        raise ConfigurationError(
            f"--unlabelled: a teacher is weighed on validation reviews, of which --preset {request.preset} has none; leave one of them out"
        )
    return _hyperparameters(replace(preset, networks=networks), replace(request, architecture=None))


def _hyperparameters(preset: Preset, request: Request) -> dict[Architecture, Hyperparameters]:
    given = {name: value for name, value in request.hyperparameters.items() if value is not None}
    unknown = set(given) - {each.name for each in fields(Hyperparameters)}
    if unknown:
        raise ConfigurationError(f"unknown hyperparameters: {', '.join(sorted(unknown))}")
    chosen = {}
    for architecture in Architecture:
        if architecture in (request.architecture or list(Architecture)):
            values = preset.networks[architecture]
            if request.distance and "max_tokens" not in given:
                # The frame must stay in sight, however far the end is away.
                values = replace(values, max_tokens=max(values.max_tokens, max(request.distance) + CLUES))
            chosen[architecture] = replace(values, **given)  # type: ignore[arg-type]
    return chosen


def shard_folder(output: Path, index: int, count: int) -> Path:
    """Where a shard of a run writes."""
    return output / "shards" / f"{index}-of-{count}"


def _threshold(text: str, preset: PresetName, chosen: Mapping[Architecture, Hyperparameters]) -> ThresholdRule | float:
    try:
        rule: ThresholdRule | float = ThresholdRule(text) if text in list(ThresholdRule) else float(text)
    except ValueError:
        rule = -1.0
    if isinstance(rule, float) and not 0 <= rule <= 1:
        raise ConfigurationError(f"--threshold {text}: expected {', '.join(ThresholdRule)} or a number from 0 to 1")
    if rule != HALF and PRESETS[preset].remedies:
        raise ConfigurationError(
            f"--threshold {text}: is of one model, but --preset {preset} trains one for each distance; leave it out"
        )
    if isinstance(rule, ThresholdRule) and not all(values.validation_share for values in chosen.values()):
        raise ConfigurationError(
            f"--threshold {text}: is chosen on validation reviews, of which --preset {preset} has none; give a number from 0 to 1"
        )
    return rule


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    number = whole_number(text)
    if not number:
        raise ConfigurationError(f"--workers {text[:100]}: expected auto, or how many trainings to do at a time, from 1")
    return number


def _shard(text: str, trials: int) -> tuple[int, int]:
    part = part_of(text)
    if part is None:
        raise ConfigurationError(
            f"--shard {text[:100]}: expected I/N, the I-th of N shards, counted from 0 (the last is N-1/N)"
        )
    if part[1] > trials:
        raise ConfigurationError(
            f"--shard {text}: there are only {trials} trainings to share, so at most {trials} shards; lower N or raise --seeds"
        )
    return part
