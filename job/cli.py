"""The commands: their arguments and environment variables, and nothing else. What runs them is in job/command_line.py."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import job
from job import options, platforms, progress
from job.config import LogFormat, Request, resolve
from job.errors import ConfigurationError
from job.machine import terminal, termination
from job.peers import resolve_together
from job.presets import ModelName
from job.source import DataRequest, resolve_source

if TYPE_CHECKING:
    from job.records.metrics import Metrics

# What is no file of text lines, beside tables.
_NO_LINES = (".gz", ".zst", ".zip", ".tar", ".tgz", ".bz2", ".xz", ".xlsx", ".xls", ".npz")

# A hundred days.
_LONGEST_WAIT = 100 * 24 * 3600

app = typer.Typer(name="sentiment-job", no_args_is_help=True, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="Fill the cache ahead of time, or look at a data set.")
app.add_typer(data_app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sentiment-job {job.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train a SimpleRNN and an LSTM on text sentiment, and report honestly how they compare."""


@app.command()
@options.takes_request()
def train(
    request: Request,
    log_format: options.Format = LogFormat.auto,
    dry_run: options.DryRun = False,
    fresh: options.Fresh = False,
) -> None:
    """The job: train, evaluate, write the results."""
    configuration = resolve(request)
    if dry_run:
        from job import tables

        options.warn_of_unknown_variables(os.environ)
        tables.print_json(configuration.plan().to_values() | {"set_by": options.set_by()})
        return
    from job.commands import train
    from job.telemetry.observed import observed

    with progress.shown(log_format) as display:
        options.warn_of_unknown_variables(os.environ)
        is_chief = configuration.peers is None or configuration.peers.is_chief
        with observed(display, configuration.watch, os.environ, is_chief) as observers:
            metrics = train.train(configuration, observers, fresh)
        if metrics is not None and (platform := platforms.find(os.environ)):
            from job.commands import delivery

            delivery.deliver(configuration.output, platform.model, platform.tensorboard)
    if metrics is not None:
        _finish(metrics, configuration.output, log_format)


@app.command()
def check(
    as_json: options.AsJson = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="End with 69 where no GPU works.")] = False,
    devices: Annotated[str | None, typer.Option(help="Sum a vector over so many devices of this machine, or all.")] = None,
    worker: Annotated[str | None, typer.Option(help="I/N: sum it over N machines, of which this is the I-th.")] = None,
    hosts: Annotated[str | None, typer.Option(help="HOST:PORT of each of these, with commas between.")] = None,
) -> None:
    """Is there a GPU, and does it work?"""
    from job import tables
    from job.commands import check

    found = check.check(*resolve_together(devices, worker, hosts, {}))
    if as_json:
        tables.print_json(found.to_values())
    else:
        tables.print_check(found.to_values())
    check.judge(found, require_gpu)


@app.command()
def predict(
    run: options.Run,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to judge.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="File with one text a line; - for standard input.", parser=options.path)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Table of texts, of the kinds that train reads.", parser=options.path)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File for the judged table: .csv, .tsv, .jsonl or .parquet.",
            show_default="CSV on standard output",
            parser=options.path,
        ),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text, where its name is unusual.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the table.", show_default="UTF-8, or what a byte-order mark says")
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line of a .csv or .tsv is a row: columns are called 1, 2, ….")
    ] = False,
    architecture: Annotated[
        ModelName | None,
        typer.Option(
            help="Whose model.", show_default="the ensemble or the baseline where it beats the others, else the better network"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Judge texts: one line each, in order, with the probability of being positive and the label."""
    from job.commands import predict, predict_table
    from job.data import pipes, sheet, sheets

    if [bool(texts), file is not None, data is not None].count(True) != 1:
        raise typer.BadParameter(
            "give texts as arguments, or name a file of them with --file (- for standard input), or a table with --data"
        )
    if data is None and (output or text_column or encoding or no_header):
        raise typer.BadParameter("--output, --text-column, --encoding and --no-header need a table; name one with --data")
    if output is not None and not output.name.lower().endswith(predict_table.OUTPUTS):
        raise typer.BadParameter(f"--output {output}: expected a name that ends in {', '.join(predict_table.OUTPUTS)}")
    if file is not None and (sheet.kind(file) not in (None, ".txt") or file.name.lower().endswith(_NO_LINES)):
        raise typer.BadParameter(
            f"--file {file}: by its name, this is not a file of text lines; name a table with --data {file}"
        )
    from job.machine import environment
    from job.output.finished import VerifiedRun

    stream = predict.opened(file) if file else None
    if data is not None and pipes.is_pipe(str(data)):
        data = pipes.as_file(str(data), None)
    table = sheets.open_sheet(data, encoding, not no_header) if data else None
    with environment.prepared(None, None):
        predictor = predict.load(VerifiedRun.verify(run), architecture)
        if table is not None:
            # A table is UTF-8, in whatever language its reader is: this is no text for people.
            stdout: Any = sys.stdout
            stdout.reconfigure(encoding="utf-8", newline="")
            predict_table.judge(predictor, table, text_column, output, (stdout, ".jsonl" if as_json else ".csv"))
            return
        pieces = predict.pieces(stream, str(file)) if stream else iter([texts or []])
        for answers in predict.predict(predictor, pieces):
            for answer in answers:
                line = f"{answer.probability:.6f}\t{answer.label}"
                sys.stdout.write((json.dumps(vars(answer)) if as_json else line) + "\n")
            sys.stdout.flush()


@app.command()
@options.takes_request("preset", "test_data", "validation_data", "unlabelled", "group_column", "id_column")
def evaluate(request: DataRequest, run: options.Run, as_json: options.AsJson = False) -> None:
    """Score a run's models on other labelled data, with intervals."""
    if request.data is None:
        raise typer.BadParameter("name the labelled texts with --data (embedded, imdb or a path)")
    from job import tables
    from job.commands import evaluate
    from job.machine import environment

    source = resolve_source(request)
    options.warn_of_unknown_variables(os.environ)
    with environment.prepared(None, source.cache):
        found = evaluate.evaluate(run, source)
    if as_json:
        tables.print_json(tables.evaluation_values(found))
    else:
        tables.print_evaluation(found)


@app.command()
def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(
            metavar="SHARD...", help="Folders of shards, or a run's folder that holds them under shards/.", parser=options.path
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the joined run.", parser=options.path)],
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for shards that are missing or not finished, once the first one has begun."),
    ] = 0,
    log_format: options.Format = LogFormat.auto,
) -> None:
    """Join the runs of a sharded job into one."""
    from job.commands import merge
    from job.machine import environment

    # Infinity and what is no number pass for numbers above 0.
    if not wait <= _LONGEST_WAIT:
        raise ConfigurationError(f"--wait {wait:g}: expected 0 to {_LONGEST_WAIT} seconds")
    with progress.shown(log_format), environment.prepared(output, None):
        options.warn_of_unknown_variables(os.environ)
        metrics = merge.merge(shards, output, wait)
    _finish(metrics, output, log_format)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs' output folders.", parser=options.path)],
) -> None:
    """Write a run's HTML report again, or one that compares several runs into the first one's folder."""
    from job.commands import report
    from job.machine import environment

    with environment.prepared(runs[0], None):
        typer.echo(terminal.visible(str(report.write(runs))))


@app.command()
def validate(run: options.Run) -> None:
    """Check a run's metrics.json against its schema, and every file against its hash."""
    from job.commands import validate

    count = validate.validate(run)
    typer.echo(terminal.visible(f"{run}: valid; metrics.json follows its schema and {count} files are as they were written"))


@data_app.command()
@options.takes_request()
def fetch(request: DataRequest) -> None:
    """Fill the cache with a data set, fetched and encoded, so that training begins at once."""
    from job.commands import data

    source = resolve_source(request)
    options.warn_of_unknown_variables(os.environ)
    typer.echo(terminal.visible(f"{source.name}: encoded in {data.fetch(source)}"))


@data_app.command()
@options.takes_request()
def inspect(request: DataRequest, as_json: options.AsJson = False) -> None:
    """Tell what is in a data set and what is wrong with it."""
    from job import tables
    from job.commands import data

    source = resolve_source(request)
    options.warn_of_unknown_variables(os.environ)
    found = data.inspect(source)
    if as_json:
        tables.print_json(found)
    else:
        tables.print_inspection(found)


def _finish(metrics: "Metrics", folder: Path, log_format: LogFormat) -> None:
    from job import tables

    termination.leave(f"finished: {tables.summarize(metrics)}", os.environ.get("JOB_TERMINATION_LOG"))
    if log_format is LogFormat.json:
        tables.print_summary_line(metrics, folder)
    else:
        tables.print_summary(metrics, folder)
