"""The configuration of a run, resolved from a preset and the user's options."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from job.errors import ConfigurationError
from job.presets import DISTANCES, PRESETS, REMEDIES, Architecture, Hyperparameters, PresetName


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


_DEFAULT_DATA = {
    PresetName.quickstart: "embedded",
    PresetName.seed: "imdb",
    PresetName.standard: "imdb",
    PresetName.dependency: "embedded",
}
# One training tells little of a network that learns all or nothing.
DEFAULT_SEEDS = {preset: 3 if preset is PresetName.dependency else 1 for preset in PresetName}
DEFAULT_DISTANCES = {preset: DISTANCES if preset is PresetName.dependency else (10,) for preset in PresetName}
# Tokens of a review of the embedded corpus beside its filler, and room.
CLUES = 40


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where labelled reviews come from."""

    name: str
    """`embedded`, `imdb` or a path."""
    cache: Path
    """Folder for downloads and encoded data."""
    text_column: str | None = None
    label_column: str | None = None
    distances: tuple[int, ...] = (10,)
    """Filler tokens between the two clues of the embedded corpus; its reviews are of each distance in turn."""


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
    shard: tuple[int, int] | None = None
    """Which part of the grid this run trains, and of how many."""

    def trainings(self) -> list[tuple[Architecture, int]]:
        """The grid of architecture and seed, or this shard's part of it, in the order of training.

        The grid is dealt out one by one, seed by seed, the architectures in turn at the front: so every shard gets its
        share of each, and what it has stays its own when seeds are added.
        """
        names = list(self.hyperparameters)
        dealt = [(names[(place + seed) % len(names)], seed) for seed in range(self.seeds) for place in range(len(names))]
        index, count = self.shard or (0, 1)
        return sorted(dealt[index::count], key=lambda each: (names.index(each[0]), each[1]))

    def identity(self, data_hash: str) -> dict[str, Any]:
        """What determines a run's weights and scores, as JSON values."""
        networks = {str(name): asdict(values) for name, values in self.hyperparameters.items()}
        identity: dict[str, Any] = {"preset": str(self.preset), "data": data_hash, "hyperparameters": networks}
        if self.preset is PresetName.dependency:
            identity["distances"] = list(self.source.distances)
            identity["remedies"] = {
                str(architecture): {name: asdict(values) for name, values in each.items()}
                for architecture, each in self.remedies.items()
            }
        return identity


def fingerprint(identity: dict[str, Any]) -> str:
    """SHA-256 of an identity, hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def resolve(
    *,
    output: Path,
    cache: Path,
    preset: PresetName = PresetName.standard,
    data: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    distances: list[int] | None = None,
    architectures: list[Architecture] | None = None,
    seeds: int | None = None,
    device: DeviceChoice = DeviceChoice.auto,
    require_fast_kernel: bool = False,
    overrides: dict[str, int | float | None] | None = None,
    shard: str | None = None,
) -> Configuration:
    """Resolves a preset and the options given.

    Raises:
        ConfigurationError: A value out of range, or options that contradict one another.
    """
    name = data or _DEFAULT_DATA[preset]
    seeds = DEFAULT_SEEDS[preset] if seeds is None else seeds
    if seeds < 1:
        raise ConfigurationError(f"--seeds {seeds}: expected 1 or more")
    if preset is PresetName.dependency and name != "embedded":
        raise ConfigurationError(
            f"--preset dependency needs to know how far apart the deciding words are, but --data is {name}; leave it out"
        )
    if distances and name != "embedded":
        raise ConfigurationError(f"--distance is of the embedded corpus, but --data is {name}; leave one of them out")
    for distance in distances or []:
        if not 2 <= distance <= 10_000:
            raise ConfigurationError(
                f"--distance {distance}: expected 2 to 10000 tokens (next to each other, the clues are a word pair)"
            )
    if distances and len(distances) > 1 and preset is not PresetName.dependency:
        raise ConfigurationError(f"--distance is given {len(distances)} times, which is of --preset dependency; give one")
    chosen_distances = tuple(sorted(set(distances))) if distances else DEFAULT_DISTANCES[preset]
    if (text_column or label_column) and name in ("embedded", "imdb"):
        raise ConfigurationError(f"--text-column and --label-column are of a file, but --data is {name}; leave them out")
    if require_fast_kernel and device is DeviceChoice.cpu:
        raise ConfigurationError("--require-fast-kernel is about a GPU's kernels, but --device is cpu; leave one of them out")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    unknown = set(given) - {field.name for field in fields(Hyperparameters)}
    if unknown:
        raise ConfigurationError(f"unknown hyperparameters: {', '.join(sorted(unknown))}")
    chosen = {}
    for architecture in Architecture:
        if architecture in (architectures or list(Architecture)):
            values = PRESETS[preset][architecture]
            if distances and "max_tokens" not in given:
                # The frame must stay in sight, however far the end is away.
                values = replace(values, max_tokens=max(values.max_tokens, max(distances) + CLUES))
            chosen[architecture] = replace(values, **given)  # type: ignore[arg-type]
    remedies = {}
    if preset is PresetName.dependency:
        remedies = {
            architecture: {name: replace(values, **changes) for name, changes in REMEDIES[architecture].items()}
            for architecture, values in chosen.items()
        }
    part = _shard(shard, len(chosen) * seeds) if shard else None
    return Configuration(
        preset=preset,
        source=DataSource(
            name=name,
            cache=cache,
            text_column=text_column,
            label_column=label_column,
            distances=chosen_distances,
        ),
        hyperparameters=chosen,
        seeds=seeds,
        device=device,
        require_fast_kernel=require_fast_kernel,
        output=shard_folder(output, *part) if part else output,
        remedies=remedies,
        shard=part,
    )


def shard_folder(output: Path, index: int, count: int) -> Path:
    """Where a shard of a run writes."""
    return output / "shards" / f"{index}-of-{count}"


def _shard(text: str, trainings: int) -> tuple[int, int]:
    index, separator, count = text.partition("/")
    if not separator or not index.isdecimal() or not count.isdecimal() or not int(index) < int(count):
        raise ConfigurationError(f"--shard {text}: expected I/N, the I-th of N shards, counted from 0 (the last is N-1/N)")
    if int(count) > trainings:
        raise ConfigurationError(
            f"--shard {text}: there are only {trainings} trainings to share, so at most {trainings} shards; lower N or raise --seeds"
        )
    return int(index), int(count)
