"""Which transfer syntaxes of DICOM are played, and what to do about the others."""

from __future__ import annotations

import re

from pydicom import uid

__all__ = ["JPEG_2000_SYNTAXES", "JPEG_SYNTAXES", "refusal"]

JPEG_SYNTAXES = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1})
JPEG_2000_SYNTAXES = frozenset({uid.JPEG2000Lossless, uid.JPEG2000})
_PLAYED = frozenset(
    {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless}
    | JPEG_SYNTAXES
    | JPEG_2000_SYNTAXES
)
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.\d+)?")  # MPEG-2, H.264 and H.265


def refusal(syntax: uid.UID) -> str | None:
    """Why files of this transfer syntax are not played and how to convert them; None where they are played."""
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
