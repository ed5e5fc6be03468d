"""Encoding of a DICOM file: preamble, meta header, transfer syntax, and where its pixels begin.

PS3.10 requires 128 bytes and DICM first, and a meta header that names the transfer syntax. Files without them are
common (data sets that were saved as they were received). Their encoding can be detected from their bytes, so they are
read, with a warning that names the fix.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom import Dataset, dcmread, uid
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from usassist.errors import SourceFormatError

__all__ = [
    "JPEG_2000_SYNTAXES",
    "JPEG_LS_SYNTAXES",
    "JPEG_SYNTAXES",
    "PixelElement",
    "missing_parts",
    "pixel_element",
    "read_dataset",
    "refusal",
    "stated_syntax",
    "syntax_of",
]

JPEG_SYNTAXES = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1})
JPEG_2000_SYNTAXES = frozenset({uid.JPEG2000Lossless, uid.JPEG2000})
JPEG_LS_SYNTAXES = frozenset({uid.JPEGLSLossless, uid.JPEGLSNearLossless})
_PLAYED = frozenset(
    {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless}
    | JPEG_SYNTAXES
    | JPEG_2000_SYNTAXES
    | JPEG_LS_SYNTAXES
)
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.\d+)?")  # MPEG-2, H.264 and H.265

_UNDEFINED = 0xFFFFFFFF
_PREFIX_AT, _PREFIX = 128, b"DICM"
_META, _IDENTITY = 0x0002, 0x0008  # the groups that a file or a data set begins with
_MAX_FIRST_BYTES = 1024  # of the first element of a data set: a number or a name
_VRS = frozenset({b"AE", b"CS", b"DA", b"IS", b"LO", b"OB", b"SH", b"UI", b"UL", b"UN", b"US"})
_PIXEL_VRS = frozenset({b"OB", b"OW", b"UN"})
_JPEG_KINDS = {
    0xC0: uid.JPEGBaseline8Bit,
    0xC1: uid.JPEGExtended12Bit,
    0xC2: uid.JPEGExtended12Bit,
    0xC3: uid.JPEGLosslessSV1,
    0xF7: uid.JPEGLSLossless,
}
_JPEG_HEAD_BYTES = 65536  # more than the markers before the image take


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """The pixel data element.

    Attributes
    ----------
    vr : OB, OW or UN
    start : offset of its value in the file
    length : bytes of its value; None where the pixels are encapsulated
    """

    vr: str
    start: int
    length: int | None


def read_dataset(file: BinaryIO, tags: list[int] | None) -> Dataset:
    """Read the elements of these tags, None = all; `file` must be at its start and is left at the pixel data.

    Raises
    ------
    InvalidDicomError
        If it begins neither as a DICOM file nor as a data set.
    """
    has_prefix = file.read(_PREFIX_AT + len(_PREFIX))[_PREFIX_AT:] == _PREFIX
    file.seek(0)
    if not has_prefix:
        if not _begins_as_dataset(file.read(8)):
            raise InvalidDicomError
        file.seek(0)
    return dcmread(file, stop_before_pixels=True, force=not has_prefix, specific_tags=tags)


def missing_parts(dataset: Dataset) -> str:
    """Required parts of a DICOM file that this one lacks; empty where none is missing."""
    parts = []
    if not getattr(dataset, "preamble", None):
        parts.append("preamble")
    if not dataset.file_meta:
        parts.append("meta header")
    elif not stated_syntax(dataset):
        parts.append("transfer syntax")
    return " and no ".join(parts)


def stated_syntax(dataset: Dataset) -> uid.UID:
    """The transfer syntax that the meta header states; empty where it states none."""
    return uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "") or ""))


def pixel_element(dataset: Dataset, file: BinaryIO) -> PixelElement:
    """Read the pixel data element at the position of `file`; its VR is detected from its bytes.

    Raises
    ------
    SourceFormatError
        If there is none, or its values are not integers.
    """
    order = "<" if dataset.original_encoding[1] else ">"
    start = file.read(12)
    if len(start) < 12:
        raise SourceFormatError("holds no pixel data, or breaks off before them; export the images again")
    group, element, vr, spare = struct.unpack(f"{order}HH2sH", start[:8])
    if (group, element) != (0x7FE0, 0x0010):
        raise SourceFormatError("holds pixels that are not integers, not an image; export the images again")
    if vr in _PIXEL_VRS and spare == 0:  # explicit: no implicit length looks like this below 16 kB
        (length,) = struct.unpack(f"{order}L", start[8:])
    else:
        vr, (length,) = b"OW", struct.unpack(f"{order}L", start[4:8])
        file.seek(-4, os.SEEK_CUR)
    return PixelElement(vr=vr.decode("ascii"), start=file.tell(), length=None if length == _UNDEFINED else length)


def syntax_of(dataset: Dataset, pixels: PixelElement, file: BinaryIO) -> uid.UID:
    """The transfer syntax that the file states, else the one detected from its bytes; the position of `file` changes.

    Raises
    ------
    SourceFormatError
        If the file states none and the compression of its pixels is unknown.
    """
    stated = stated_syntax(dataset)
    if stated:
        return stated
    if pixels.length is None:
        return _coding(pixels, file)
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian


def _begins_as_dataset(start: bytes) -> bool:
    """True when the first element is one that can begin a meta header or a data set."""
    if len(start) < 8:
        return False
    for order in "<>":
        group, element, vr, short = struct.unpack(f"{order}HH2sH", start)
        (length,) = struct.unpack(f"{order}L", start[4:])
        if group in (_META, _IDENTITY) and element <= 0x0070:
            is_implicit = order == "<" and group == _IDENTITY and length <= _MAX_FIRST_BYTES
            return is_implicit or (vr in _VRS and short <= _MAX_FIRST_BYTES)
    return False


def _coding(pixels: PixelElement, file: BinaryIO) -> uid.UID:
    """Detect the compression by the first bytes of the first frame."""
    file.seek(pixels.start)
    table = file.read(8)
    file.seek(int.from_bytes(table[4:], "little") + 8, os.SEEK_CUR)
    data = file.read(_JPEG_HEAD_BYTES)
    if data.startswith(b"\xff\x4f\xff\x51"):
        return uid.JPEG2000
    if data.startswith(b"\xff\xd8\xff"):
        position = 2
        while position + 4 <= len(data) and data[position] == 0xFF:
            if data[position + 1] in _JPEG_KINDS:
                return _JPEG_KINDS[data[position + 1]]
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    elif len(data) >= 64 and 1 <= data[0] <= 15 and data[1:8] == b"\0\0\0\x40\0\0\0":
        return uid.RLELossless
    raise SourceFormatError(
        "states no transfer syntax, and the compression of its pixels is unknown; export it again from the scanner"
    )


def refusal(syntax: uid.UID) -> str | None:
    """Why files of this transfer syntax are not played, and what to do; None where they are played."""
    if syntax in JPEG_2000_SYNTAXES and "pillow" not in get_decoder(syntax).available_plugins:
        return _missing(syntax, "a Pillow with OpenJPEG", "pip install --force-reinstall pillow")
    if syntax in JPEG_LS_SYNTAXES and "pyjpegls" not in get_decoder(syntax).available_plugins:
        return _missing(syntax, "pyjpegls", "pip install 'usassist[jpegls]'")
    if syntax in _PLAYED:
        return None
    name = syntax.name if syntax.is_valid else "(unknown)"
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return f"has the transfer syntax {name}, which is not supported; convert it with: dcmconv +te FILE OUT.dcm"
    if _VIDEO.fullmatch(syntax):
        return (
            f"holds a video stream ({name}), which is not supported; "
            "extract it with: dcmdump +W FOLDER FILE, and give the file that it writes as clip:FILE"
        )
    return f"has the transfer syntax {name}, which is not supported; convert it with: gdcmconv --raw FILE OUT.dcm"


def _missing(syntax: uid.UID, what: str, command: str) -> str:
    return (
        f"has the transfer syntax {syntax.name}, which needs {what}; install it with: {command}, "
        "or convert the file with: gdcmconv --raw FILE OUT.dcm"
    )
