"""Decode one plane and convert it to its values: HU of CT, or what slope and intercept give."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from usassist.errors import SourceFormatError
from usassist.sources.dicom.frames import read_span
from usassist.sources.dicom.header import PYDICOM_ERRORS, DicomHeader
from usassist.sources.volumes.headers import Plane
from usassist.sources.volumes.jpeg_lossless import JpegLosslessError, decode_jpeg_lossless

__all__ = ["AIR_HU", "decode_plane", "missing_decoder", "refuse_rescale", "stored_range", "to_values"]

AIR_HU = -1024
_MAX_INT16 = 32767
_TISSUE_HU = -900
_PLUGIN_PACKAGES = {
    uid.JPEGLSLossless: "'usassist[jpegls]'",
    uid.JPEGLSNearLossless: "'usassist[jpegls]'",
}
_NEEDS = "python-gdcm"
_LOSSLESS = frozenset({uid.JPEGLossless, uid.JPEGLosslessSV1})


def missing_decoder(syntax: uid.UID) -> str:
    """What has to be installed to decode this transfer syntax; empty where it can be decoded."""
    if not syntax.is_encapsulated:
        return ""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"is encoded as {syntax.name}, which is not supported; convert it with: gdcmconv --raw FILE OUT.dcm"
    if decoder.is_available or syntax in _LOSSLESS:
        return ""
    package = _PLUGIN_PACKAGES.get(syntax, _NEEDS)
    return f"is encoded as {syntax.name}, and no decoder for it is installed; install one with: pip install {package}"


def refuse_rescale(plane: Plane) -> str:
    """Why the stored values cannot be converted; empty where they can."""
    if plane.slope is None and plane.intercept is None and not plane.is_hu:
        return ""
    if plane.slope is None or plane.intercept is None:
        return "states no rescale slope and intercept, so its values are not known to be HU"
    if plane.slope == 0:
        return "states a rescale slope of 0, which makes all values equal"
    if plane.is_hu and plane.slope < 0:
        return f"states a rescale slope of {plane.slope:g}, which turns air into bone"
    if plane.is_hu:
        low, high = stored_range(plane)
        if not (low * plane.slope + plane.intercept < 0 < high * plane.slope + plane.intercept):
            return f"states a rescale of {plane.slope:g} and {plane.intercept:g}, with which no voxel can be water"
    return ""


def stored_range(plane: Plane) -> tuple[int, int]:
    """The smallest and the largest value that can be stored."""
    bits = plane.coding.bits_stored if plane.coding is not None else 16
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if plane.signed else (0, (1 << bits) - 1)


def decode_plane(plane: Plane) -> npt.NDArray[Any]:
    """Stored values of a plane, as they lie in the file.

    Returns
    -------
    stored : int32 (rows, columns), before overlay bits are cut off

    Raises
    ------
    SourceFormatError
        If its bytes cannot be decoded, or are another image than the header states; a clause that begins with a verb.
    """
    coding = plane.coding
    assert coding is not None  # a plane without one has a fault
    with plane.entry.open() as file:
        data = read_span(file, plane.spans)
    if coding.syntax.is_encapsulated:
        return _decode(coding, data, plane.signed)
    if len(data) != coding.frame_bytes:
        raise SourceFormatError("breaks off inside its pixels")
    order = "<" if coding.syntax.is_little_endian else ">"
    kind = f"{order}{'i' if plane.signed else 'u'}{coding.bits_allocated // 8}"
    return np.frombuffer(data, kind).reshape(coding.hw_px).astype(np.int32)


def to_values(plane: Plane, stored: npt.NDArray[Any], out: npt.NDArray[Any]) -> int:
    """Convert stored values and write them.

    HU below -1024, and padding, become -1024 (air): scanners mark what lies outside their circle so, and there is
    nothing less dense than air. HU above 32767 become 32767.

    Parameters
    ----------
    plane, stored : of :func:`decode_plane`
    out : int16 or float32 (rows, columns), written

    Returns
    -------
    clipped : voxels above 32767 HU
    """
    values = _cut_bits(plane, stored)
    slope = 1.0 if plane.slope is None else plane.slope
    intercept = 0.0 if plane.intercept is None else plane.intercept
    if not plane.is_hu:
        out[...] = values * slope + intercept if out.dtype.kind == "f" else values * int(slope) + int(intercept)
        return 0
    whole = slope == int(slope) and intercept == int(intercept) and abs(slope) < 1 << 14 and abs(intercept) < 1 << 30
    hu = values.astype(np.int64) * int(slope) + int(intercept) if whole else np.rint(values * slope + intercept)
    padding = _padding(plane, stored, values, slope, intercept)
    if padding is not None:
        hu[padding] = AIR_HU
    out[...] = np.clip(hu, AIR_HU, _MAX_INT16)
    return int((hu > _MAX_INT16).sum())


def _cut_bits(plane: Plane, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cut off what does not belong to a value (overlays in the upper bits), and extend its sign."""
    coding = plane.coding
    assert coding is not None
    shift = plane.high_bit + 1 - coding.bits_stored
    if coding.bits_stored == coding.bits_allocated and shift == 0:
        return stored
    values = (stored >> max(0, shift)) & ((1 << coding.bits_stored) - 1)
    if plane.signed:
        sign = 1 << coding.bits_stored - 1
        values = (values ^ sign) - sign
    return values


def _padding(
    plane: Plane, stored: npt.NDArray[Any], values: npt.NDArray[Any], slope: float, intercept: float
) -> npt.NDArray[np.bool_] | None:
    """Where a plane is padding (PS3.3 C.7.5.1.1.2).

    Some scanners state a padding value that tissue has too, such as 0 for HU. Then only what touches the border of the
    image is padding.
    """
    if plane.padding is None:
        return None
    first, last = sorted(plane.padding)
    bits = 1 << (plane.coding.bits_allocated if plane.coding is not None else 16)
    found = (values >= first) & (values <= last)
    if first == last:  # the sign of the value may be stated otherwise than that of the pixels
        found = (stored % bits) == (first % bits)
    if not found.any():
        return None
    if last * slope + intercept > _TISSUE_HU:
        _, parts = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        found &= np.isin(parts, edge[edge > 0])
    return np.asarray(found)


def _decode(coding: DicomHeader, data: bytes, signed: bool) -> npt.NDArray[Any]:
    size = _coded_size(data)
    if size is not None and size != coding.hw_px:
        raise SourceFormatError(
            f"holds an image of {size[1]} x {size[0]} px where its header states {coding.hw_px[1]} x {coding.hw_px[0]}"
        )
    if coding.syntax in _LOSSLESS and not get_decoder(coding.syntax).is_available:
        try:
            lossless = decode_jpeg_lossless(data)
        except JpegLosslessError as error:
            raise SourceFormatError(f"holds pixels that cannot be decoded: {error}") from None
        return np.asarray(lossless.view(np.int16) if signed else lossless, np.int32)
    facts: dict[str, Any] = {
        "number_of_frames": 1,
        "rows": coding.hw_px[0],
        "columns": coding.hw_px[1],
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": coding.bits_allocated,
        "bits_stored": coding.bits_stored,
        "pixel_representation": int(signed),
        "pixel_keyword": "PixelData",
        "pixel_vr": coding.pixel_vr,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, _ = get_decoder(coding.syntax).as_array(encapsulate([data], has_bot=False), raw=True, **facts)
    except (*PYDICOM_ERRORS, MemoryError, OSError):
        hint = f"; try again after: pip install {_NEEDS}" if coding.syntax == uid.JPEGExtended12Bit else ""
        raise SourceFormatError(f"holds pixels ({coding.syntax.name}) that cannot be decoded{hint}") from None
    if values.shape != coding.hw_px:
        raise SourceFormatError("holds another image than its header states")
    return np.asarray(values, np.int32)


def _coded_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns by the code stream itself (JPEG, JPEG-LS: SOF; JPEG 2000: SIZ); None where it is neither."""
    if data.startswith(b"\xff\x4f\xff\x51") and len(data) >= 24:
        across, down, left, top = (int.from_bytes(data[at : at + 4], "big") for at in (8, 12, 16, 20))
        return down - top, across - left
    if not data.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        mark = data[position + 1]
        if mark == 0xFF:
            position += 1
            continue
        if mark == 0xF7 or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            return int.from_bytes(data[position + 5 : position + 7], "big"), int.from_bytes(
                data[position + 7 : position + 9], "big"
            )
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
