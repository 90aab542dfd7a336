"""The history of a training, epoch by epoch: history.csv."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch. Training figures are means over the epoch's steps, as Keras's progress bar shows them; losses are weighted by class where the training is."""

    epoch: int
    """From 1."""
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    """At the epoch's end."""
    seconds: float
    """Spent in training steps."""
    tokens_per_second: float
    """Real tokens trained on a second, without padding."""


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """An epoch of one seed; with the preset dependency also of which distance and remedy."""

    seed: int
    epoch: Epoch
    distance: int | None = None
    remedy: str | None = None

    def cells(self) -> dict[str, int | float | str | None]:
        """As a row of history.csv, by column."""
        where = {} if self.distance is None else {"distance": self.distance, "remedy": self.remedy}
        return {"seed": self.seed} | where | asdict(self.epoch)

    @classmethod
    def of_cells(cls, cells: dict[str, str]) -> "HistoryRow":
        """From a row of history.csv; raises `LookupError`, `TypeError` or `ValueError` where it is none."""
        numbers: dict[str, Any] = {
            name: None if name in _MAY_BE_MISSING and not cells[name] else float(cells[name]) for name in _NUMBERS
        }
        epoch = Epoch(epoch=int(cells["epoch"]), **numbers)
        distance = int(cells["distance"]) if "distance" in cells else None
        return cls(seed=int(cells["seed"]), epoch=epoch, distance=distance, remedy=cells.get("remedy") or None)


_MAY_BE_MISSING = ("validation_loss", "validation_accuracy")
_NUMBERS = [name for name in Epoch.__dataclass_fields__ if name != "epoch"]


def training_name(architecture: str, distance: int | None = None, remedy: str | None = None) -> str:
    """What a training is called while it goes on, where there is one for each distance, and what its rows are called again."""
    if distance is None:
        return architecture
    return f"{architecture}{f' ({remedy})' if remedy else ''}, distance {distance}"
