"""A picture of the display: PNG, with frame, session and engine in it as text."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody
from usassist.records import Frame
from usassist.words import Words

__all__ = ["Snapshot", "png_with_text", "save_snapshot", "snapshot_line", "snapshot_of"]

_SIGNATURE_AND_HEADER = 8 + 25  # of a PNG file, up to its first chunk after IHDR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """A picture of the display: canvas, uint8 (H, W, 3) RGB; name without ending; texts for the file."""

    canvas: npt.NDArray[np.uint8]
    name: str
    texts: dict[str, str]


def snapshot_line(frame: Frame, lower: str, words: Words) -> str:
    """What the lower bar of a picture of a frame begins with: session and frame, then engine and back end."""
    return "   ".join((frame.session_id, words("frame.number", number=frame.frame_id), lower))


def snapshot_of(canvas: npt.NDArray[np.uint8], frame: Frame, engine: EngineBody | None, words: Words) -> Snapshot:
    """The picture of a frame, from its canvas, uint8 (H, W, 3) RGB."""
    texts = {
        "Software": "usassist",
        "Session": frame.session_id,
        "Frame": str(frame.frame_id),
        "Engine": "" if engine is None else engine.engine_id,
        "Comment": words("detail.notice"),
    }
    return Snapshot(canvas=canvas, name=f"{frame.session_id}-frame-{frame.frame_id:06d}", texts=texts)


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
