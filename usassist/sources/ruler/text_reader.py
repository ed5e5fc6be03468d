"""Read a short printed number with the recognition network of ``rapidocr-onnxruntime`` (Apache-2.0, PP-OCRv4).

Only its weights and its table of letters are used: the network runs in ONNX Runtime with one thread, on small crops
that hold one number each. What it reads goes no further than the ruler that it stands beside.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["MISSING_READER", "has_text_reader", "read_numbers"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

MISSING_READER = "no text reader is installed; install usassist[ocr]"

_PACKAGE = "rapidocr_onnxruntime"
_WEIGHTS = "models/ch_PP-OCRv4_rec_infer.onnx"
_HEIGHT_PX = 48  # of the network's input
_BORDER = 0.35  # around a number, as a share of its height
_LEAST_WIDTH_PX = 96
_MOST_LETTERS = 4
_ZEROS = ("o", "O")  # a zero that stands alone


def has_text_reader() -> bool:
    """True where the extra ``ocr`` is installed."""
    return _weights() is not None


def read_numbers(crops: list[UInt8Array]) -> list[tuple[float, float] | None]:
    """Read one number from each crop.

    Parameters
    ----------
    crops : uint8 (h, w), grey, each tight around one light number on dark ground

    Returns
    -------
    numbers : value and score (0 to 1) of each; None where the crop does not read as a number, and for all crops where
        the extra is not installed
    """
    path = _weights()
    if path is None or not crops:
        return [None] * len(crops)
    session, letters = _network(str(path))
    inputs = [_input(crop) for crop in crops]
    width = max(_LEAST_WIDTH_PX, *(item.shape[2] for item in inputs))
    batch = np.zeros((len(inputs), 3, _HEIGHT_PX, width), np.float32)
    for row, item in zip(batch, inputs, strict=True):
        row[:, :, : item.shape[2]] = item
    shares = np.asarray(session.run(None, {session.get_inputs()[0].name: batch})[0], np.float32)
    return [_number(item, letters) for item in shares]


@cache
def _weights() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in () if spec is None else spec.submodule_search_locations or ():
        path = Path(folder) / _WEIGHTS
        if path.is_file():
            return path
    return None


@cache
def _network(path: str) -> tuple[Any, list[str]]:
    """The network and its letters, of which the first is none: the blank of its output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    letters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    return session, ["", *letters, " "]


def _input(crop: UInt8Array) -> Float32Array:
    """The network's input, float32 (3, 48, w), dark on light and within -1 to 1."""
    border = max(2, round(_BORDER * crop.shape[0]))
    framed = cv2.copyMakeBorder(255 - crop, border, border, border, border, cv2.BORDER_CONSTANT, value=[255])
    width = max(8, round(framed.shape[1] * _HEIGHT_PX / framed.shape[0]))
    scaled = cv2.resize(framed, (width, _HEIGHT_PX), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.repeat((scaled / 127.5 - 1.0)[None], 3, axis=0)


def _number(shares: Float32Array, letters: list[str]) -> tuple[float, float] | None:
    """Decode one output, float32 (steps, letters), greedily (CTC, Graves et al. 2006)."""
    best = shares.argmax(axis=1)
    kept = np.flatnonzero((best > 0) & (best != np.r_[0, best[:-1]]))
    text = "".join(letters[best[step]] for step in kept)
    if text in _ZEROS:
        text = "0"
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_LETTERS:
        return None
    return float(text), float(shares[kept, best[kept]].min())
