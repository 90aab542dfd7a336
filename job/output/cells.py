"""Cells of CSV files that people open in a spreadsheet: a text in one is to stay a text, though it begins as a formula does."""

import re

# The last ones are what some spreadsheets take for the first ones: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might compute it. A number with its sign is none."""
    return _FORMULA.match(text) is not None and not _NUMBER.fullmatch(text)


def to_cell(text: str) -> str:
    """The text as it is written: behind an apostrophe, which says to a spreadsheet that a text follows, where it needs one."""
    return f"'{text}" if is_formula(text) else text


def of_cell(text: str) -> str:
    """The text that `to_cell` wrote."""
    return text[1:] if text.startswith("'") and is_formula(text) else text
