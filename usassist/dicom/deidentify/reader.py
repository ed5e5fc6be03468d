"""A text reader: finds text of any kind on an image, with the network of ``rapidocr-onnxruntime`` (Apache-2.0).

It has nothing in common with ``frames/burnt_text.py``, so it can check its work. What it reads never leaves this
module; only where something was read does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError

__all__ = ["TextReader", "has_reader"]

_PACKAGE = "rapidocr_onnxruntime"
_LEAST_SCORE = 0.5
_LEAST_SCORE_OF_DOUBT = 0.9  # of a letter that stands alone, and of tall ones: anatomy is easily read as such
_TALL = 0.1  # of the height of the image
_RIM_PX = 3


def has_reader() -> bool:
    """True where the extra ``ocr`` is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


class TextReader:
    """Reads text on images, on one core; a few tenths of a second an image.

    Raises
    ------
    UsageError
        If the extra ``ocr`` is not installed.
    """

    def __init__(self) -> None:
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError:
            raise UsageError("no text reader is installed; install it with: pip install 'usassist[ocr]'") from None
        with _quiet():
            self._network: Any = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def find(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Where something is read.

        Parameters
        ----------
        image : uint8 (H, W) or (H, W, 3) RGB

        Returns
        -------
        bool (H, W), set in the boxes around every letter or digit that was read, with a margin of 3 px
        """
        colour = image if image.ndim == 3 else np.dstack([image] * 3)
        found = np.zeros(image.shape[:2], np.bool_)
        with _quiet():
            lines, _ = self._network(np.ascontiguousarray(colour[..., ::-1]), use_cls=False)
        for corners, text, score in lines or ():
            points = np.asarray(corners, np.float64)
            (x1, y1), (x2, y2) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
            letters = sum(letter.isalnum() for letter in str(text))
            tall = y2 - y1 > _TALL * len(image)
            least = _LEAST_SCORE_OF_DOUBT if tall or letters == 1 else _LEAST_SCORE
            if not letters or (letters == 1 and tall) or float(score) < least:
                continue
            left, top = max(0, int(x1) - _RIM_PX), max(0, int(y1) - _RIM_PX)
            found[top : int(y2) + _RIM_PX + 1, left : int(x2) + _RIM_PX + 1] = True
        return found


@contextlib.contextmanager
def _quiet() -> Any:
    """Without the lines that the package logs about every image without text."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
