"""Encoding, and what is done with encoded reviews."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job.data.corpus import load
from job.errors import JobError
from tests.conftest import rows, table, write_imdb
from tests.data.samples import as_jsonl, as_parquet, as_tar, npz, reviews, source, tiny, words


def test_an_empty_text_is_a_start_token_alone_so_that_no_row_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([*rows(), ("", "pos"), ("?!", "neg")]))
    corpus = load(source(tmp_path / "a.csv", tmp_path))
    assert words(corpus, 40) == words(corpus, 41) == "<START>"


def test_ranks_are_by_frequency_in_the_training_part_and_then_by_the_word(tmp_path: Path) -> None:
    values = [("b b b a a", "neg"), ("c a c", "pos"), ("b zebra", "pos"), ("zebra a quite other words", "neg")]
    (tmp_path / "a.tar.gz").write_bytes(as_tar([values[2], values[3], values[0], values[1]]))
    corpus = load(source(tmp_path / "a.tar.gz", tmp_path))
    assert corpus.words == ["a", "b", "c"]
    assert words(corpus, 0) == "<START> b <UNK>"


def test_a_text_stays_on_its_side_when_rows_are_added(tmp_path: Path) -> None:
    def sides(count: int) -> dict[int, tuple[int, bool]]:
        path = tmp_path / f"{count}.csv"
        path.write_bytes(table(rows(count)))
        corpus = load(source(path, tmp_path))
        held_out = set(corpus.split_validation(0.3)[1].tolist())
        return {int(corpus.hashes[index]): (int(corpus.parts[index]), index in held_out) for index in range(count)}

    few, many = sides(60), sides(200)
    assert few.items() <= many.items()
    shares = np.mean([list(many.values())], axis=1)[0]
    assert 0.1 < shares[0] < 0.3  # a fifth for testing
    assert 0.15 < shares[1] < 0.33  # three tenths of the rest for validation


def test_what_was_encoded_is_mapped_the_second_time_and_encoded_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(rows()))
    first = load(source(path, tmp_path / "cache"))
    again = load(source(path, tmp_path / "cache"))
    assert isinstance(again.tokens, np.memmap)
    assert len(list((tmp_path / "cache" / "encoded").iterdir())) == 1
    assert first.sha256 == again.sha256
    path.write_bytes(table(rows(44)))
    assert load(source(path, tmp_path / "cache")).sha256 != first.sha256


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["corpus.json", "tokens.npy", "offsets.npy", "vocabulary.json"])
def test_what_is_no_file_in_the_cache_is_encoded_anew_and_never_waited_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(rows()))
    first = load(source(path, tmp_path / "cache"))
    (there,) = (tmp_path / "cache" / "encoded").glob(f"*/{name}")
    there.unlink()
    os.mkfifo(there)
    assert load(source(path, tmp_path / "cache")).sha256 == first.sha256
    assert there.is_file()


def test_what_is_damaged_in_the_cache_is_encoded_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows()))
    first = load(source(tmp_path / "a.csv", tmp_path / "cache"))
    (tokens,) = (tmp_path / "cache" / "encoded").glob("*/tokens.npy")
    tokens.write_bytes(b"")
    assert load(source(tmp_path / "a.csv", tmp_path / "cache")).sha256 == first.sha256
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith(f"{tokens.parent}: this encoded data set is damaged (")
    assert record.message.endswith("; encoding anew")


def test_mapped_pages_are_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    import resource

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell the resident memory in /proc")
    count = 16 << 20
    np.save(tmp_path / "tokens.npy", np.full(count, 7, np.int32))
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    corpus = replace(tiny([[1]]), tokens=mapped, offsets=np.array([0, count]))
    before = resident()
    assert int(corpus.review(0).sum()) == 7 * count
    read = resident()
    assert read - before > 48 << 20
    corpus.release()
    assert read - resident() > 48 << 20
    assert int(corpus.review(0)[-1]) == 7


def test_a_cache_that_cannot_be_written_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows()))
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    corpus = load(source(tmp_path / "a.csv", tmp_path / "cache"))
    assert len(corpus.labels) == 40
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "cannot be written" in record.message


_MANY: dict[str, Any] = {
    "x_train": reviews(*([1 + n % 8, 2] for n in range(40))), "y_train": np.arange(40) % 2,
    "x_test": reviews(*([1 + n % 8] for n in range(40))), "y_test": np.arange(40) % 2,
}  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_done_to_a_file_it_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    suffix, content = data.draw(
        st.sampled_from(
            [
                (".csv", table(rows())),
                (".jsonl", as_jsonl(rows())),
                (".parquet", as_parquet(rows())),
                (".tar.gz", as_tar(rows())),
                (".npz", npz(**_MANY)),
                ("_word_index.json", json.dumps({f"w{rank}": rank for rank in range(1, 9)}).encode()),
            ]
        )
    )
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path / f"damaged{suffix}"
    if suffix == "_word_index.json":
        path = tmp_path / "whole.npz"
        path.write_bytes(npz(**_MANY))
        (tmp_path / "imdb_word_index.json").write_bytes(damaged)
    else:
        (tmp_path / "imdb_word_index.json").write_text(json.dumps({f"w{rank}": rank for rank in range(1, 9)}))
        path.write_bytes(damaged)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    code = 0
    try:
        corpus = load(source(path, tmp_path / "cache"))
    except JobError as error:
        code = error.exit_code
    assert code in (0, 65, 66)
    if code == 0:
        assert corpus.lengths.min() >= 1
        assert corpus.offsets[-1] == len(corpus.tokens)


def test_html_is_no_part_of_own_texts_and_it_is_said(tmp_path: Path) -> None:
    values = [(f"It&#39;s<br /><br />{'good' if side else 'bad'} &amp; n{number}", str(side)) for number in range(40) for side in (0, 1)]  # fmt: skip
    (tmp_path / "a.csv").write_bytes(table([*values, ("no <3 of it", "0")]))
    said = source(tmp_path / "a.csv", tmp_path)
    corpus = load(said)
    assert set(corpus.words[:3]) == {"it's", "good", "bad"}
    assert not {"br", "amp", "39"} & set(corpus.words)
    assert corpus.reading.takes_out_html
    assert corpus.vocabulary.encode("It&#39;s<br />", 100).tolist() == [1, 4]
    assert corpus.reading.notices == [f"HTML, such as '&#39;', was taken out of 80 of the 81 texts of {said.name}"]
    kept = load(replace(said, keeps_html=True))
    assert {"br", "amp", "39"} <= set(kept.words)
    assert not kept.reading.takes_out_html
    assert kept.reading.notices == []


def test_of_keras_s_imdb_tags_are_words_and_so_they_are_of_texts_beside_it(tmp_path: Path) -> None:
    path, index = write_imdb(tmp_path), tmp_path / "imdb_word_index.json"
    index.write_text(index.read_text().replace('"w2"', '"br"'))
    (tmp_path / "u.txt").write_text("w1<br />w3\n")
    corpus = load(replace(source(path, tmp_path), unlabelled=str(tmp_path / "u.txt")))
    assert corpus.review(int(corpus.part("unlabelled")[0])).tolist() == [1, 4, 5, 6]
    assert not corpus.vocabulary.takes_out_html
    assert not any("HTML" in said for said in (*corpus.reading.notices, *corpus.reading.warnings))
