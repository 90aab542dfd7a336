"""What was read of a data set, row by row, and what is to be said of it."""

from typing import Literal

from job.records.base import Count, Record


class LabelRecord(Record):
    """One value of the label column."""

    label: str
    meaning: Literal["negative", "positive", "left out"]
    rows: Count


class NearCopies(Record):
    """Test texts that are almost a training text."""

    found: Count
    looked_at: Count
    """how many test texts were looked at"""


class Reading(Record):
    """What became of every row."""

    rows: Count
    """all that were read"""
    left_out: dict[str, Count]
    """by why, how many rows were not used"""
    columns: dict[str, str]
    """of a table, which column was taken, by what for"""
    labels: list[LabelRecord]
    label_rule: str
    """by which the labels were read"""
    notices: list[str]
    warnings: list[str]
    """what may be misread or was passed over"""
    near_copies: NearCopies | None
    """null where nobody looked"""
    takes_out_html: bool = False
    """whether tags and entities are taken out of texts; false in runs of older versions, and of Keras's IMDB"""
    unlabelled: Count = 0
    """texts of --unlabelled that are used; what became of the others stands among what was left out"""
