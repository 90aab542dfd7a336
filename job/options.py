"""The commands' options: names, environment variables and help; and how they become one request."""

import difflib
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from job.config import LogFormat, Request
from job.presets import OPTIONS as HYPERPARAMETERS
from job.presets import Hyperparameters, option
from job.source import DataRequest

log = logging.getLogger(__name__)


def path(text: str | Path) -> Path:
    """Reads a path. What a script leaves of a variable that is not set would be the working folder.

    Whether it may be read is found out where it is, with the exit code that belongs to it.
    """
    if not str(text).strip():
        raise typer.BadParameter("is empty; expected a path.")
    return Path(text)


def _named(name: str, text: str, default: str | None = None, parser: Callable[[str], Any] | None = None) -> Any:
    """An option with its environment variable.

    Args:
        default: In words, where the value itself does not say it.
        parser: By default that of its type.
    """
    return typer.Option(option(name), envvar=f"JOB_{name.upper()}", help=text, show_default=default or True, parser=parser)


# In the order of the help: what it says, and the default in words where the value itself does not say it.
_TEXTS: dict[str, tuple[str, str | None]] = {
    "output": ("Folder for the results.", None),
    "cache": ("Folder for downloads and encoded data.", "the user's cache folder"),
    "preset": (
        "Recipe: quickstart (embedded data, a minute), seed (the tutorial's, to the letter), standard, semi (standard, and texts without labels), or dependency (how far back each network remembers).",
        None,
    ),
    "data": ("embedded, imdb, or the path of labelled texts: a table or a folder.", "by preset"),
    "test_data": ("Path of the test part, where it lies elsewhere.", None),
    "validation_data": ("Path of the validation part, where it lies elsewhere.", None),
    "unlabelled": ("Path of texts without labels, to learn from them as well.", None),
    "text_column": ("Column of the text, where its name is unusual.", None),
    "label_column": ("Column of the label, where its name is unusual.", None),
    "split_column": ("Column that says train, validation or test, where its name is unusual.", None),
    "group_column": ("Column of what must stay together (customer, film, author): no group is on two sides of a split.", None),
    "id_column": ("Column whose values go into predictions.csv.", None),
    "positive": ("A label that means positive; may be repeated. Rows of labels that are not named are left out.", None),
    "negative": ("A label that means negative; may be repeated.", None),
    "encoding": ("Encoding of files of text, such as cp1252.", "UTF-8, or what a byte-order mark says"),
    "no_header": ("The first line of a .csv or .tsv is a row: columns are called 1, 2, ….", None),
    "distance": (
        "Tokens between the two clues of the embedded corpus; with the preset dependency it may be repeated.",
        "10, or by preset",
    ),
    "architecture": ("Network to train; may be repeated.", "both"),
    "seeds": ("Train with the seeds 0 to N-1.", "1, with the preset dependency 3"),
    "shard": ("I/N: only the I-th of N parts of the trainings, from 0; writes to OUTPUT/shards/I-of-N.", None),
    "workers": (
        "Trainings done side by side, each in a process of its own: a number, or auto for as many as cores and memory allow.",
        None,
    ),
    "devices": ("Devices of this machine that train each network together: a number, or all.", "one"),
    "worker": ("I/N: this is the I-th of N processes, from 0, that train each network together; with --hosts.", None),
    "hosts": ("HOST:PORT of each of these processes, with commas between; of the first one the next port, too.", None),
    "device": ("Where to compute; auto takes a GPU where one is present.", None),
    "require_fast_kernel": ("End with 69 where a network would run on a slow kernel.", None),
    "heartbeat": ("File that is written anew at each sign of life, for a probe that ends what hangs.", None),
    "metrics_file": ("File for the run's figures, in Prometheus's text format; its name ends in .prom.", None),
    "push_gateway": ("URL of a Prometheus Pushgateway that is told the same figures.", None),
    "track": ("mlflow: keep track of the run on the server that MLFLOW_TRACKING_URI names.", None),
    "epochs": ("Passes over the training texts at most.", "by preset"),
    "batch_size": ("Texts a step.", "by preset"),
    "units": ("Width of the recurrent layer.", "by preset"),
    "vocabulary_size": ("Token ids, the four special ones included.", "by preset"),
    "max_tokens": ("Tokens read of a text: its last ones.", "by preset"),
    "learning_rate": ("The highest of the schedule.", "by preset"),
    "threshold": (
        "Label as positive above this probability: a number, or accuracy, f1 or balanced for the one that is best by it on validation data.",
        None,
    ),
    "class_weight": ("balanced: errors on the rarer class count the more, so that both classes count the same.", "none"),
}
SETTINGS = (*_TEXTS, "log_format")
"""All that a variable of the environment can set: its name, in capitals, comes after JOB_."""
# Of the termination message, of scripts/environment.sh, and what Kubernetes sets in an Indexed Job.
_OTHER_VARIABLES = ("JOB_TERMINATION_LOG", "JOB_PYTHON", "JOB_COMPLETION_INDEX")
# What Kubernetes sets for a service whose name begins with "job".
_OF_A_SERVICE = re.compile(r"JOB_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_PROTO|_PORT|_ADDR)?)?)")
Format = Annotated[LogFormat, _named("log_format", "auto draws a progress bar on a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved configuration and the plan; train nothing.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run instead of continuing it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Run = Annotated[Path, typer.Argument(help="A finished run's output folder.", parser=path)]


def set_by() -> dict[str, str]:
    """How each setting can be set: by its option and its variable. What is not among them is the preset's."""
    return {name: f"{option(name)} or JOB_{name.upper()}" for name in SETTINGS}


def warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    """Warns of each variable that looks like one of ours and is none: a misspelt setting would be ignored in silence."""
    known = [*(f"JOB_{name.upper()}" for name in SETTINGS), *_OTHER_VARIABLES]
    for name in sorted(environment):
        if name.startswith("JOB_") and name not in known and not _OF_A_SERVICE.fullmatch(name):
            near = difflib.get_close_matches(name, known, 1, 0.75)
            log.warning(
                f"the environment variable {name} is not known and is ignored" + (f"; did you mean {near[0]}?" if near else "")
            )


def takes_request(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command take a request's fields as options and hands them to it as one `Request` or `DataRequest`.

    So a setting is written where it is defined (job/config.py, job/presets.py) and where it is explained (here).

    Args:
        left_out: Fields that the command does not have.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own, hints = inspect.signature(command).parameters, get_type_hints(command, include_extras=True)
        (name,) = (each for each in own if hints[each] in (DataRequest, Request))
        kind = hints[name]
        options = _parameters(kind, left_out)
        parameters = [
            *options,
            *(own[each].replace(annotation=hints[each], kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each != name),
        ]

        def run(**values: Any) -> None:
            settings = {each.name: values.pop(each.name) for each in options}
            hyperparameters = {each: settings.pop(each) for each in HYPERPARAMETERS if each in settings}
            if hyperparameters:
                settings["hyperparameters"] = hyperparameters
            command(**{name: kind(**settings)}, **values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _parameters(kind: type[DataRequest], left_out: tuple[str, ...]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind)
    made = {each.name: (hints[each.name], each.default) for each in fields(kind) if each.default is not MISSING}
    if kind is Request:
        types = get_type_hints(Hyperparameters)
        made |= {name: (types[name] | None, None) for name in HYPERPARAMETERS}
    parameters = []
    for name, (text, default) in _TEXTS.items():
        if name in made and name not in left_out:
            # Where there is no preset, nothing is left to it.
            shown = None if "preset" in left_out and default and "preset" in default else default
            parser = path if Path in (made[name][0], *get_args(made[name][0])) else None
            annotation: Any = Annotated[made[name][0], _named(name, text, shown, parser)]
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=made[name][1], annotation=annotation)
            )
    return parameters
