"""What the records share: JSON with names and types."""

import json
from enum import Enum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
Interval = tuple[float, float]
Kernel = Literal["cudnn", "xla", "while_loop"]
"""What runs a recurrence: cuDNN, our own loops compiled by XLA, or Keras's loop over time steps."""


def without_lone_surrogates(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair becomes U+FFFD. An escape in JSON can leave one, or a path that is no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Record(BaseModel):
    """JSON with names and types. What was never set is not written; numbers and texts that JSON does not have are refused or replaced."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
    )

    @field_validator("*", mode="after")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        return without_lone_surrogates(value) if isinstance(value, str) and not isinstance(value, Enum) else value

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Reads JSON; raises `pydantic.ValidationError` where it is not this record."""
        return cls.model_validate_json(content, strict=True)

    def to_values(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json(self) -> bytes:
        """As the content of a file."""
        return to_json(self.to_values())

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed, and checked again."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**kept | changes)


def to_json(values: Any) -> bytes:
    """Indented JSON; numbers that JSON does not have are an error."""
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()
