"""Finds out which of IMDB's reviews are of one movie, and writes them as a table with that as a column.

    .venv/bin/python -m scripts.measure.movies aclImdb_v1.tar.gz movies.parquet

Stanford's archive names no movies where its lists of addresses are left out, but a random split of its training part
shares movies between both sides, and then favours what learns names by heart. Two training reviews are joined where their
rare capitalised words, weighted by TF-IDF, have a cosine above 0.6, or above 0.12 where they are neighbours in file number,
since a movie's reviews of one label follow one another. A group is what is joined, directly or through others. The table has
the columns text, label, split, group and id; each test review is a group by itself.
"""

import argparse
import itertools
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse
from scipy.sparse import csgraph
from sklearn.feature_extraction.text import TfidfVectorizer

from job.data.folders import TarReader
from job.data.parts import TRAIN
from job.data.rows import Row

# In so many reviews a word tells a movie; "The" does not, and a name that occurs once joins nothing.
_RARE = (2, 60)
_ALIKE, _NEIGHBOURS_ALIKE = 0.6, 0.12
_BLOCK = 2_000


def main() -> None:
    """Reads the archive and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="aclImdb_v1.tar.gz")
    parser.add_argument("table", type=Path, help="the .parquet to write")
    arguments = parser.parse_args()
    rows = list(TarReader(arguments.archive, None).rows())
    train = sorted((row for row in rows if row.part == TRAIN), key=_place)
    others = [row for row in rows if row.part != TRAIN]
    numbers = groups([row.text for row in train], [_place(row) for row in train])
    sizes = np.bincount(numbers)
    print(f"{len(sizes):,} groups, the largest of {sizes.max()} reviews")
    names = [f"movie {number}" for number in numbers] + [str(row.id) for row in others]
    every = train + others
    columns = {
        "text": [row.text for row in every],
        "label": [str(row.label) for row in every],
        "split": ["train"] * len(train) + ["test"] * len(others),
        "group": names,
        "id": [str(row.id) for row in every],
    }
    parquet.write_table(pa.table(columns), arguments.table)


def _place(row: Row) -> tuple[str, int]:
    """The folder that a review's file is in, and its number there."""
    path = PurePosixPath(str(row.id))
    return str(path.parent), int(path.name.partition("_")[0])


def groups(texts: list[str], places: list[tuple[str, int]]) -> np.ndarray:
    """The number of each review's group, <int>[reviews].

    Args:
        places: Each one's folder and number in it, sorted.
    """
    words = TfidfVectorizer(lowercase=False, token_pattern=r"\b[A-Z][A-Za-z'-]+", min_df=_RARE[0], max_df=_RARE[1])
    weights = words.fit_transform(texts).tocsr()
    edges = []
    for first in range(0, len(texts), _BLOCK):
        alike = (weights[first : first + _BLOCK] @ weights.T).tocoo()
        near = alike.data > _ALIKE
        edges.append(np.stack([alike.row[near] + first, alike.col[near]]))
    beside = np.array([one[0] == other[0] for one, other in itertools.pairwise(places)])
    cosines = np.asarray(weights[:-1].multiply(weights[1:]).sum(1)).ravel()
    joined = np.flatnonzero(beside & (cosines > _NEIGHBOURS_ALIKE))
    edges.append(np.stack([joined, joined + 1]))
    one, other = np.concatenate(edges, axis=1)
    graph = sparse.coo_matrix((np.ones(len(one)), (one, other)), (len(texts), len(texts)))
    _, numbers = csgraph.connected_components(graph, directed=False)
    return np.asarray(numbers)


if __name__ == "__main__":
    main()
