"""Decode the bytes of one DICOM frame to uint8 grey or RGB.

JPEG, lossy and lossless, is decoded by OpenCV without its colour conversion. The meaning of three components is decided
as in libjpeg (default_decompress_parms in jdapimin.c): by the JFIF marker, by the Adobe marker, by the ids of the
components; without a marker, subsampled components can only be YCbCr. Where all that leaves it open the header decides.
All other compression goes through pydicom (JPEG 2000 with Pillow, JPEG-LS with pyjpegls).

Colours follow PS3.3, C.7.6.3.1.2: YBR_FULL by the equations of JFIF, YBR_PARTIAL by those of ITU-R BT.601 with black
at 16 and white at 235. MONOCHROME1 is inverted. Grey of more than 8 bits is scaled over its whole range; no window is
applied.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from usassist.sources.dicom.encoding import JPEG_2000_SYNTAXES, JPEG_LS_SYNTAXES, JPEG_SYNTAXES
from usassist.sources.dicom.header import PYDICOM_ERRORS, DicomHeader

__all__ = ["FrameError", "decode_frame", "decode_samples"]

UInt8Array = npt.NDArray[np.uint8]
Samples = npt.NDArray[Any]

_FRAME_STARTS = frozenset({0xC0, 0xC1, 0xC2, 0xC3})  # SOF markers of the supported kinds of JPEG
_LOSSLESS = 0xC3
_PLUGINS = {
    RLELossless: "pydicom",
    **dict.fromkeys(JPEG_2000_SYNTAXES, "pillow"),
    **dict.fromkeys(JPEG_LS_SYNTAXES, "pyjpegls"),
}
_LUMA_RED, _LUMA_BLUE = 0.299, 0.114  # of ITU-R BT.601
# Adobe marker with transform 0: the decoder does not convert the three components.
_AS_STORED = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


class FrameError(ValueError):
    """One frame cannot be decoded; the message is a clause that states why."""


def decode_frame(header: DicomHeader, data: bytes) -> UInt8Array:
    """Decode one frame.

    Parameters
    ----------
    header : of the file
    data : the bytes of the frame

    Returns
    -------
    image : uint8 (H, W) grey, or (H, W, 3) RGB

    Raises
    ------
    FrameError
        If the bytes are not a frame of this header.
    """
    return _coloured(header, *decode_samples(header, data))


def decode_samples(header: DicomHeader, data: bytes, *, signed: bool = False) -> tuple[Samples, str]:
    """Decode one frame without any conversion: samples as stored, and their photometric interpretation.

    Parameters
    ----------
    header, data : as of :func:`decode_frame`
    signed : samples are signed

    Returns
    -------
    samples : integers (H, W), or (H, W, 3)
    photometric : their photometric interpretation

    Raises
    ------
    FrameError
        If the bytes are not a frame of this header.
    """
    if header.syntax in JPEG_SYNTAXES:
        if signed:
            raise FrameError("it has signed samples in JPEG, which is not supported")
        samples, photometric = _decode_jpeg(header, data)
    else:
        samples, photometric = _decode(header, data, signed)
    wanted = (*header.hw_px, 3) if header.samples == 3 else header.hw_px
    if samples.shape != wanted:
        raise FrameError(f"it has the shape {samples.shape}, not {wanted}")
    return samples, photometric


def _decode(header: DicomHeader, data: bytes, signed: bool) -> tuple[Samples, str]:
    """Decode with pydicom: samples and their photometric interpretation."""
    native = not header.syntax.is_encapsulated
    if native and len(data) != header.frame_bytes:
        raise FrameError("it is incomplete")
    plugin = _PLUGINS.get(header.syntax, "")
    coding = header.photometric.replace("PARTIAL", "FULL")  # stored alike; pydicom supports only the latter
    facts: dict[str, Any] = {
        "number_of_frames": 1,
        "rows": header.hw_px[0],
        "columns": header.hw_px[1],
        "samples_per_pixel": header.samples,
        "photometric_interpretation": coding,
        "planar_configuration": header.planar,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(signed),
        "pixel_keyword": "PixelData",
        "pixel_vr": header.pixel_vr,
    }
    buffer = data + bytes(len(data) % 2) if native else encapsulate([data], has_bot=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder = get_decoder(header.syntax)
            samples, properties = decoder.as_array(buffer, raw=True, decoding_plugin=plugin, **facts)
    except (*PYDICOM_ERRORS, MemoryError, OSError):
        raise FrameError("its bytes cannot be decoded") from None
    undone = properties["photometric_interpretation"] == "RGB"  # by JPEG 2000 itself
    return samples, "RGB" if undone else header.photometric


@dataclass(frozen=True, slots=True, kw_only=True)
class _JpegFrame:
    """Properties of a JPEG code stream, from its markers."""

    hw_px: tuple[int, int]
    bits: int
    components: bytes  # their ids
    is_subsampled: bool
    is_lossless: bool
    is_jfif: bool
    adobe_transform: int | None
    bare: bytes  # the code stream without application markers


def _decode_jpeg(header: DicomHeader, data: bytes) -> tuple[Samples, str]:
    """Decode with OpenCV: samples and their photometric interpretation."""
    frame = _jpeg_frame(data)
    if frame.bits != 8:
        raise FrameError(f"it has {frame.bits} bits a sample, and only 8 are supported")
    if frame.hw_px != header.hw_px or len(frame.components) != header.samples:
        raise FrameError(
            f"its image has {frame.hw_px[1]} x {frame.hw_px[0]} px with {len(frame.components)} components, "
            f"not {header.hw_px[1]} x {header.hw_px[0]} px with {header.samples}"
        )
    try:
        decoded = cv2.imdecode(np.frombuffer(frame.bare, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise FrameError("its bytes cannot be decoded")
    samples = np.asarray(decoded, np.uint8)
    if header.samples == 1:
        return samples, header.photometric
    return samples[..., ::-1], _jpeg_meaning(frame, header.photometric)


def _jpeg_meaning(frame: _JpegFrame, photometric: str) -> str:
    """Photometric interpretation of three components."""
    ybr = photometric if photometric.startswith(("YBR_FULL", "YBR_PARTIAL")) else "YBR_FULL"
    if frame.is_jfif:
        return "YBR_FULL"
    if frame.adobe_transform is not None:
        return "RGB" if frame.adobe_transform == 0 else "YBR_FULL"
    if frame.is_subsampled:
        return ybr
    if frame.components in (b"RGB", b"rgb"):
        return "RGB"
    if frame.components == b"\1\2\3" and not frame.is_lossless:
        return ybr
    return photometric if photometric == "RGB" else ybr


def _jpeg_frame(data: bytes) -> _JpegFrame:
    """Read the markers up to the first scan."""
    end = data.rfind(b"\xff\xd9")
    if not data.startswith(b"\xff\xd8") or end < 0:
        raise FrameError("its bytes are not a complete JPEG image")
    kept = [b"\xff\xd8"]
    found: tuple[int, bytes] | None = None  # kind and content of the SOF marker
    is_jfif, adobe_transform = False, None
    position = 2
    while position + 4 <= end:
        if data[position] != 0xFF:
            break
        mark = data[position + 1]
        if mark == 0xFF:  # a fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if mark in _FRAME_STARTS and len(body) >= 9:
            found = mark, body
        is_jfif |= mark == 0xE0 and body.startswith(b"JFIF")
        if mark == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe_transform = body[11]
        if mark == 0xDA and found is not None:
            kind, facts = found
            components = facts[6 : 6 + 3 * facts[5] : 3]
            head = b"".join([kept[0], _AS_STORED if len(components) == 3 else b"", *kept[1:]])
            return _JpegFrame(
                hw_px=(int.from_bytes(facts[1:3], "big"), int.from_bytes(facts[3:5], "big")),
                bits=facts[0],
                components=components,
                is_subsampled=len(set(facts[7 : 7 + 3 * facts[5] : 3])) > 1,
                is_lossless=kind == _LOSSLESS,
                is_jfif=is_jfif,
                adobe_transform=adobe_transform,
                bare=head + data[position : end + 2],
            )
        if not 0xE0 <= mark <= 0xEF:
            kept.append(data[position : position + 2 + length])
        position += 2 + length
    raise FrameError("its bytes are not a supported JPEG image")


def _coloured(header: DicomHeader, samples: Samples, photometric: str) -> UInt8Array:
    """Convert samples to grey or RGB."""
    if header.palette is not None:
        return np.asarray(header.palette[samples], np.uint8)
    if header.samples == 1:
        table = _grey_table(header.bits_stored, photometric == "MONOCHROME1")
        return np.asarray(table[np.minimum(samples, table.size - 1)], np.uint8)
    components = np.asarray(samples, np.uint8)
    if photometric in ("RGB", "YBR_RCT", "YBR_ICT"):  # the decoder undoes the latter two
        return np.ascontiguousarray(components)
    return _to_rgb(components, partial=photometric.startswith("YBR_PARTIAL"))


@cache
def _grey_table(bits: int, turned: bool) -> UInt8Array:
    """Output level for every value of a grey sample."""
    most = 2**bits - 1
    levels = np.rint(np.arange(most + 1) * (255.0 / most)).astype(np.uint8)
    return np.asarray(255 - levels if turned else levels, np.uint8)


def _to_rgb(components: UInt8Array, *, partial: bool) -> UInt8Array:
    """RGB from luma and two colour differences, rounded to the nearest level."""
    luma, red, green, blue = _colour_tables(partial)
    y = luma[components[..., 0]]
    cb, cr = components[..., 1], components[..., 2]
    rgb = np.empty(components.shape, np.float32)
    np.add(y, red[cr], out=rgb[..., 0])
    np.subtract(y, green[0][cb], out=rgb[..., 1])
    rgb[..., 1] -= green[1][cr]
    np.add(y, blue[cb], out=rgb[..., 2])
    rgb += 0.5
    np.clip(rgb, 0.0, 255.0, out=rgb)
    return rgb.astype(np.uint8)


@cache
def _colour_tables(
    partial: bool,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Contribution of each component to each colour."""
    value = np.arange(256, dtype=np.float64)
    luma = (value - 16.0) * (255.0 / 219.0) if partial else value
    difference = (value - 128.0) * (255.0 / 224.0 if partial else 1.0)
    luma_green = 1.0 - _LUMA_RED - _LUMA_BLUE
    red, blue = 2.0 * (1.0 - _LUMA_RED), 2.0 * (1.0 - _LUMA_BLUE)
    green = np.stack([difference * (_LUMA_BLUE * blue / luma_green), difference * (_LUMA_RED * red / luma_green)])
    return (
        luma.astype(np.float32),
        (difference * red).astype(np.float32),
        green.astype(np.float32),
        (difference * blue).astype(np.float32),
    )
