"""What the viewer fetches of a study: an overview, and one packet per plane with what was found on it.

====================== ==========================================================================================
JSON length            uint32, little-endian
JSON                   UTF-8, the fields of :class:`PlaneHead`
zlib                   the voxels, int16 little-endian, in order of rows; then, as the head says, the labels and the
                       scores of the plane, uint8 each
====================== ==========================================================================================

They are written once, so that any plane can be sent without reading the study again. A value is
``stored * slope + intercept`` in the unit of the volume; volumes of int16 are stored as they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.volumes import Volume

__all__ = ["Curve", "Findings", "Label", "Overview", "Preset", "read_overview", "read_packet", "write_bundle"]

_LENGTH = struct.Struct("<I")
_PACKETS, _OVERVIEW, _SPANS = "slices.bin", "slices.json", "slices.idx"
_LEVEL = 1  # of zlib: noise hardly gets smaller with a higher one, which takes several times as long
_LARGEST = 32766.0  # that is stored of a volume of floats


class Preset(msgspec.Struct, frozen=True):
    """A window. Its name is a word of the page."""

    name: str
    width: float
    centre: float


class Label(msgspec.Struct, frozen=True):
    """What a value of the labelmap stands for; `rgb` is its colour."""

    value: int
    name: str
    rgb: tuple[int, int, int]


class Curve(msgspec.Struct, frozen=True):
    """One score for each plane, 0 to 1; from `threshold` on it is marked, None = never."""

    name: str
    values: list[float]
    threshold: float | None


class PlaneHead(msgspec.Struct, frozen=True):
    """`labels` and `heat` are 1 where the packet holds them, else 0."""

    index: int
    labels: int
    heat: int


class Overview(msgspec.Struct, frozen=True):
    """Of a study and of what was found.

    Attributes
    ----------
    shape_zyx, affine, unit : of the volume
    is_placed : lengths and directions are known
    slope, intercept : of the stored values
    digits : decimals of a value
    state : ``finding``, ``no_finding``, ``no_result``; ``none`` = it has not been analysed
    presets, labels, curves : windows; what is outlined; scores of planes
    has_heat : voxels have scores
    marks : planes that are worth a look, ascending
    first : the plane to begin with
    """

    shape_zyx: tuple[int, int, int]
    affine: list[list[float]]
    unit: str
    is_placed: bool
    slope: float
    intercept: float
    digits: int
    state: str
    presets: list[Preset]
    labels: list[Label]
    curves: list[Curve]
    has_heat: bool
    marks: list[int]
    first: int


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer adds to the planes; the fields of :class:`Overview`, and the arrays, uint8 (Z, Y, X) each."""

    state: str = "none"
    labelmap: npt.NDArray[np.uint8] | None = None
    heat: npt.NDArray[np.uint8] | None = None
    labels: list[Label] = msgspec.field(default_factory=list)
    curves: list[Curve] = msgspec.field(default_factory=list)
    marks: list[int] = msgspec.field(default_factory=list)
    first: int | None = None


def write_bundle(
    folder: Path,
    volume: Volume,
    presets: list[Preset],
    findings: Findings | None = None,
    *,
    is_placed: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Overview:
    """Write overview and packets into a folder.

    Parameters
    ----------
    folder : is there
    volume : the study
    presets : windows, the first is used first
    findings : None = it has not been analysed
    is_placed : lengths and directions are known
    progress : receives the share that is done, once per plane

    Raises
    ------
    VolumeError
        If a value is not finite.
    """
    found = findings or Findings()
    depth = volume.shape_zyx[0]
    slope, intercept = _scaling(volume)
    spans = np.zeros((depth, 2), np.uint64)
    with (folder / _PACKETS).open("wb") as file:
        for z in range(depth):
            parts = [_stored(volume.voxels[z], slope, intercept).tobytes()]
            flags = []
            for array in (found.labelmap, found.heat):
                flags.append(int(array is not None and bool(array[z].any())))
                if array is not None and flags[-1]:
                    parts.append(np.ascontiguousarray(array[z], np.uint8).tobytes())
            head = msgspec.json.encode(PlaneHead(index=z, labels=flags[0], heat=flags[1]))
            data = _LENGTH.pack(len(head)) + head + zlib.compress(b"".join(parts), _LEVEL)
            spans[z] = file.tell(), len(data)
            file.write(data)
            if progress is not None:
                progress((z + 1) / depth)
    overview = Overview(
        shape_zyx=volume.shape_zyx,
        affine=volume.affine_ijk_to_lps_mm.tolist(),
        unit=volume.unit,
        is_placed=is_placed,
        slope=slope,
        intercept=intercept,
        digits=0 if slope == 1.0 else max(0, min(4, 2 - int(np.floor(np.log10(slope * _LARGEST))))),
        state=found.state,
        presets=presets,
        labels=found.labels,
        curves=found.curves,
        has_heat=found.heat is not None,
        marks=sorted(found.marks),
        first=depth // 2 if found.first is None else found.first,
    )
    (folder / _SPANS).write_bytes(spans.tobytes())
    (folder / _OVERVIEW).write_bytes(msgspec.json.encode(overview))  # last: a folder that has it is complete
    return overview


def read_overview(folder: Path) -> Overview:
    """Of a folder that :func:`write_bundle` has filled; ``OSError`` where it has not."""
    return msgspec.json.decode((folder / _OVERVIEW).read_bytes(), type=Overview)


def read_packet(folder: Path, index: int) -> bytes:
    """The packet of a plane; ``IndexError`` where there is no such plane."""
    with (folder / _SPANS).open("rb") as spans:
        spans.seek(16 * index)
        entry = spans.read(16)
    if len(entry) != 16:
        raise IndexError(index)
    offset, length = struct.unpack("<QQ", entry)
    with (folder / _PACKETS).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _scaling(volume: Volume) -> tuple[float, float]:
    if volume.voxels.dtype == np.int16:
        return 1.0, 0.0
    least, most = np.inf, -np.inf
    for plane in volume.voxels:
        if not np.isfinite(plane).all():
            raise VolumeError("a value of the volume is not finite; write the series again")
        least, most = min(least, float(plane.min())), max(most, float(plane.max()))
    return max((most - least) / (2 * _LARGEST), 1e-12), (most + least) / 2


def _stored(plane: npt.NDArray[np.generic], slope: float, intercept: float) -> npt.NDArray[np.int16]:
    if plane.dtype == np.int16:
        return np.ascontiguousarray(plane, "<i2")
    return np.round((plane.astype(np.float64) - intercept) / slope).astype("<i2")
