"""Where labelled reviews come from: as a user says it, and resolved."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from job.errors import ConfigurationError
from job.presets import PRESETS, PresetName, option


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What a user says of the data; None leaves it to the preset, or to what is found. Each field is an option."""

    cache: Path | None = None
    preset: PresetName = PresetName.standard
    data: str | None = None
    test_data: str | None = None
    validation_data: str | None = None
    unlabelled: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    id_column: str | None = None
    positive: list[str] | None = None
    negative: list[str] | None = None
    encoding: str | None = None
    no_header: bool = False
    distance: list[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A table's columns, as the user names them; None leaves them to be found."""

    text: str | None = None
    label: str | None = None
    split: str | None = None
    """Says which part a row belongs to."""
    group: str | None = None
    """Rows of one group stay together; never found, only named."""
    id: str | None = None
    """Goes with the predictions; never found, only named."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where labelled reviews come from."""

    name: str
    """`embedded`, `imdb` or a path."""
    cache: Path
    """Folder for downloads and encoded data."""
    test: str | None = None
    """Path of the test part, where it lies elsewhere."""
    validation: str | None = None
    """Path of the validation part, where it lies elsewhere."""
    unlabelled: str | None = None
    """Path of texts without labels, to learn from them as well."""
    columns: Columns = Columns()
    positive: tuple[str, ...] = ()
    """Labels that are read as positive; rows of labels that are named nowhere are left out."""
    negative: tuple[str, ...] = ()
    encoding: str | None = None
    """Of files of text; by default what a byte-order mark says, else UTF-8."""
    header: bool = True
    """Whether the first line of a .csv or .tsv names the columns."""
    keeps_html: bool = False
    """Whether tags and entities are read as words, for models that read them so."""
    distances: tuple[int, ...] = (10,)
    """Filler tokens between the two clues of the embedded corpus; its reviews are of each distance in turn."""


def resolve_source(request: DataRequest) -> DataSource:
    """Where the data come from.

    Raises:
        ConfigurationError: A value out of range, or options that contradict one another.
    """
    _refuse_blanks(request)
    preset = PRESETS[request.preset]
    name = request.data or preset.data
    distances = request.distance or []
    if preset.remedies and name != "embedded":
        raise ConfigurationError(
            f"--preset {request.preset} needs to know how far apart the deciding words are, but --data is {name}; leave it out"
        )
    if distances and name != "embedded":
        raise ConfigurationError(f"--distance is of the embedded corpus, but --data is {name}; leave one of them out")
    for distance in distances:
        if not 2 <= distance <= 10_000:
            raise ConfigurationError(
                f"--distance {distance}: expected 2 to 10000 tokens (next to each other, the clues are a word pair)"
            )
    if len(distances) > 1 and not preset.remedies:
        raise ConfigurationError(f"--distance is given {len(distances)} times, which is of --preset dependency; give one")
    columns = Columns(
        text=request.text_column,
        label=request.label_column,
        split=request.split_column,
        group=request.group_column,
        id=request.id_column,
    )
    source = DataSource(
        name=name,
        cache=request.cache or _default_cache(),
        test=request.test_data,
        validation=request.validation_data,
        unlabelled=request.unlabelled,
        columns=columns,
        positive=tuple(request.positive or ()),
        negative=tuple(request.negative or ()),
        encoding=request.encoding,
        header=not request.no_header,
        distances=tuple(sorted(set(distances))) or preset.distances,
    )
    given = said_of_labelled_files(source) if name == "imdb" else _said(source)
    if given and name in ("embedded", "imdb"):
        raise ConfigurationError(
            f"{' and '.join(given)}: for files only, but --data is {name}; leave {'it' if len(given) == 1 else 'them'} out"
        )
    return source


def _refuse_blanks(request: DataRequest) -> None:
    """What a script leaves of a variable that is not set would be taken for the working folder, or for nothing said."""
    for each in fields(request):
        value = getattr(request, each.name)
        if isinstance(value, str) and not value.strip():
            raise ConfigurationError(f"{option(each.name)}: is empty; expected a value, or leave it out")


def _default_cache() -> Path:
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("sentiment-job", appauthor=False))
    except RuntimeError:
        # A user without a home, as containers have them: a place where nothing can be kept.
        return Path(os.devnull, "no-home")


def said_of_files(source: DataSource) -> dict[str, Any]:
    """What the user said that only makes sense of files, by the options' names."""
    return {
        "test_data": source.test,
        "validation_data": source.validation,
        "unlabelled": source.unlabelled,
        **{f"{each.name}_column": getattr(source.columns, each.name) for each in fields(Columns)},
        "positive": list(source.positive),
        "negative": list(source.negative),
        "encoding": source.encoding,
        "no_header": not source.header,
    }


def said_of_labelled_files(source: DataSource) -> list[str]:
    """The options given that make no sense where the labelled reviews are an .npz's: `["--test-data"]`.

    All of files but --unlabelled, and where that is given, those by which its texts are read.
    """
    of_unlabelled = ("unlabelled", "text_column", "encoding", "no_header") if source.unlabelled else ()
    return _said(source, *of_unlabelled)


def _said(source: DataSource, *but: str) -> list[str]:
    return [option(name) for name, value in said_of_files(source).items() if value and name not in but]
