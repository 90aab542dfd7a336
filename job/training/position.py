"""How far a training is. Knows no TensorFlow, as whoever shows it needs none."""

from dataclasses import dataclass, field

from job.records.history import Epoch


@dataclass(kw_only=True)
class Position:
    """Where a training stands between two steps. All of it but the seconds follows from the seed and the data."""

    epoch: int = 1
    """The one in work, from 1."""
    step: int = 0
    """Steps done of it."""
    loss_sum: float = 0.0
    """Over the epoch's reviews so far, as are the next four."""
    correct: float = 0.0
    reviews: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    """Whose weights are kept: with the best validation loss, or the last one; 0 where no epoch was finished."""
    best_loss: float | None = None
    ended: bool = False
    diverged: str | None = None
    """Where the loss stopped being a number, in words."""

    @property
    def loss(self) -> float:
        """Mean of the epoch so far."""
        return self.loss_sum / self.reviews

    @property
    def accuracy(self) -> float:
        """Of the epoch so far."""
        return self.correct / self.reviews

    @property
    def tokens_per_second(self) -> float:
        """Of the epoch so far."""
        return self.tokens / self.seconds
