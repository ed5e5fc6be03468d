"""Reading the tables that lie beside this module: TOML with a schema, every key known, every value of its type."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from importlib import resources
from typing import Any

from usassist.errors import ClinicalTableError

__all__ = ["check_table", "read_table", "require"]

_SCHEMA = 1


def require(condition: bool, problem: str) -> None:
    """Raise unless a condition of a table holds.

    Raises
    ------
    ClinicalTableError
        With the problem.
    """
    if not condition:
        raise ClinicalTableError(f"{problem}; install usassist again, or correct the table")


def read_table(name: str) -> dict[str, Any]:
    """Read one of the tables of this package, with its key ``schema`` checked.

    Raises
    ------
    ClinicalTableError
        If it is not there, is not TOML, or has another schema.
    """
    try:
        table = tomllib.loads(resources.files("usassist.clinical").joinpath(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ClinicalTableError(f"{name} cannot be read: {error}; install usassist again") from error
    require(table.get("schema") == _SCHEMA, f"{name}: schema must be {_SCHEMA}, got {table.get('schema')}")
    return table


def check_table(table: Any, kinds: Mapping[str, type], where: str, optional: Collection[str] = frozenset()) -> None:
    """Check keys and types of one table.

    Parameters
    ----------
    table : as read
    kinds : key → type of its value; where it is float an int will do
    where : name of the table in messages
    optional : keys that may be absent

    Raises
    ------
    ClinicalTableError
        If a key is missing, unknown, or its value has another type.
    """
    require(isinstance(table, dict), f"{where} must be a table, got {table!r}")
    unknown = sorted(table.keys() - kinds.keys())
    missing = sorted(kinds.keys() - set(optional) - table.keys())
    require(not unknown and not missing, f"{where}: unknown keys {unknown}, missing keys {missing}")
    for key, value in table.items():
        kind = kinds[key]
        fits = type(value) is kind or (kind is float and type(value) is int)
        require(fits, f"{where}: {key} must be {kind.__name__}, got {value!r}")
        require(kind is not float or math.isfinite(value), f"{where}: {key} must be finite, got {value!r}")
