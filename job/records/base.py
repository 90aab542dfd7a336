"""What the records share: JSON with names and types."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
Interval = tuple[float, float]
Kernel = Literal["cudnn", "xla", "while_loop"]
"""What runs a recurrence: cuDNN, our own loops compiled by XLA, or Keras's loop over time steps."""


class Record(BaseModel):
    """JSON with names and types. What was never set is not written; numbers that JSON does not have are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
    )

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
