"""A corpus that the package generates itself: the label is decided by two clues, one at each end of a review.

A review opens with a frame, which says whether to take the end as it stands or the other way round; filler follows that
says nothing; it closes with praise or blame. The label is the one turned by the other, so neither clue tells anything
alone, nor does any bag of words or of word pairs: the first clue has to be remembered until the second comes.
"""

import random
from collections.abc import Iterator

from job.data.parts import TEST, TRAIN

# Only random.Random.random() is promised to give the same numbers in every Python version:
# https://docs.python.org/3/library/random.html#notes-on-reproducibility
_SEED = 20_231_218
TRAIN_REVIEWS = 20_000
TEST_REVIEWS = 2_000

_VERBS = ["take", "read", "hear", "understand", "accept", "interpret"]
_OBJECTS = ["my words", "this review", "these lines", "what follows", "my verdict", "the ending"]
_MANNERS = [
    ["literally", "as it stands", "at face value", "word for word", "straight", "plainly"],
    ["backwards", "the other way round", "in reverse", "upside down", "ironically", "as its opposite"],
]
_CLOSINGS = ["the film is {}", "the picture was {}", "simply {}", "it was {}", "i found it {}", "all in all {}"]
_JUDGEMENTS = [
    ["awful", "terrible", "dreadful", "boring", "horrible", "miserable", "dull", "poor"],
    ["wonderful", "superb", "brilliant", "excellent", "delightful", "gripping", "lovely", "great"],
]
_SUBJECTS = (
    "camera story actor director scene train captain neighbour letter window soldier teacher sister garden painter dog "
    "lawyer waiter river village bridge station engine sailor doctor baker thief widow clock harbour mountain market"
).split()
_ACTIONS = (
    "follows leaves crosses visits watches meets passes finds opens closes carries paints repairs remembers describes "
    "enters circles answers mentions approaches"
).split()
_PLACES = (
    "london winter morning autumn evening summer midnight april paris berlin sunday october town spring noon monday"
).split()
_DETAILS = (
    "old young tall quiet distant wooden narrow grey green empty second third northern southern painted open small large "
    "red blue"
).split()
_LINKS = "in near before after during around past beyond".split()
_JOINS = "and while then when as where".split()


def _pick(rng: random.Random, items: list[str]) -> str:
    return items[int(rng.random() * len(items))]


def _filler(rng: random.Random, tokens: int) -> str:
    words: list[str] = []
    while len(words) < tokens:
        words += ["the", _pick(rng, _DETAILS), _pick(rng, _SUBJECTS), _pick(rng, _ACTIONS), "the", _pick(rng, _SUBJECTS)]
        words += [_pick(rng, _LINKS), _pick(rng, _PLACES), _pick(rng, _JOINS)]
    return " ".join(words[:tokens])


def _reviews(rng: random.Random, count: int, distance: int) -> Iterator[tuple[str, int]]:
    # Every block of four holds each combination of the clues once, so that neither clue is even slightly informative.
    for block in range(count // 4):
        offset = int(rng.random() * 4)
        for position in range(4):
            reverse, judgement = divmod((position + offset + block) % 4, 2)
            frame = f"{_pick(rng, _VERBS)} {_pick(rng, _OBJECTS)} {_pick(rng, _MANNERS[reverse])}".capitalize()
            closing = _pick(rng, _CLOSINGS).format(_pick(rng, _JUDGEMENTS[judgement]))
            yield f"{frame}: {_filler(rng, distance)}. {closing.capitalize()}.", judgement ^ reverse


def reviews(distance: int) -> Iterator[tuple[str, int, int]]:
    """Yields (text, label 0 or 1, part by its number in job/data/parts.py), with `distance` filler tokens between frame and closing."""
    rng = random.Random(_SEED)
    for part, count in ((TRAIN, TRAIN_REVIEWS), (TEST, TEST_REVIEWS)):
        for text, label in _reviews(rng, count, distance):
            yield text, label, part
