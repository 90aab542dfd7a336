"""Test texts that are almost a training text: the same but for a few words, so that a score on them flatters.

Two texts are near copies where four fifths of their runs of three words are shared (Jaccard). Candidates are found by
MinHash and locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3),
and each is counted exactly.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from job.data.parts import TEST, TRAIN
from job.records.data import NearCopies

_RUN = 3
_SHARED = 0.8
# 16 bands of 4: of texts that share so much, one in 5,000 is no candidate. Wrong candidates only cost time.
_BANDS, _ROWS = 16, 4
_PERMUTATIONS = _BANDS * _ROWS
# Shorter texts share runs by chance.
_LEAST_WORDS = 8
# Of more texts, as many are looked at, by their hashes: seconds and memory are not to grow with the data.
_MOST_TEST, _MOST_TRAIN = 10_000, 50_000


def count(
    texts: Callable[[NDArray[np.int64]], Iterator[NDArray[np.int32]]],
    places: NDArray[np.int64],
    parts: NDArray[np.int8],
    hashes: NDArray[np.uint64],
) -> NearCopies:
    """How many test texts are near copies of training texts, copies word for word not counted.

    Args:
        texts: The words of texts by their places, as numbers: <int32>[words] each.
        places: <int64>[reviews], of the texts that are used.
        parts: <int8>[all], by place, as are the hashes.
        hashes: <uint64>[all], of each text's words.
    """
    from datasketch import MinHash, MinHashLSH

    test, train = (
        _some(places[parts[places] == part], hashes, most) for part, most in ((TEST, _MOST_TEST), (TRAIN, _MOST_TRAIN))
    )
    test = test[~np.isin(hashes[test], hashes[places[parts[places] == TRAIN]])]

    # To draw the permutations takes longer than all else.
    empty = MinHash(_PERMUTATIONS, hashfunc=int)

    def sketch(runs: NDArray[np.uint64]) -> MinHash:
        made = empty.copy()
        made.update_batch(runs)
        return made

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=(_BANDS, _ROWS))
    runs_of: dict[int, NDArray[np.uint64]] = {}
    for place, words in zip(test.tolist(), texts(test), strict=True):
        if len(words) >= _LEAST_WORDS:
            runs_of[place] = _runs(words)
            index.insert(place, sketch(runs_of[place]), check_duplication=False)
    found: set[int] = set()
    if runs_of:
        for words in texts(train):
            if len(words) >= _LEAST_WORDS:
                runs = _runs(words)
                for place in index.query(sketch(runs)):
                    if place not in found:
                        shared = len(np.intersect1d(runs, runs_of[place], assume_unique=True))
                        if shared >= _SHARED * (len(runs) + len(runs_of[place]) - shared):
                            found.add(place)
    return NearCopies(found=len(found), looked_at=len(test))


def _some(places: NDArray[np.int64], hashes: NDArray[np.uint64], most: int) -> NDArray[np.int64]:
    return np.sort(places[np.argsort(hashes[places], kind="stable")[:most]])


def _runs(words: NDArray[np.int32]) -> NDArray[np.uint64]:
    """A 32-bit number for each distinct run of words: <uint64>[runs], sorted."""
    wide = words.astype(np.uint64)
    length = len(wide) - _RUN + 1
    mixed = np.zeros(length, np.uint64)
    for place in range(_RUN):
        # FNV-1a by words; wrapping around is meant.
        mixed = (mixed ^ wide[place : place + length]) * np.uint64(0x100000001B3)
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed & np.uint64(0xFFFFFFFF))
