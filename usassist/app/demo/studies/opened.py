"""A study as it was opened: what its series are, and where its planes lie for the viewer."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["Opened", "SeriesLine"]


class SeriesLine(msgspec.Struct, frozen=True, kw_only=True):
    """One series of what was given; lengths are zeros where they are not known."""

    number: int
    modality: str
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    is_placed: bool
    problems: list[str]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of a study that it has opened.

    Attributes
    ----------
    path : of the study
    folder : with the planes for the viewer, nothing found on them
    series : all of it that can be read
    chosen : number of the one that is shown
    is_simulated : no patient
    """

    path: Path
    folder: Path
    series: list[SeriesLine]
    chosen: int
    is_simulated: bool = False

    @property
    def line(self) -> SeriesLine:
        """The series that is shown."""
        return next(line for line in self.series if line.number == self.chosen)
