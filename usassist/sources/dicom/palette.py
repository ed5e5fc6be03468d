"""The colours of a DICOM file whose samples are numbers of a palette."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

__all__ = ["COLOURS", "read_palette"]

COLOURS = ("Red", "Green", "Blue")


def read_palette(dataset: Dataset, syntax: UID) -> npt.NDArray[np.uint8]:
    """RGB for every value that a sample can have.

    Entries of 16 bits give their upper eight, unless none of them uses those: then the lower eight are the colour.

    Parameters
    ----------
    dataset : header with the palette, as it is or in segments
    syntax : transfer syntax of the file

    Returns
    -------
    palette : uint8 (65536, 3)
    """
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        colours = apply_color_lut(np.arange(65536, dtype=np.int32), dataset)
    else:
        columns = [_column(dataset, colour, syntax) for colour in COLOURS]
        colours = np.stack(columns, axis=1)
    if int(colours.max()) > 255:
        colours = colours >> 8
    return np.ascontiguousarray(colours, np.uint8)


def _column(dataset: Dataset, colour: str, syntax: UID) -> npt.NDArray[np.uint16]:
    """The level of one colour for every value, 8 or 16 bits as they are stored."""
    entries, first, bits = (int(value) for value in dataset[f"{colour}PaletteColorLookupTableDescriptor"].value)
    entries = entries or 65536
    data = bytes(dataset[f"{colour}PaletteColorLookupTableData"].value)
    wide = bits > 8 or len(data) >= 2 * entries  # entries of 8 bits may stand in 16
    order = "<" if syntax.is_little_endian else ">"
    levels = np.frombuffer(data, f"{order}u2" if wide else "u1", count=entries)
    value = np.arange(65536) - first
    return np.asarray(levels[np.clip(value, 0, entries - 1)], np.uint16)
