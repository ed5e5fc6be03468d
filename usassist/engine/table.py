"""A TOML table in which every key must be read."""

from __future__ import annotations

from typing import Any

from usassist.errors import EngineSpecError

__all__ = ["Table"]


class Table:
    """A TOML table in which every key must be read: one that is left over is an error.

    Parameters
    ----------
    values : the table as ``tomllib`` gives it
    where : file and table, for error messages

    Raises
    ------
    EngineSpecError
        If `values` is no table; and from every method, when a key is missing or of the wrong type.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise EngineSpecError(f"{where} must be a table, got {values!r}")
        self._values = dict(values)
        self._where = where

    def take(self, key: str, kind: type) -> Any:
        """The value of a key; a whole number is a float too."""
        if key not in self._values:
            raise EngineSpecError(f"{self._where}: key {key} is missing")
        value = self._values.pop(key)
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise EngineSpecError(f"{self._where}: {key} must be {kind.__name__}, got {value!r}")
        return value

    def take_table(self, key: str, *, optional: bool = False) -> Table:
        """A table in this one; an optional one that is missing is empty."""
        if optional and key not in self._values:
            return Table({}, "")
        return Table(self.take(key, dict), f"{self._where}, {key}")

    def take_floats(self, key: str, *, optional: bool = False) -> dict[str, float]:
        """A table of numbers, whatever its keys."""
        inner = self.take_table(key, optional=optional)
        return {name: inner.take(name, float) for name in inner.unread()}

    def unread(self) -> list[str]:
        """The keys that were not read yet, in the order of the file."""
        return list(self._values)

    def __bool__(self) -> bool:
        """False when every key was read."""
        return bool(self._values)

    def finish(self) -> None:
        """Refuse a key that was not read."""
        if self._values:
            raise EngineSpecError(f"{self._where}: unknown key {next(iter(self._values))}")
