"""Which transfer syntaxes of DICOM are played, and what to do about the others."""

from __future__ import annotations

import re

from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

__all__ = ["JPEG_2000_SYNTAXES", "JPEG_LS_SYNTAXES", "JPEG_SYNTAXES", "refusal"]

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


def refusal(syntax: uid.UID) -> str | None:
    """Why files of this transfer syntax are not played and what helps; None where they are played."""
    if syntax in JPEG_2000_SYNTAXES and "pillow" not in get_decoder(syntax).available_plugins:
        return _missing(syntax, "a Pillow with OpenJPEG", "pip install --force-reinstall pillow")
    if syntax in JPEG_LS_SYNTAXES and "pyjpegls" not in get_decoder(syntax).available_plugins:
        return _missing(syntax, "pyjpegls", "pip install 'usassist[jpegls]'")
    if syntax in _PLAYED:
        return None
    name = syntax.name if syntax.is_valid else "of no known name"
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return f"has the transfer syntax {name}, which is not played here; convert it with: dcmconv +te FILE OUT.dcm"
    if _VIDEO.fullmatch(syntax):
        return (
            f"holds a video stream ({name}), which is not played here; "
            "write it out with: dcmdump +W FOLDER FILE, and give the file it writes as clip:FILE"
        )
    return f"has the transfer syntax {name}, which is not played here; convert it with: gdcmconv --raw FILE OUT.dcm"


def _missing(syntax: uid.UID, what: str, command: str) -> str:
    return (
        f"has the transfer syntax {syntax.name}, for which {what} is missing here; install it with: {command}, "
        "or convert the file with: gdcmconv --raw FILE OUT.dcm"
    )
