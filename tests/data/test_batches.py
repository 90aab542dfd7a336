import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from job.data.batches import evaluation_order, training_order

Lengths = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@given(lengths=Lengths, size=st.integers(1, 40), seed=st.integers(0, 99), epoch=st.integers(1, 9))
def test_every_review_is_trained_on_once_an_epoch(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    order = training_order(np.array(lengths), size, 40, seed, epoch)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    assert len(order) == -(-len(lengths) // size)
    assert max(len(batch) for batch in order) <= size


@given(lengths=Lengths, size=st.integers(1, 40))
def test_every_review_is_evaluated_once(lengths: list[int], size: int) -> None:
    assert sorted(np.concatenate(evaluation_order(np.array(lengths), size)).tolist()) == list(range(len(lengths)))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.arange(1000) % 300 + 1

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(training_order(lengths, 8, 40, seed, epoch)).tolist()  # type: ignore[no-any-return]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_little_of_a_batch_is_padding() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(5.2, 0.7, 20_000).astype(int) + 1, 400)
    order = training_order(lengths, 64, 40, 0, 1)
    processed = sum(len(batch) * lengths[batch].max() for batch in order)
    assert lengths.sum() / processed > 0.9
