"""Read short printed numbers and depth labels with the network of ``rapidocr-onnxruntime`` (Apache-2.0, PP-OCRv4).

Only its weights and its table of letters are used: the network runs in ONNX Runtime with one thread, on small crops
that hold one number or one line each. A text becomes a number or nothing in this module, and leaves it as that.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.onnx_runtime import import_onnxruntime

__all__ = ["MISSING_READER", "DepthText", "has_text_reader", "read_depths", "read_numbers"]

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
_POINTS = " .,:="  # one is easily taken for another, and that does not count in a score
_BATCH = 8  # lines of similar length
_LEAST_SCORE = 0.85  # of the least certain letter of a depth label
_WORDS = "depth|dpth|tiefe|prof|d"
_DEPTH = re.compile(
    rf"((?P<word>{_WORDS})(?P<apart>\s?[.:=]\s?|\s)?)?(?P<number>(?P<cm>\d{{1,2}}([.,]\d)?)\s?cm|(?P<mm>\d{{2,3}})\s?mm)"
)
_WORD = re.compile(rf"({_WORDS})\s?[.:=]?")
_SHORT = re.compile(r"\d([.,]\d)?")  # a number behind a D without a space: "D12.0cm" may be "D1 2.0 cm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthText:
    """What a line says about the depth of the image.

    Attributes
    ----------
    depth_mm : a number with its unit; None where the line is only the word for depth
    named : the line has the word
    """

    depth_mm: float | None
    named: bool


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
    return [_number(*read) for read in _read(crops)]


def read_depths(crops: list[UInt8Array]) -> list[DepthText | None]:
    """Read one depth label from each crop: ``4 cm``, ``D 4.0cm``, ``Depth 45 mm``, or a word for depth alone.

    Scanners write depths to a tenth of a centimetre or to a whole millimetre; distances that were measured have more
    digits, and are none. Neither is a line with anything else in it.

    Parameters
    ----------
    crops : uint8 (h, w), grey, each tight around one light line on dark ground

    Returns
    -------
    depths : of each; None where the crop reads as something else or not surely, and for all crops where the extra is
        not installed
    """
    order = sorted(range(len(crops)), key=lambda at: crops[at].shape[1] / crops[at].shape[0])
    found: list[DepthText | None] = [None] * len(crops)
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        for at, read in zip(part, _read([crops[at] for at in part]), strict=True):
            found[at] = _depth(*read)
    return found


def _read(crops: list[UInt8Array]) -> Iterator[tuple[str, float]]:
    """The text on each crop and the score of its least certain letter; empty without the extra."""
    path = _weights()
    if path is None or not crops:
        yield from [("", 0.0)] * len(crops)
        return
    session, letters = _network(str(path))
    inputs = [_input(crop) for crop in crops]
    width = max(_LEAST_WIDTH_PX, *(item.shape[2] for item in inputs))
    batch = np.zeros((len(inputs), 3, _HEIGHT_PX, width), np.float32)
    for row, item in zip(batch, inputs, strict=True):
        row[:, :, : item.shape[2]] = item
    shares = np.asarray(session.run(None, {session.get_inputs()[0].name: batch})[0], np.float32)
    for item in shares:
        yield _decoded(item, letters)


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
    onnxruntime = import_onnxruntime()

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


def _decoded(shares: Float32Array, letters: list[str]) -> tuple[str, float]:
    """Decode one output, float32 (steps, letters), greedily (CTC, Graves et al. 2006): its text and least score."""
    best = shares.argmax(axis=1)
    kept = np.flatnonzero((best > 0) & (best != np.r_[0, best[:-1]]))
    text = "".join(letters[best[step]] for step in kept)
    scores = [float(shares[step, best[step]]) for step in kept if letters[best[step]] not in _POINTS]
    return text, min(scores, default=0.0)


def _number(text: str, score: float) -> tuple[float, float] | None:
    if text in _ZEROS:
        text = "0"
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_LETTERS:
        return None
    return float(text), score


def _depth(text: str, score: float) -> DepthText | None:
    text = " ".join(text.split()).lower()
    if score < _LEAST_SCORE or not text.isascii():
        return None
    if _WORD.fullmatch(text):
        return DepthText(depth_mm=None, named=True)
    match = _DEPTH.fullmatch(text)
    if match is None:
        return None
    centimetres = match["cm"]
    if match["word"] == "d" and match["apart"] is None and not _SHORT.fullmatch(centimetres or ""):
        return None
    depth_mm = 10.0 * float(centimetres.replace(",", ".")) if centimetres else float(match["mm"])
    return DepthText(depth_mm=depth_mm, named=match["word"] is not None)
