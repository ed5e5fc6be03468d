"""UIDs that follow from what they name, so that the same thing made twice has the same UID."""

from __future__ import annotations

import hashlib
import hmac
import uuid

__all__ = ["derived_uid", "keyed_uid"]


def derived_uid(*parts: str) -> str:
    """The UID of what `parts` name: ``2.25.`` and a version-5 style UUID as a decimal (DICOM PS3.5 annex B.2).

    Parameters
    ----------
    parts : texts; ("ab", "c") and ("a", "bc") give different UIDs

    Returns
    -------
    uid : at most 44 characters
    """
    framed = b"".join(len(data).to_bytes(8, "big") + data for data in (part.encode() for part in parts))
    return _uid(hashlib.sha256(b"usassist uid\0" + framed).digest())


def keyed_uid(key: bytes, uid: str) -> str:
    """Another UID for `uid`: the same for the same key, and without the key not to be traced back.

    Parameters
    ----------
    key : secret, 16 bytes or more
    uid : that is replaced

    Raises
    ------
    ValueError
        If the key is shorter.
    """
    if len(key) < 16:
        raise ValueError(f"the key must have 16 bytes or more, got {len(key)}")
    return _uid(hmac.new(key, b"usassist uid\0" + uid.encode(), hashlib.sha256).digest())


def _uid(digest: bytes) -> str:
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
