"""Migrations of recorded documents: one function per step of a major version.

A step is declared where it is written::

    @migration("session.toml", 1, 2)
    def _clocks_and_calibrations_become_tables(document): ...

Only recordings are migrated, and only in memory: no file is changed by reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from usassist import __version__
from usassist.errors import SchemaVersionError, SessionError

__all__ = ["migrate", "migration"]

Document = dict[str, Any]
Step = Callable[[Document], Document]

_steps: dict[tuple[str, int], tuple[int, Step]] = {}


def migration(schema: str, before: int, after: int) -> Callable[[Step], Step]:
    """Declare that a function turns documents of one major version into those of a later one.

    Raises
    ------
    ValueError
        If there is such a step already, or it does not go forward.
    """

    def declare(step: Step) -> Step:
        if after <= before or (schema, before) in _steps:
            raise ValueError(f"{schema}: a step from {before} to {after} cannot be declared, or is so already")
        _steps[schema, before] = after, step
        return step

    return declare


def migrate(schema: str, document: Document, version: tuple[int, int], reads: tuple[int, int], wrote: str) -> Document:
    """Bring a document to the major version that is read. A newer minor version is read as it is.

    Parameters
    ----------
    schema : what it is
    document : as it was written; it is not changed
    version : it was written in
    reads : what this usassist reads
    wrote : version of usassist that wrote it, where that is known

    Raises
    ------
    SchemaVersionError
        If it is of a newer major version.
    SessionError
        If there is no step from its version.
    """
    if version[0] > reads[0]:
        which = f"usassist {wrote} or newer" if wrote else "the usassist that wrote it"
        raise SchemaVersionError(
            f"{schema} has version {version[0]}.{version[1]}, and usassist {__version__} reads up to "
            f"{reads[0]}.{reads[1]}; install {which}"
        )
    major = version[0]
    while major < reads[0]:
        if (schema, major) not in _steps:
            raise SessionError(f"{schema} has version {major}, which never was; look where the file comes from")
        major, step = _steps[schema, major]
        document = step(document)
    return document
