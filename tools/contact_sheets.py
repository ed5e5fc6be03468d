"""Contact sheets: small pictures of many screens in rows, for review by eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError

__all__ = ["Sheets", "check_outside_project"]

UInt8Array = npt.NDArray[np.uint8]


class Sheets:
    """Contact sheets by group, each written as soon as it is full.

    Parameters
    ----------
    folder : that gets them, as PNG files named by group and number
    cell_wh_px : width and height of every cell
    columns, rows : cells on a sheet
    """

    def __init__(self, folder: Path, cell_wh_px: tuple[int, int], columns: int, rows: int) -> None:
        self._folder, self._cell_wh_px = folder, cell_wh_px
        self._columns, self._rows = columns, rows
        self._cells: dict[str, list[UInt8Array]] = {}
        self._written: dict[str, int] = {}

    def add(self, group: str, cell: UInt8Array) -> None:
        """Add a cell, uint8 (height, width, 3) RGB."""
        cells = self._cells.setdefault(group, [])
        cells.append(cell)
        if len(cells) == self._columns * self._rows:
            self._write(group)

    def close(self) -> None:
        """Write what is left."""
        for group, cells in self._cells.items():
            if cells:
                self._write(group)

    def _write(self, group: str) -> None:
        cells, self._cells[group] = self._cells[group], []
        number = self._written[group] = self._written.get(group, 0) + 1
        width, height = self._cell_wh_px
        cells += [np.zeros((height, width, 3), np.uint8)] * (-len(cells) % self._columns)
        rows = [np.hstack(cells[at : at + self._columns]) for at in range(0, len(cells), self._columns)]
        stem = "".join(letter if letter.isalnum() else "_" for letter in group)
        sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(self._folder / f"{stem}_{number - 1:03d}.png"), sheet)


def check_outside_project(folder: Path) -> None:
    """Check that sheets with real screens do not end up in the project.

    Raises
    ------
    UsageError
        If the folder lies in it.
    """
    project = Path(__file__).resolve().parents[1]
    if (project / "pyproject.toml").is_file() and folder.resolve().is_relative_to(project):
        raise UsageError("the sheets show real screens and must not lie in the project; choose another folder")
