"""Labelled sets: what the command line, or a file of sets, names as one set of frames, checked and ready to be read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from usassist.config import data_dir
from usassist.errors import ConfigError, SourceError, UsageError
from usassist.evaluation.boxes import cases_of_rows, list_boxed, read_box_rows, read_boxed
from usassist.evaluation.cases import Cases, read_cases, read_names
from usassist.evaluation.folders import LabelledFrame, list_negatives, list_pairs, read_negatives, read_pairs
from usassist.evaluation.images import Skipped
from usassist.evaluation.looks import looks_of_rows

__all__ = ["LabelledSet", "OpenSet", "open_set", "read_sets"]

_DATA = "$USASSIST_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """A set of frames with one kind of truth: masks, boxes, or that none shows a nodule.

    Attributes
    ----------
    name : of the set
    images : folder
    masks : folder of masks
    boxes, part : CSV file of boxes, and the value of its column ``part``; None = all rows
    negative : no frame shows a nodule
    names, cases : files as for ``--names`` and ``--cases``

    Raises
    ------
    UsageError
        If there is not exactly one kind of truth, or a part without boxes.
    """

    name: str
    images: Path
    masks: Path | None = None
    boxes: Path | None = None
    part: str | None = None
    negative: bool = False
    names: Path | None = None
    cases: Path | None = None

    def __post_init__(self) -> None:
        if (self.masks is not None) + (self.boxes is not None) + self.negative != 1:
            raise UsageError(f"{self.name}: give either masks or boxes, or that all frames are negative; one of them")
        if self.part is not None and self.boxes is None:
            raise UsageError(f"{self.name}: a part is chosen from a file of boxes; give the boxes, or leave it out")

    @property
    def truth(self) -> str:
        """``masks``, ``boxes`` or ``negative``."""
        return "negative" if self.negative else "masks" if self.boxes is None else "boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSet:
    """A set whose files have been found and checked.

    Attributes
    ----------
    names : of the frames, or of the files of clips
    frames : can be read once
    looks : name → look of the screen; None = the set does not say
    """

    names: tuple[str, ...]
    frames: Iterator[LabelledFrame]
    looks: dict[str, str] | None


def open_set(chosen: LabelledSet, skipped: list[Skipped]) -> OpenSet:
    """Find and check the files of a set, before a run.

    Parameters
    ----------
    chosen : the set
    skipped : files that cannot be used are added here, those of masks also while the frames are read

    Raises
    ------
    SourceError
        If a folder or file is missing.
    ConfigError
        If the file of boxes or of cases has rows that cannot be used.
    """
    names = None if chosen.names is None else read_names(chosen.names)
    listed = None if chosen.cases is None else read_cases(chosen.cases)
    if chosen.boxes is not None:
        rows = read_box_rows(chosen.boxes, chosen.part)
        listed = cases_of_rows(chosen.boxes, rows) if listed is None else listed
        looks = looks_of_rows(chosen.boxes, rows)
        boxed = list_boxed(chosen.images, chosen.boxes, rows, names, skipped, name_rest=chosen.part is None)
        frames = read_boxed(boxed, Cases(listed), skipped)
        return OpenSet(names=tuple(item.name for item in boxed), frames=frames, looks=looks)
    if chosen.masks is not None:
        pairs = list_pairs(chosen.images, chosen.masks, names, skipped)
        frames = read_pairs(pairs, Cases(listed), skipped)
        return OpenSet(names=tuple(item.name for item in pairs), frames=frames, looks=None)
    paths = list_negatives(chosen.images, names, skipped)
    frames = read_negatives(paths, None if listed is None else Cases(listed), skipped)
    return OpenSet(names=tuple(path.stem for path in paths), frames=frames, looks=None)


def read_sets(path: Path) -> list[LabelledSet]:
    """Read a file of sets.

    It is TOML with one table ``[[sets]]`` for each, whose keys are the attributes of :class:`LabelledSet`. Paths are
    relative to the file; one that begins with ``$USASSIST_DATA/`` is in the folder of data sets.

    Raises
    ------
    SourceError
        If the file cannot be read.
    ConfigError
        If a key is unknown, missing or of the wrong type, or two sets have one name.
    UsageError
        If a set has not exactly one kind of truth.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}; give a TOML file of sets") from error
    tables = document.get("sets")
    if document.keys() != {"sets"} or not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path.name} must have tables [[sets]] and nothing else, got {', '.join(document)}; fix it")
    sets = [_set_from(table, f"{path.name}, sets[{index}]", path.parent) for index, table in enumerate(tables)]
    names = [item.name for item in sets]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path.name}: each set must have a name of its own, got {', '.join(names)}; fix it")
    return sets


def _set_from(table: Any, where: str, folder: Path) -> LabelledSet:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table, got {table!r}; fix the file")
    known = {field.name for field in fields(LabelledSet)}
    unknown, missing = sorted(table.keys() - known), sorted({"name", "images"} - table.keys())
    if unknown or missing:
        raise ConfigError(f"{where}: unknown keys {unknown}, missing keys {missing}; fix the file")
    values: dict[str, Any] = {}
    for key, value in table.items():
        expected = bool if key == "negative" else str
        if type(value) is not expected or value == "":
            raise ConfigError(f"{where}: {key} must be {expected.__name__}, got {value!r}; fix the file")
        values[key] = value if key in ("name", "part", "negative") else _path(str(value), folder)
    return LabelledSet(**values)


def _path(text: str, folder: Path) -> Path:
    if text == _DATA or text.startswith(f"{_DATA}/"):
        return data_dir() / text[len(_DATA) + 1 :]
    return folder / text
