"""The loop as people write it: OpenCV, ONNX Runtime, both as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

__all__ = ["open_way"]

UInt8Array = npt.NDArray[np.uint8]
Loop = Callable[[int, int], Iterator[UInt8Array]]


def open_way(model: Path, folder: Path) -> tuple[str, Loop]:
    """The session and its loop.

    Parameters
    ----------
    model : ONNX file; its first output is the mask
    folder : with ``bgr.npy``, uint8 (N, H, W, 3), as ``cv2.VideoCapture`` gives them

    Returns
    -------
    versions, loop : the loop takes the first frame and how many, and gives a mask of 0 and 1, uint8 (H, W), for each
    """
    frames: Any = np.load(folder / "bgr.npy", mmap_mode="r")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    _, _, height, width = session.get_inputs()[0].shape

    def loop(first: int, count: int) -> Iterator[UInt8Array]:
        for frame in frames[first : first + count]:
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            tensor = cv2.resize(grey, (width, height)).astype(np.float32) / 255.0
            prob = session.run(None, {name: tensor[None, None]})[0][0, 0]
            mask = (prob > 0.5).astype(np.uint8)
            yield cv2.resize(mask, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_NEAREST)

    return f"OpenCV {cv2.__version__}, ONNX Runtime {onnxruntime.__version__}", loop
