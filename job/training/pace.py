"""When to take a snapshot of a training: often enough, and never at more than a hundredth of its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

# A snapshot at each epoch's end, and when this many seconds have passed since the last one; but only where all of them
# together then take no more than this share of the time in training steps. So a kill costs no more than a hundred times
# what a snapshot takes, and small data do not spend their time in saving.
_CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 0.01
"""Of the time in training steps, that all snapshots of a training may take; `scripts/measure/faults` lifts it."""
# Of the first snapshot: of a usual disk, hashing and flushing included.
_GUESSED_SECONDS, _GUESSED_SPEED = 0.005, 150e6


class Pace:
    """Of the snapshots of one training, in this process."""

    def __init__(self) -> None:
        self.count = 0
        """Snapshots taken."""
        self.seconds = 0.0
        """Spent in taking them."""
        self._last = 0.0
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is long enough since the last one."""
        return time.monotonic() - self._saved_at > _CHECKPOINT_SECONDS

    def allows(self, size: int, trained: float) -> bool:
        """Whether the training has paid for another one.

        Args:
            size: Of the next one, in bytes.
            trained: Seconds in training steps.
        """
        next_one = self._last if self.count else _GUESSED_SECONDS + size / _GUESSED_SPEED
        return self.seconds + next_one <= CHECKPOINT_SHARE * trained

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Within it, a snapshot is taken."""
        started = time.monotonic()
        yield
        self._saved_at = time.monotonic()
        self._last = self._saved_at - started
        self.count, self.seconds = self.count + 1, self.seconds + self._last
