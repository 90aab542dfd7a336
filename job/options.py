"""The options and arguments of the commands: their names, variables and help."""

from pathlib import Path
from typing import Annotated

import typer

from job.config import DeviceChoice, LogFormat
from job.presets import Architecture, PresetName

Cache = Annotated[
    Path | None,
    typer.Option(envvar="JOB_CACHE", help="Folder for downloads and encoded data [default: the user's cache folder]."),
]
Preset = Annotated[
    PresetName,
    typer.Option(
        envvar="JOB_PRESET",
        help="Recipe: quickstart (embedded data, half a minute), seed (the tutorial's, to the letter), standard, or dependency (how far back each network remembers).",
    ),
]
Data = Annotated[
    str | None, typer.Option(envvar="JOB_DATA", help="embedded, imdb, or the path of labelled texts [default: by preset].")
]
TextColumn = Annotated[
    str | None, typer.Option(envvar="JOB_TEXT_COLUMN", help="Column of the text, where its name is unusual.")
]
LabelColumn = Annotated[
    str | None, typer.Option(envvar="JOB_LABEL_COLUMN", help="Column of the label, where its name is unusual.")
]
Distance = Annotated[
    int | None, typer.Option(envvar="JOB_DISTANCE", help="Tokens between the two clues of the embedded corpus [default: 10].")
]
Distances = Annotated[
    list[int] | None,
    typer.Option(
        "--distance",
        envvar="JOB_DISTANCE",
        help="Tokens between the two clues of the embedded corpus; of dependency it may be repeated [default: 10, or by preset].",
    ),
]


Output = Annotated[Path, typer.Option(envvar="JOB_OUTPUT", help="Folder for the results.")]
Architectures = Annotated[
    list[Architecture] | None,
    typer.Option(envvar="JOB_ARCHITECTURE", help="Network to train; may be repeated [default: both]."),
]
Seeds = Annotated[
    int | None, typer.Option(envvar="JOB_SEEDS", help="Train with the seeds 0 to N-1 [default: 1, of dependency 3].")
]
Shard = Annotated[
    str | None,
    typer.Option(
        envvar="JOB_SHARD", help="I/N: only the I-th of N parts of the trainings, from 0; writes to OUTPUT/shards/I-of-N."
    ),
]
Device = Annotated[
    DeviceChoice, typer.Option(envvar="JOB_DEVICE", help="Where to compute; auto takes a GPU where one is present.")
]
RequireFastKernel = Annotated[
    bool,
    typer.Option(
        "--require-fast-kernel",
        envvar="JOB_REQUIRE_FAST_KERNEL",
        help="End with 69 where a network would run on a slow kernel.",
    ),
]
Epochs = Annotated[int | None, typer.Option(envvar="JOB_EPOCHS", help="Passes over the training texts at most.")]
BatchSize = Annotated[int | None, typer.Option(envvar="JOB_BATCH_SIZE", help="Texts a step.")]
Units = Annotated[int | None, typer.Option(envvar="JOB_UNITS", help="Width of the recurrent layer.")]
VocabularySize = Annotated[
    int | None, typer.Option(envvar="JOB_VOCABULARY_SIZE", help="Token ids, the four special ones included.")
]
MaxTokens = Annotated[int | None, typer.Option(envvar="JOB_MAX_TOKENS", help="Tokens read of a text: its last ones.")]
LearningRate = Annotated[float | None, typer.Option(envvar="JOB_LEARNING_RATE", help="The highest of the schedule.")]
Format = Annotated[LogFormat, typer.Option(envvar="JOB_LOG_FORMAT", help="auto draws a progress bar on a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved configuration and the plan; train nothing.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run instead of continuing it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Run = Annotated[Path, typer.Argument(help="A finished run's output folder.")]
