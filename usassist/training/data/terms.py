"""The terms of the data sets and starting weights, from ``recipes/data_terms.toml``.

A run names what it uses; a set without an entry, or used in a way that its entry does not list, is an error before the
run. The manifest of a run, the licence line of an engine and the table in ``docs/training-data.md`` come from here.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import ConfigError

__all__ = ["TERMS_FILE", "USES", "DataTerms", "describe_terms", "load_terms", "render_table", "require_terms"]

TERMS_FILE = Path(__file__).resolve().parents[3] / "recipes" / "data_terms.toml"

USES = ("training", "teacher", "start", "validation")
"""To train shipped weights, to train a network that is not shipped, to start from, to measure."""

_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTerms:
    """One data set or file of weights.

    Attributes
    ----------
    name : its folder among the data sets, or the name of the weights
    title : what it is
    uses : of :data:`USES`
    purpose : what it is used for
    terms : as its source states them
    confirmed : whether its source states an explicit licence of the set itself
    source : where it was fetched
    citation : the publication to cite
    never : what it is not to be used for
    """

    name: str
    title: str
    uses: tuple[str, ...]
    purpose: str
    terms: str
    confirmed: bool
    source: str
    citation: str
    never: str


def load_terms(path: Path = TERMS_FILE) -> dict[str, DataTerms]:
    """Read the terms of all sets.

    Raises
    ------
    ConfigError
        If the file is missing, is no TOML, or an entry lacks a key, has an unknown one, or an empty or wrong value.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the terms of the data, {path}, cannot be read: {error}; correct the file") from error
    if document.pop("schema", None) != _SCHEMA:
        raise ConfigError(f"{path} must say schema = {_SCHEMA}; correct the file")
    return {name: _read_entry(name, table, path) for name, table in document.items()}


def require_terms(names: Iterable[str], use: str, terms: Mapping[str, DataTerms]) -> list[DataTerms]:
    """The entries of the sets that a run uses, in the order of their names.

    Parameters
    ----------
    names : of data sets or weights
    use : of :data:`USES`
    terms : of :func:`load_terms`

    Raises
    ------
    ConfigError
        If a set has no entry, or is not to be used so.
    """
    if use not in USES:
        raise ConfigError(f"a use of data is one of {', '.join(USES)}, not {use!r}; correct it")
    wanted = sorted(set(names))
    unknown = [name for name in wanted if name not in terms]
    if unknown:
        raise ConfigError(f"no terms are stated for {', '.join(unknown)}; add an entry to recipes/data_terms.toml")
    for name in wanted:
        if use not in terms[name].uses:
            raise ConfigError(
                f"{name} is not for the use {use!r} ({terms[name].never}); leave it out, or settle its terms and "
                "correct recipes/data_terms.toml"
            )
    return [terms[name] for name in wanted]


def describe_terms(entries: Iterable[DataTerms]) -> list[dict[str, object]]:
    """The entries as they are written to the manifest of a run."""
    return [dataclasses.asdict(entry) for entry in entries]


def render_table(entries: Iterable[DataTerms]) -> str:
    """A table in Markdown for the page and the card of an engine."""
    lines = ["| set | used for | terms | confirmed | source | cite | never |", "|---|---|---|---|---|---|---|"]
    for entry in entries:
        used = f"{', '.join(entry.uses)}: {entry.purpose}"
        confirmed = "yes" if entry.confirmed else "no"
        cells = (f"`{entry.name}`: {entry.title}", used, entry.terms, confirmed, entry.source, entry.citation)
        lines.append(f"| {' | '.join((*cells, entry.never))} |")
    return "\n".join(lines)


def _read_entry(name: str, table: object, path: Path) -> DataTerms:
    where = f"{path}, table [{name}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} is not a table; write it as [{name}]")
    expected = {field.name for field in dataclasses.fields(DataTerms)} - {"name"}
    if set(table) != expected:
        wrong = sorted(set(table) ^ expected)
        raise ConfigError(f"{where}: {', '.join(wrong)} is missing or unknown; correct the entry")
    uses = table["uses"]
    if not isinstance(uses, list) or not uses or any(use not in USES for use in uses):
        raise ConfigError(f"{where}: uses must list some of {', '.join(USES)}, not {uses!r}; correct it")
    if not isinstance(table["confirmed"], bool):
        raise ConfigError(f"{where}: confirmed must be true or false; correct it")
    for key in expected - {"uses", "confirmed"}:
        value = table[key]
        if not isinstance(value, str) or not value.strip() or "|" in value or "\n" in value:
            raise ConfigError(f"{where}: {key} must be one line of text without '|'; correct it")
    return DataTerms(name=name, uses=tuple(uses), **{key: table[key] for key in expected - {"uses"}})
