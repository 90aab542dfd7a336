"""Writes the reports of finished runs."""

from pathlib import Path

from job.output import existing
from job.output.finished import REPORT, FinishedRun
from job.output.folder import Output
from job.report import page

COMPARISON = "comparison.html"


def write(folders: list[Path]) -> Path:
    """Writes a run's report again, or one that compares several runs into the first one's folder; returns where it is.

    Raises:
        MissingInputError: A run is not finished.
        DataError: A file of a run, but for its report, was changed.
    """
    runs = [FinishedRun.read(folder, but=REPORT) for folder in folders]
    output = Output(folders[0])
    with output.locked():
        # What was waited for may have added seeds.
        if not existing.is_still(runs[0], folders[0]):
            runs[0] = FinishedRun.read(folders[0], but=REPORT)
        output.sweep()
        if len(runs) == 1:
            output.replace(runs[0], REPORT, page.render(runs[0]))
            return folders[0] / REPORT
        output.write_file(COMPARISON, page.render_comparison(runs))
    return folders[0] / COMPARISON
