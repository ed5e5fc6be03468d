"""How the fields of a record travel, declared where the field is: in messages of the bus, and in lines of JSON.

::

    t_cropped_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2)))

The struct of the record's message (:func:`message_struct`) and its line in a recording (:class:`LineForm`) are derived
from the declaration, once, at import. See ``docs/bus.md``, "Add a field".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

__all__ = [
    "Int64",
    "LineForm",
    "Travel",
    "message_struct",
    "read_fraction",
    "stamp_fields",
    "travels",
    "write_fraction",
]

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Every integer that travels fits into 64 bits; a larger one would fail far from where it is read."""

_MAX_INT = 2**63
InLine = Literal["always", "unless_default", "never"]
_KEY = "travel"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """How one field travels.

    Attributes
    ----------
    since : version of the message that first had the field
    message : False where the message carries it outside its body, in the header or as a buffer
    line : whether the JSON line of the record has it
    """

    since: tuple[int, int] = (1, 0)
    message: bool = True
    line: InLine = "always"


_FIRST = Travel()  # of a field without metadata


def travels(*, since: tuple[int, int] = (1, 0), message: bool = True, line: InLine | None = None) -> dict[str, Travel]:
    """Metadata of a field; see :class:`Travel`.

    A field that came with a later version is left out of lines while it has its default, so that lines of older
    recordings and new ones compare equal. `line` overrides that.
    """
    if line is None:
        line = "always" if since == _FIRST.since else "unless_default"
    return {_KEY: Travel(since=since, message=message, line=line)}


def _travel(field: dataclasses.Field[Any]) -> Travel:
    travel: Travel = field.metadata.get(_KEY, _FIRST)
    return travel


def message_struct(name: str, record: type, *, omit_defaults: bool = False) -> Any:
    """The body of a record's message, as a msgspec struct with positional fields.

    ``session_id`` comes first, then the fields in the order of the versions that brought them, and of their definition
    within one version: a new field stands at the end, and the bytes before it do not change.

    Parameters
    ----------
    name : of the struct
    record : dataclass
    omit_defaults : leave out fields that have their default
    """
    hints = get_type_hints(record, include_extras=True)
    carried = [field for field in dataclasses.fields(record) if _travel(field).message]
    carried.sort(key=lambda field: (field.name != "session_id", _travel(field).since))
    return msgspec.defstruct(
        name,
        [
            (field.name, hints[field.name])
            if field.default is dataclasses.MISSING
            else (field.name, hints[field.name], field.default)
            for field in carried
        ],
        frozen=True,
        omit_defaults=omit_defaults,
    )


class LineForm:
    """The JSON line of a record: its keys in the order in which recordings have them.

    Parameters
    ----------
    record : dataclass
    released : keys in their order, also those that are no fields of the record; fields that are not named follow

    Attributes
    ----------
    keys : all that may stand in a line
    """

    def __init__(self, record: type, released: Sequence[str]) -> None:
        fields = {f.name: f for f in dataclasses.fields(record) if _travel(f).line != "never"}
        self.keys = (*released, *(name for name in fields if name not in released))
        self._defaults = {name: f.default for name, f in fields.items() if _travel(f).line == "unless_default"}

    def write(self, record: Any, **others: Any) -> dict[str, Any]:
        """The line of a record, ready for JSON; a fraction is written as text, ``1/30``.

        Parameters
        ----------
        record : instance
        others : values of the keys that are no fields
        """
        line: dict[str, Any] = {}
        for key in self.keys:
            value = others[key] if key in others else getattr(record, key)
            if key in self._defaults and value == self._defaults[key]:
                continue
            line[key] = str(value) if isinstance(value, Fraction) else value
        return line


def stamp_fields(record: type) -> tuple[str, ...]:
    """Names of the fields that hold a time, monotonic ns: ``t_…_ns``."""
    names = (field.name for field in dataclasses.fields(record))
    return tuple(name for name in names if name.startswith("t_") and name.endswith("_ns"))


def write_fraction(value: Any) -> tuple[int, int]:
    """Hook of msgspec for messages: a fraction as numerator and denominator.

    Raises
    ------
    NotImplementedError
        If the value is no fraction; msgspec has no other way to write it.
    """
    if not isinstance(value, Fraction):
        raise NotImplementedError(f"a message cannot hold a {type(value).__name__}")
    return value.numerator, value.denominator


def read_fraction(kind: type, value: Any) -> Fraction:
    """Hook of msgspec: a fraction of a message, ``[1, 30]``, or of a line, ``"1/30"``.

    Raises
    ------
    NotImplementedError
        If another type is asked for.
    ValueError
        If the value is neither.
    """
    if kind is not Fraction:
        raise NotImplementedError(f"nothing reads a {kind.__name__}")
    try:
        if isinstance(value, str):
            return Fraction(value)
        numerator, denominator = value
        if type(numerator) is type(denominator) is int and max(abs(numerator), abs(denominator)) < _MAX_INT:
            return Fraction(numerator, denominator)
    except ZeroDivisionError:
        raise ValueError("a fraction has the denominator 0") from None
    raise ValueError(f"a fraction is two integers of 64 bits, got {value}")
