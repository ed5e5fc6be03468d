"""A picture of the display: PNG, with frame, session and engine in it as text."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.words import Words

__all__ = ["png_with_text", "save_snapshot"]

_SIGNATURE_AND_HEADER = 8 + 25  # of a PNG file, up to its first chunk after IHDR


def png_with_text(canvas: npt.NDArray[np.uint8], texts: Mapping[str, str]) -> bytes:
    """A canvas, uint8 (H, W, 3) RGB, as PNG with texts by keyword (chunks ``iTXt``).

    Raises
    ------
    OSError
        If it cannot be encoded.
    """
    ok, data = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OSError(0, "it could not be encoded")
    png = data.tobytes()
    chunks = b"".join(
        _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")) for key, text in texts.items()
    )
    return png[:_SIGNATURE_AND_HEADER] + chunks + png[_SIGNATURE_AND_HEADER:]


def save_snapshot(canvas: npt.NDArray[np.uint8], path: Path, texts: Mapping[str, str], words: Words) -> str:
    """Write a canvas as PNG, readable by its owner alone; returns what has become of it."""
    try:
        data = png_with_text(canvas, texts)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        return words("said.not_saved", reason=error.strerror)
    return words("said.saved", name=path.name)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
