"""What is to be told is kept once and whole, wherever a kill cuts the journal off."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import OutputError
from job.files.lock import WriterLock
from job.output.folder import Output
from job.output.outbox import JOURNAL, STATE, Item, Outbox, State

LOSS = Item(kind="metric", key="rnn/0/loss", value=0.5, step=1, time=7)
VERDICT = Item(kind="tag", key="verdict", value="no difference — “none”", time=8)
RUNNING = Item(kind="status", value="RUNNING", time=9)
ALL = [LOSS, VERDICT, RUNNING]


def test_what_is_kept_is_pending_until_it_is_delivered(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add(ALL)
    items, end = outbox.pending()
    assert items == ALL
    outbox.keep(outbox.state.but(run_id="r", delivered=end))
    again = Outbox(tmp_path)
    assert again.state == State(key=outbox.state.key, run_id="r", delivered=end)
    assert again.pending() == ([], end)
    again.add([RUNNING.but(value="FINISHED")])
    assert [item.value for item in Outbox(tmp_path).pending()[0]] == ["FINISHED"]


def test_an_epoch_that_is_repeated_and_a_tag_that_stays_are_kept_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add(ALL)
    repeated = [LOSS.but(value=0.4, time=20), VERDICT.but(time=21), RUNNING.but(time=22)]
    outbox.add(repeated)
    assert outbox.pending()[0] == ALL
    again = Outbox(tmp_path)
    assert again.new(repeated) == []
    assert again.new([LOSS.but(step=2), VERDICT.but(value="another")]) == [LOSS.but(step=2), VERDICT.but(value="another")]


def test_a_parameter_stays_what_it_was_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Item(kind="param", key="data", value="a.csv"), Item(kind="param", key="data", value="b.csv")])
    assert [item.value for item in outbox.pending()[0]] == ["a.csv"]


@settings(deadline=None)
@given(st.data(), st.binary(max_size=20))
def test_a_journal_that_was_cut_off_anywhere_is_read_and_goes_on(data: st.DataObject, rubbish: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        Outbox(folder).add(ALL)
        whole = (folder / JOURNAL).read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        (folder / JOURNAL).write_bytes(whole[:cut] + rubbish)
        kept = [item for item, end in zip(ALL, _ends(whole), strict=True) if end <= cut]
        outbox = Outbox(folder)
        # At a line's very end, the newline is all that is missing: then the item is whole.
        assert outbox.pending()[0][: len(kept)] == kept
        assert all(item in ALL for item in outbox.pending()[0])
        outbox.add(ALL)
        assert sorted(Outbox(folder).pending()[0], key=str) == sorted(ALL, key=str)
        assert sorted(outbox.pending()[0], key=str) == sorted(ALL, key=str)
        assert Outbox(folder).pending()[1] == outbox.pending()[1]
    finally:
        shutil.rmtree(folder)


def _ends(content: bytes) -> list[int]:
    return [place + 1 for place, byte in enumerate(content) if byte == 10]


def test_a_journal_that_lost_its_delivered_end_is_delivered_from_there_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add(ALL)
    outbox.keep(outbox.state.but(delivered=outbox.pending()[1]))
    first = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)[0]
    (tmp_path / JOURNAL).write_bytes(first)
    again = Outbox(tmp_path)
    assert again.pending()[0] == []
    again.add(ALL)
    assert again.pending()[0] == [VERDICT, RUNNING]


def test_a_state_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text("{")
    assert Outbox(tmp_path).state.run_id is None


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a link"])
@pytest.mark.parametrize("name", ["mlflow.json", "mlflow.jsonl"])
def test_nothing_is_written_or_waited_for_where_no_file_is(kind: str, name: str, tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.write_bytes(b"mine")
    if kind == "a FIFO":
        os.mkfifo(run / name)
    elif kind == "a folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to(outside)
    with pytest.raises(OutputError, match=f"{name}: expected a file, or nothing; remove what is there"):
        Outbox(run)
    assert outside.read_bytes() == b"mine"


def test_fresh_discards_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add(ALL)
    outbox.keep(outbox.state)
    Output(tmp_path).discard()
    assert list(tmp_path.iterdir()) == []


def test_who_was_replaced_as_the_folder_s_writer_writes_no_more(tmp_path: Path) -> None:
    with WriterLock(tmp_path):
        outbox = Outbox(tmp_path)
        outbox.add([LOSS])
    # When the lock is given back, the end is still to be told.
    outbox.add([RUNNING])
    with WriterLock(tmp_path):
        with pytest.raises(OutputError, match="another process writes here now"):
            outbox.add([VERDICT])
        with pytest.raises(OutputError, match="another process writes here now"):
            outbox.keep(outbox.state.but(delivered=1))
        Outbox(tmp_path).add([VERDICT])
    assert Outbox(tmp_path).pending()[0] == [LOSS, RUNNING, VERDICT]
