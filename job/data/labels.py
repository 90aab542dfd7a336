"""Labels in the forms that people use: 0/1, neg/pos, negative/positive, false/true, or ratings from 1 to 10."""

from job.errors import DataError

_NAMES = {"neg": 0, "pos": 1, "negative": 0, "positive": 1, "false": 0, "true": 1}
_FORMS = "0/1, neg/pos, negative/positive, false/true or ratings 1-4 and 7-10"


class LabelReader:
    """Collects raw labels row by row and, when all have been seen, says what they mean.

    Only the whole column distinguishes a 1 that means positive from the lowest of ten ratings.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._codes: dict[str, int] = {}
        self._first: list[tuple[str, int]] = []

    def add(self, raw: object, row: int) -> int:
        """Returns a code for the label of this row; `resolve` maps codes to classes."""
        if raw is None:
            raise DataError(f"{self._source}, row {row}: the label is empty; expected {_FORMS}")
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        text = str(raw).strip().lower()
        code = self._codes.get(text)
        if code is None:
            if not text:
                raise DataError(f"{self._source}, row {row}: the label is empty; expected {_FORMS}")
            if text not in _NAMES and text not in _NUMBERS:
                raise DataError(f"{self._source}, row {row}: label {text[:40]!r} is in no known form; expected {_FORMS}")
            code = self._codes[text] = len(self._first)
            self._first.append((text, row))
        return code

    def resolve(self) -> list[int]:
        """The class (0 or 1) of each code.

        Raises:
            DataError: Mixed forms, a middling rating, or one class only.
        """
        numbers = [(int(text), row) for text, row in self._first if text in _NUMBERS]
        names = [(text, row) for text, row in self._first if text in _NAMES]
        if numbers and names:
            (text, row), (number, other) = names[0], numbers[0]
            raise DataError(
                f"{self._source}: labels of two forms, {text!r} in row {row} and {number} in row {other}; expected one of {_FORMS}"
            )
        values = {number for number, _ in numbers}
        if names:
            classes = [_NAMES[text] for text, _ in names]
        elif values <= {0, 1}:
            classes = [number for number, _ in numbers]
        else:
            for number, row in numbers:
                if number == 0:
                    raise DataError(
                        f"{self._source}, row {row}: label 0 among {_show(values)}; expected two classes, 0 and 1, or ratings from 1 to 10"
                    )
                if number in (5, 6):
                    raise DataError(
                        f"{self._source}, row {row}: a rating of {number} is neither negative nor positive; remove such rows (1-4 and 7-10 are read)"
                    )
            classes = [int(number >= 7) for number, _ in numbers]
        if len(set(classes)) < 2:
            seen = _show({text for text, _ in self._first}) or "no labels"
            raise DataError(
                f"{self._source}: only one class is there (labels: {seen}); both negative and positive texts are needed"
            )
        return classes


_NUMBERS = {str(number) for number in range(11)}


def _show(values: "set[int] | set[str]") -> str:
    return ", ".join(sorted(map(str, values)))
