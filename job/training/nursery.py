"""What the process that workers are forked from imports: everything that they need, and nothing that starts threads."""

from job.machine import runtime, signals

# Whoever ends a group of processes ends this one too soon: it lives for as long as its parent, and no longer.
signals.ignore()
signals.end_with_parent()
runtime.import_tensorflow()

from job.network import build, forward, kernel  # noqa: E402, F401
from job.training import feed, loop, optimizer, work, worker  # noqa: E402, F401
