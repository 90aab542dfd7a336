"""Data in the forms that users bring, as files' contents, and how the tests here load them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.data.corpus import Corpus, load
from job.data.evidence import Tables
from job.data.ngrams import Ngrams
from job.errors import JobError
from job.records.data import Reading
from job.source import Columns, DataSource


def source(path: Path, cache: Path, text: str | None = None, label: str | None = None) -> DataSource:
    return DataSource(name=str(path), cache=cache, columns=Columns(text=text, label=label))


def tiny(
    reviews: list[list[int]], labels: list[int] | None = None, parts: list[int] | None = None, words: list[str] | None = None
) -> Corpus:
    """A corpus of these token ids, whose hashes are 0, 1, 2, …."""
    count = len(reviews)
    nothing = Reading(rows=count, left_out={}, columns={}, labels=[], label_rule="", notices=[], warnings=[], near_copies=None)
    return Corpus(
        name="tiny",
        tokens=np.array([token for review in reviews for token in review], np.int32),
        offsets=np.cumsum([0, *map(len, reviews)]).astype(np.int64),
        labels=np.array(labels or [0] * count, np.int8),
        parts=np.array(parts or [0] * count, np.int8),
        hashes=np.arange(count, dtype=np.uint64),
        words=words or [],
        rows=np.arange(1, count + 1),
        groups=None,
        own_test_part=True,
        own_validation_part=False,
        is_generated=False,
        sha256="0" * 64,
        reading=nothing,
    )


def tables(size: int, bigrams: list[int], trigrams: list[int], seed: int = 0) -> Tables:
    """Some numbers of every word, of these pairs and of these triples."""
    random = np.random.default_rng(seed)
    known = Ngrams(size, np.array(bigrams, np.int64), np.array(trigrams, np.int64))
    values = random.normal(0, 1, (len(known) + 1, 2)).astype(np.float16)
    # Special tokens, and what is no feature, say nothing.
    values[:4] = values[-1] = 0
    return Tables(known, values, random.uniform(0.5, 2, 6).astype(np.float32), np.float32(0.25))


def words(corpus: Corpus, index: int) -> str:
    names = ["<PAD>", "<START>", "<UNK>", "<UNUSED>", *corpus.words]
    return " ".join(names[number] for number in corpus.review(index))


def as_jsonl(values: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"review": text, "sentiment": label}) + "\n" for text, label in values).encode()


def as_parquet(values: list[tuple[str, str]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    columns = {"text": [text for text, _ in values], "label": [label for _, label in values]}
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def as_tar(values: list[tuple[str, str]], prefix: str = "aclImdb/") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for number, (text, label) in enumerate(values):
            part = "test" if number % 4 < 2 else "train"
            info = tarfile.TarInfo(f"{prefix}{part}/{label}/{number}_7.txt")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def reviews(*values: Any) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def check_refused(path: Path, code: int, message: str) -> None:
    """Loading it ends with one line that names the folder, and leaves nothing in the cache."""
    cache = path.parent / "cache"
    with pytest.raises(JobError) as caught:
        load(source(path, cache))
    assert caught.value.exit_code == code
    assert message in str(caught.value)
    assert str(path.parent) in str(caught.value)
    leftovers = list((cache / "encoded").glob("*")) if cache.exists() else []
    assert leftovers == []
