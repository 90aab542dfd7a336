"""The command line: arguments, environment variables and exit codes, and nothing else."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from job import options
from job.config import DataSource, DeviceChoice, LogFormat
from job.errors import OK, InputOutputError, JobError, MissingInputError
from job.machine import signals, termination
from job.presets import Architecture, PresetName

app = typer.Typer(name="sentiment-job", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="Fill the cache ahead of time, or look at a data set.")
app.add_typer(data_app, name="data")


@app.callback()
def _root() -> None:
    """Train a SimpleRNN and an LSTM on text sentiment, and report honestly how they compare."""


def _cache(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    import platformdirs

    return Path(platformdirs.user_cache_dir("sentiment-job", appauthor=False))


@app.command()
def train(
    output: options.Output = Path("./output"),
    cache: options.Cache = None,
    preset: options.Preset = PresetName.standard,
    data: options.Data = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    distance: options.Distances = None,
    architecture: options.Architectures = None,
    seeds: options.Seeds = None,
    shard: options.Shard = None,
    device: options.Device = DeviceChoice.auto,
    require_fast_kernel: options.RequireFastKernel = False,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    units: options.Units = None,
    vocabulary_size: options.VocabularySize = None,
    max_tokens: options.MaxTokens = None,
    learning_rate: options.LearningRate = None,
    log_format: options.Format = LogFormat.auto,
    dry_run: options.DryRun = False,
    fresh: options.Fresh = False,
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
        distances=distance,
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
    from job.commands import train as run
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
    as_json: options.AsJson = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="End with 69 where no GPU works.")] = False,
) -> None:
    """Is there a GPU, and does it work?"""
    from job.errors import DeviceError
    from job.machine import device, environment
    from job.progress import print_facts

    with environment.prepared(None, None):
        facts = device.check()
    if as_json:
        _print_json(facts)
    else:
        print_facts(facts)
    broken = facts["works"] is False
    if broken or (require_gpu and not facts["works"]):
        raise DeviceError(str(facts["problem"]))


@app.command()
def predict(
    run: options.Run,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to judge.")] = None,
    file: Annotated[Path | None, typer.Option(help="File with one text a line; - for standard input.")] = None,
    architecture: Annotated[
        Architecture | None, typer.Option(help="Whose model [default: the better one on validation data].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Judge texts: one line each, in order, with the probability of being positive and the label."""
    from job.machine import environment
    from job.network import predictor as prediction

    if bool(texts) == (file is not None):
        raise typer.BadParameter("give texts as arguments, or name a file of them with --file (- for standard input)")
    try:
        stream = sys.stdin.buffer if str(file) == "-" else file.open("rb") if file else None
    except OSError as error:
        raise MissingInputError(f"{file}: cannot be read ({error.strerror}); expected a file with one text a line") from None
    with environment.prepared(None, None):
        predictor = prediction.load(run, architecture)
        pieces = prediction.pieces(stream, str(file)) if stream else iter([texts or []])
        for answers in prediction.predict(predictor, pieces):
            for each in answers:
                sys.stdout.write(json.dumps(each) + "\n" if as_json else f"{each['probability']:.6f}\t{each['label']}\n")
            sys.stdout.flush()


@app.command()
def evaluate(
    run: options.Run,
    data: options.Data = None,
    cache: options.Cache = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    distance: options.Distance = None,
    as_json: options.AsJson = False,
) -> None:
    """Score a run's models on other labelled data, with intervals."""
    from job.commands import evaluate as assessment
    from job.machine import environment
    from job.progress import print_assessment

    if data is None:
        raise typer.BadParameter("name the labelled texts with --data (embedded, imdb or a path)")
    source = _source(cache, PresetName.standard, data, text_column, label_column, None if distance is None else [distance])
    with environment.prepared(None, source.cache):
        found = assessment.assess(run, source)
    if as_json:
        _print_json(found)
    else:
        print_assessment(found)


@app.command()
def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD...", help="Folders of shards, or a run's folder that holds them under shards/."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the joined run.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for shards that are missing or not finished.")] = 0,
    log_format: options.Format = LogFormat.auto,
) -> None:
    """Join the runs of a sharded job into one."""
    from job.commands import merge as merging
    from job.machine import environment
    from job.progress import make_reporter, print_summary

    with make_reporter(log_format) as reporter, environment.prepared(output, None):
        metrics = merging.merge(shards, output, wait, reporter)
    _leave_message(f"finished: {_summary(metrics)}")
    print_summary(metrics, str(output))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs' output folders.")],
) -> None:
    """Write a run's HTML report again, or one that compares several runs into the first one's folder."""
    from job.machine import environment
    from job.report import page as reports

    with environment.prepared(runs[0], None):
        typer.echo(str(reports.rewrite(runs)))


@app.command()
def validate(run: options.Run) -> None:
    """Check a run's metrics.json against its schema, and every file against its hash."""
    from job.output import finished as validation

    count = validation.validate(run)
    typer.echo(f"{run}: valid; metrics.json follows its schema and {count} files are as they were written")


@data_app.command()
def fetch(
    cache: options.Cache = None,
    preset: options.Preset = PresetName.standard,
    data: options.Data = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    distance: options.Distances = None,
) -> None:
    """Fill the cache with a data set, fetched and encoded, so that training begins at once."""
    from job.commands import data as data_sets

    source = _source(cache, preset, data, text_column, label_column, distance)
    typer.echo(f"{source.name}: encoded in {data_sets.fetch(source)}")


@data_app.command()
def inspect(
    data: options.Data = None,
    cache: options.Cache = None,
    preset: options.Preset = PresetName.standard,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    distance: options.Distances = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell what is in a data set and what is wrong with it."""
    from dataclasses import asdict

    from job.commands import data as data_sets
    from job.data import corpus
    from job.progress import print_inspection

    report = asdict(data_sets.inspect(corpus.load(_source(cache, preset, data, text_column, label_column, distance))))
    if as_json:
        _print_json(report)
        return
    print_inspection(report)


def _source(cache: Path | None, preset: PresetName, data: str | None, *rest: Any) -> DataSource:
    from job import config

    names = ("text_column", "label_column", "distances")
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
