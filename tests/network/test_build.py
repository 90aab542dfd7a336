"""The networks' embeddings are as large as there are words for them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from job.errors import ConfigurationError
from job.machine import device
from job.presets import PRESETS, Architecture, PresetName

pytest.importorskip("tensorflow")
device.prepare_tensorflow()

from job.network import build

NO_PAIRS = np.empty(0, np.int64)
VALUES = replace(PRESETS[PresetName.quickstart].networks[Architecture.lstm], vocabulary_size=50, units=4, embedding_size=8)


def weights(words: int | None) -> Any:
    return build.build(Architecture.lstm, VALUES, 3, NO_PAIRS, words).get_weights()


def test_an_embedding_has_no_more_rows_than_words_and_special_tokens() -> None:
    assert [weights(words)[0].shape for words in (9, 46, 1000, None)] == [(13, 8), (50, 8), (50, 8), (50, 8)]


def test_a_smaller_table_starts_as_the_first_rows_of_a_larger_one_and_the_rest_of_the_network_as_it_did() -> None:
    (small, *rest), (large, *others) = weights(9), weights(None)
    np.testing.assert_array_equal(small, large[:13])
    for one, other in zip(rest, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_an_earlier_version_left_unfinished_with_a_larger_table_is_refused() -> None:
    network = build.build(Architecture.lstm, VALUES, 3, NO_PAIRS, 9)
    with pytest.raises(ConfigurationError, match="pass --fresh to discard it"):
        build.set_weights(network, weights(None))
    build.set_weights(network, weights(9))
