"""sentiment-job: trains a SimpleRNN and an LSTM on text sentiment, and reports honestly how they compare.

From Python: `from job import train, load, predict` (job/api.py).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job.api import Run, load, predict, train

__version__ = "0.1.0"
__all__ = ["Run", "load", "predict", "train"]


def __getattr__(name: str) -> Any:
    """What is asked for is imported then: most who import this package are its own commands."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from job import api

    return getattr(api, name)
