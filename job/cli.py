"""The command line: arguments, environment variables and exit codes, and nothing else."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from job import signals, termination
from job.config import DataSource, DeviceChoice, LogFormat
from job.errors import OK, InputOutputError, JobError, MissingInputError
from job.presets import Architecture, PresetName

app = typer.Typer(name="sentiment-job", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="Fill the cache ahead of time, or look at a data set.")
app.add_typer(data_app, name="data")


@app.callback()
def _root() -> None:
    """Train a SimpleRNN and an LSTM on text sentiment, and report honestly how they compare."""


Cache = Annotated[
    Path | None,
    typer.Option(envvar="JOB_CACHE", help="Folder for downloads and encoded data [default: the user's cache folder]."),
]
Preset = Annotated[
    PresetName,
    typer.Option(
        envvar="JOB_PRESET",
        help="Recipe: quickstart (embedded data, half a minute), seed (the tutorial's, to the letter) or standard.",
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


def _cache(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    import platformdirs

    return Path(platformdirs.user_cache_dir("sentiment-job", appauthor=False))


@app.command()
def train(
    output: Annotated[Path, typer.Option(envvar="JOB_OUTPUT", help="Folder for the results.")] = Path("./output"),
    cache: Cache = None,
    preset: Preset = PresetName.standard,
    data: Data = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    distance: Distance = None,
    architecture: Annotated[
        list[Architecture] | None,
        typer.Option(envvar="JOB_ARCHITECTURE", help="Network to train; may be repeated [default: both]."),
    ] = None,
    seeds: Annotated[int, typer.Option(envvar="JOB_SEEDS", help="Train with the seeds 0 to N-1.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            envvar="JOB_SHARD", help="I/N: only the I-th of N parts of the trainings, from 0; writes to OUTPUT/shards/I-of-N."
        ),
    ] = None,
    device: Annotated[
        DeviceChoice, typer.Option(envvar="JOB_DEVICE", help="Where to compute; auto takes a GPU where one is present.")
    ] = DeviceChoice.auto,
    require_fast_kernel: Annotated[
        bool,
        typer.Option(
            "--require-fast-kernel",
            envvar="JOB_REQUIRE_FAST_KERNEL",
            help="End with 69 where a network would run on a slow kernel.",
        ),
    ] = False,
    epochs: Annotated[int | None, typer.Option(envvar="JOB_EPOCHS", help="Passes over the training texts at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(envvar="JOB_BATCH_SIZE", help="Texts a step.")] = None,
    units: Annotated[int | None, typer.Option(envvar="JOB_UNITS", help="Width of the recurrent layer.")] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option(envvar="JOB_VOCABULARY_SIZE", help="Token ids, the four special ones included.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(envvar="JOB_MAX_TOKENS", help="Tokens read of a text: its last ones.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(envvar="JOB_LEARNING_RATE", help="The highest of the schedule.")
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="JOB_LOG_FORMAT", help="auto draws a progress bar on a terminal.")
    ] = LogFormat.auto,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved configuration and the plan; train nothing.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run instead of continuing it.")] = False,
) -> None:
    """The job: train, evaluate, write the results."""
    from job import config

    configuration = config.resolve(
        output=output,
        cache=_cache(cache),
        preset=preset,
        data=data,
        text_column=text_column,
        label_column=label_column,
        distance=distance,
        architectures=architecture,
        seeds=seeds,
        shard=shard,
        device=device,
        require_fast_kernel=require_fast_kernel,
        overrides={
            "epochs": epochs,
            "batch_size": batch_size,
            "units": units,
            "vocabulary_size": vocabulary_size,
            "max_tokens": max_tokens,
            "learning_rate": learning_rate,
        },
    )
    from job import run
    from job.progress import make_reporter, print_summary

    if dry_run:
        _print_json(run.plan(configuration))
        return
    with make_reporter(log_format) as reporter:
        metrics = run.train(configuration, reporter, fresh)
    _leave_message(f"finished: {_summary(metrics)}")
    print_summary(metrics, str(configuration.output))


def _summary(metrics: dict[str, Any]) -> str:
    accuracies = {name: entry["summary"]["test_accuracy"]["mean"] for name, entry in metrics["architectures"].items()}
    return ", ".join(
        f"{name} test accuracy {value:.4f}" if value is not None else f"{name} diverged" for name, value in accuracies.items()
    )


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="End with 69 where no GPU works.")] = False,
) -> None:
    """Is there a GPU, and does it work?"""
    from job import device, environment
    from job.errors import DeviceError

    with environment.prepared(None, None):
        facts = device.check()
    if as_json:
        _print_json(facts)
    else:
        for key, value in facts.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            if isinstance(value, dict):
                shown = ", ".join(
                    f"{name} {', '.join(each) if isinstance(each, list) else each}" for name, each in value.items() if each
                )
            typer.echo(f"{key.replace('_', ' ')}: {'–' if shown in (None, '') else shown}")
    broken = facts["works"] is False
    if broken or (require_gpu and not facts["works"]):
        raise DeviceError(str(facts["problem"]))


@app.command()
def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD...", help="Folders of shards, or a run's folder that holds them under shards/."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the joined run.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for shards that are missing or not finished.")] = 0,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="JOB_LOG_FORMAT", help="auto draws a progress bar on a terminal.")
    ] = LogFormat.auto,
) -> None:
    """Join the runs of a sharded job into one."""
    from job import merging
    from job.progress import make_reporter, print_summary

    with make_reporter(log_format) as reporter:
        metrics = merging.merge(shards, output, wait, reporter)
    _leave_message(f"finished: {_summary(metrics)}")
    print_summary(metrics, str(output))


@app.command()
def validate(run: Annotated[Path, typer.Argument(help="A run's output folder.")]) -> None:
    """Check a run's metrics.json against its schema, and every file against its hash."""
    from job import artifacts

    count = artifacts.validate(run)
    typer.echo(f"{run}: valid; metrics.json follows its schema and {count} files are as they were written")


@data_app.command()
def fetch(
    cache: Cache = None,
    preset: Preset = PresetName.standard,
    data: Data = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    distance: Distance = None,
) -> None:
    """Fill the cache with a data set, fetched and encoded, so that training begins at once."""
    from job.data import corpus

    source = _source(cache, preset, data, text_column, label_column, distance)
    typer.echo(f"{source.name}: encoded in {corpus.fill(source)}")


@data_app.command()
def inspect(
    data: Data = None,
    cache: Cache = None,
    preset: Preset = PresetName.standard,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    distance: Distance = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what is in a data set and what is wrong with it."""
    from job.data import corpus, inspection

    report = inspection.inspect(corpus.load(_source(cache, preset, data, text_column, label_column, distance)))
    if as_json:
        _print_json(report)
        return
    for key, value in report.items():
        if key == "faults":
            for fault in value or ["none found"]:
                typer.echo(f"fault: {fault}" if value else "faults: none found")
        elif isinstance(value, dict):
            typer.echo(f"{key}: " + ", ".join(f"{name.replace('_', ' ')} {each:,}" for name, each in value.items()))
        else:
            typer.echo(f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")


def _source(cache: Path | None, preset: PresetName, data: str | None, *rest: Any) -> DataSource:
    from job import config

    names = ("text_column", "label_column", "distance")
    return config.resolve(
        output=Path("."), cache=_cache(cache), preset=preset, data=data, **dict(zip(names, rest, strict=True))
    ).source


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def _leave_message(text: str) -> None:
    termination.leave(text, os.environ.get("JOB_TERMINATION_LOG"))


def run_command_line() -> int:
    """Runs a command and returns its exit code; an expected error is one line on standard error."""
    try:
        status = app(standalone_mode=False, prog_name="sentiment-job")
        # What the standard output does not take must be known before the exit code is.
        sys.stdout.flush()
        return int(status or OK)
    except signals.Interrupted as interruption:
        _leave_message(f"stopped by {interruption}; progress is saved, the same command continues")
        raise
    except JobError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _fail("out of memory; lower --batch-size or --max-tokens, or give the job more", 1)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        missing = MissingInputError(
            "TensorFlow is not installed; use scripts/train.sh, which installs it, or `pip install 'sentiment-job[cpu]'`"
        )
        return _fail(str(missing), missing.exit_code)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            raise
        # The interpreter must not complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _fail(f"standard output: writing failed ({error.strerror})", InputOutputError.exit_code)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        # A usage error of the command line library, which brings its text and its code (2) along.
        show()
        return int(getattr(error, "exit_code", 2))


def _fail(message: str, code: int) -> int:
    line = "error: " + " ".join(message.split())
    print(line, file=sys.stderr)
    _leave_message(line)
    return code
