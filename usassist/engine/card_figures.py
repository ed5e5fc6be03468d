"""What was measured of an engine, by scanner and site: ``figures.toml`` beside its card.

The card's tables are made from this file (``python -m tools.card_tables``). A test compares it with
``curves.json``, from which the page draws. Its keys::

    schema = 1
    engine_id = "thyroid_nodule@0.4.0+0123456789ab"   # weights included
    columns = ["FP32", "INT8"]                        # of every table

    [[sets]]                                          # one table each, in the order of the card
    name = "ddti_val"
    title = "DDTI `val`: old scanner; 65 frames, 96 nodules"
    shows = "one older scanner (DDTI)"                # what the frames are, in few words
    frames = 65
    command = "usassist eval nodule …"
    [[sets.figures]]
    name = "nodules found (IoU ≥ 0.3)"
    digits = 3
    values = [[0.927, 0.857, 0.982], [0.938, 0.870, 0.990]]    # value and 95 % interval, one for each column

A set with the name of one of the score file (``calibration/score``) says what that one shows.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from usassist.errors import EngineSpecError

__all__ = ["CardFigures"]

FILE_NAME = "figures.toml"
_SCHEMA = 1


class _Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    digits: Annotated[int, msgspec.Meta(ge=0, le=6)]
    values: tuple[tuple[float, float, float], ...]


class _Set(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    shows: str
    frames: Annotated[int, msgspec.Meta(ge=1)]
    command: str
    figures: tuple[_Figure, ...]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    engine_id: str
    columns: tuple[str, ...]
    sets: tuple[_Set, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFigures:
    """The figures of one engine.

    Attributes
    ----------
    columns : headings of the columns of figures, the same for all sets
    tables : one for each set of frames: ``name``, ``title``, ``shows``, ``frames``, ``command``, ``columns`` (the first
        is that of the names) and ``rows`` of text, ``0.927 (0.857 to 0.982)``
    shows : name of a set → what its frames are, in few words
    """

    columns: tuple[str, ...]
    tables: tuple[dict[str, Any], ...]
    shows: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path, engine_id: str) -> CardFigures | None:
        """Read ``figures.toml`` of an engine's folder; None where the engine has no such file.

        Parameters
        ----------
        folder : of the engine
        engine_id : of the engine, weights included

        Raises
        ------
        EngineSpecError
            If the file cannot be read, has a key that is missing, unknown or wrong, or is of another engine; the
            message names the file.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return None
        where = f"{folder.parent.name}/{folder.name}/{FILE_NAME}"
        try:
            document = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Document)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise EngineSpecError(f"{where} cannot be read: {error}; fix the file") from error
        if document.schema != _SCHEMA:
            raise EngineSpecError(f"{where} has schema {document.schema}, this usassist reads 1; update usassist")
        if document.engine_id != engine_id:
            raise EngineSpecError(f"{where} is of {document.engine_id}, not of {engine_id}; measure it anew")
        for one in document.sets:
            for figure in one.figures:
                numbers = [number for value in figure.values for number in value]
                if len(figure.values) != len(document.columns) or not all(map(math.isfinite, numbers)):
                    raise EngineSpecError(
                        f"{where}: {figure.name!r} of {one.name} needs a value and its interval for each of the "
                        f"{len(document.columns)} columns; fix the file"
                    )
        return cls(
            columns=document.columns,
            tables=tuple(_table(one, document.columns) for one in document.sets),
            shows={one.name: one.shows for one in document.sets},
        )


def _table(one: _Set, columns: tuple[str, ...]) -> dict[str, Any]:
    rows = [[figure.name, *(_text(value, figure.digits) for value in figure.values)] for figure in one.figures]
    return {
        "name": one.name,
        "title": one.title,
        "shows": one.shows,
        "frames": one.frames,
        "command": one.command,
        "columns": ["", *columns],
        "rows": rows,
    }


def _text(value: tuple[float, float, float], digits: int) -> str:
    middle, low, high = (f"{number:.{digits}f}" for number in value)
    return f"{middle} ({low} to {high})"
