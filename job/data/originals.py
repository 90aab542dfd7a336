"""Texts as they stand in their source, punctuation and all: of an encoded review there are its words alone."""

import logging
from collections.abc import Collection
from pathlib import Path

from job.data.sources import open_source
from job.data.tokens import content_hash, tokenize
from job.errors import JobError
from job.source import DataSource

log = logging.getLogger(__name__)

Key = tuple[int, int]
"""A review's row, and the hash of its words: a text that has changed since is not taken for what a network read."""


def holds_texts(name: str) -> bool:
    """Whether a source of this name holds texts; Keras's file holds numbers that stand for words."""
    return name != "imdb" and Path(name).suffix.lower() != ".npz"


def find(source: DataSource, wanted: Collection[Key]) -> dict[Key, str]:
    """Those of the wanted texts that the source still holds. It is read once more, up to the last of them.

    A source that cannot be read any more costs its texts, and a warning, but no run.
    """
    missing, found = set(wanted), dict[Key, str]()
    if not missing or not holds_texts(source.name):
        return found
    rows = {row for row, _ in missing}
    try:
        opened = open_source(source)
        for row, text in opened.texts():
            # Few rows are wanted, and splitting all of them into words would take most of the time.
            if row in rows and (key := (row, content_hash(tokenize(opened.plain(text))))) in missing:
                found[key] = text
                missing.remove(key)
                if not missing:
                    break
    except JobError as error:
        log.warning(f"the report shows the words of some reviews instead of their texts, which cannot be read again: {error}")
        return found
    if missing:
        shown = f"{len(missing)} review{'s' if len(missing) > 1 else ''}"
        log.warning(f"the report shows the words of {shown} instead of their texts: the data have changed since they were read")
    return found
