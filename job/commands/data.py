"""What is in a data set, and what is wrong with it."""

from typing import Any

import numpy as np

from job.data.corpus import Corpus
from job.presets import UNKNOWN


def inspect(corpus: Corpus) -> dict[str, Any]:
    """Counts, lengths and faults of a data set, as JSON values."""
    parts: dict[str, Any] = {}
    for name in ("train", "test"):
        indices = corpus.part(name)
        # The start token is no word of the review.
        lengths = corpus.lengths[indices] - 1
        parts[name] = {
            "reviews": len(indices),
            "positive": int(corpus.labels[indices].sum()),
            "tokens": int(lengths.sum()),
            "tokens_mean": round(float(lengths.mean()), 2),
            "tokens_median": float(np.median(lengths)),
            "tokens_longest": int(lengths.max()),
            "empty": int((lengths == 0).sum()),
            "duplicates": len(indices) - len(np.unique(corpus.hashes[indices])),
        }
    train, test = corpus.part("train"), corpus.part("test")
    test_tokens = np.concatenate([corpus.review(int(index)) for index in test])
    shared = np.isin(corpus.hashes[test], corpus.hashes[train])
    faults = []
    for name, part in parts.items():
        if part["empty"]:
            faults.append(f"{part['empty']} {name} texts are empty: each is read as a start token alone")
        if part["duplicates"]:
            faults.append(f"{part['duplicates']} {name} texts repeat another one")
    if shared.any():
        faults.append(f"{int(shared.sum())} test texts are in the training part too, so test accuracy flatters")
    contradictions = _contradictions(corpus)
    if contradictions:
        faults.append(f"{contradictions} texts occur with both labels")
    share = parts["train"]["positive"] / parts["train"]["reviews"]
    if not 0.2 <= share <= 0.8:
        faults.append(f"{share:.0%} of the training texts are positive: accuracy says little, look at AUC and F1")
    return {
        "name": corpus.name,
        "sha256": corpus.sha256,
        "vocabulary": len(corpus.words),
        "most_frequent_words": corpus.words[:10],
        "test_part": "its own" if corpus.own_test_part else "split off by each text's hash",
        "train": parts["train"],
        "test": parts["test"],
        "unknown_test_tokens": round(float(np.mean(test_tokens == UNKNOWN)), 4),
        "test_texts_in_train": int(shared.sum()),
        "faults": faults,
    }


def _contradictions(corpus: Corpus) -> int:
    """How many texts occur with both labels."""
    positive = np.unique(corpus.hashes[corpus.labels == 1])
    return len(np.intersect1d(positive, np.unique(corpus.hashes[corpus.labels == 0])))
