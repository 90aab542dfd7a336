"""Who of a group reads which reviews of a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from job.network.forward import Share
from job.training.group import Group


def share(lengths: list[int], index: int, count: int) -> Share:
    tokens = np.zeros((len(lengths), max(lengths)), np.int32)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = 7
    # What it takes to deal reviews out, without the others.
    group = Group.__new__(Group)
    group.index, group.count = index, count
    return group.share(tf.constant(tokens))


def test_the_longest_are_dealt_out_first_forth_and_back() -> None:
    lengths = [5, 9, 1, 8, 2, 7, 3]
    found = [share(lengths, index, 3) for index in range(3)]
    # 9, 8, 7 forth, 5, 3, 2 back, and 1.
    assert [each.places.numpy().tolist() for each in found] == [[1, 2, 4], [3, 6], [0, 5]]
    assert [(int(each.batch), each.processes) for each in found] == [(7, 3)] * 3


def test_where_there_are_fewer_reviews_than_processes_some_have_none() -> None:
    assert [share([4, 4], index, 3).places.numpy().tolist() for index in range(3)] == [[0], [1], []]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 5))
def test_every_review_is_dealt_out_once_and_evenly(lengths: list[int], count: int) -> None:
    places = [share(lengths, index, count).places.numpy().tolist() for index in range(count)]
    assert sorted(place for each in places for place in each) == list(range(len(lengths)))
    assert all(each == sorted(each) for each in places)
    sizes = [len(each) for each in places]
    assert max(sizes) - min(sizes) <= 1
    tokens = [sum(lengths[place] for place in each) for each in places]
    assert max(tokens) - min(tokens) <= 2 * max(lengths)
