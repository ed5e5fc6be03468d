"""pyFAST: its ``SegmentationNetwork`` on its OpenVINO, as its examples have it, and the best that was found with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import fast
import numpy as np
import numpy.typing as npt

__all__ = ["open_tuned", "open_way"]

UInt8Array = npt.NDArray[np.uint8]
Loop = Callable[[int, int], Iterator[UInt8Array]]


def open_way(model: Path, folder: Path) -> tuple[str, Loop]:
    """As the examples have it: the network shrinks the frame and brings the mask back to its size, both by itself.

    Parameters
    ----------
    model : ONNX file with one output, the mask
    folder : with ``grey.npy``, uint8 (N, H, W, 1)

    Returns
    -------
    versions, loop : the loop takes the first frame and how many, and gives a mask of 0 and 1, uint8 (H, W), for each
    """
    images, network = _images(folder), _network(model)
    network.setResizeBackToOriginalSize(True)

    def loop(first: int, count: int) -> Iterator[UInt8Array]:
        for image in images[first : first + count]:
            network.connect(image)
            yield np.asarray(network.runAndGetOutputData(), np.uint8)[:, :, 0]

    return _versions(), loop


def open_tuned(model: Path, folder: Path) -> tuple[str, Loop]:
    """The same with the two slow steps gone round, which takes knowing where they are.

    The frame is shrunk without the Gaussian blur that FAST puts before it, and the mask is enlarged by OpenCV.
    """
    images, network = _images(folder), _network(model)

    def loop(first: int, count: int) -> Iterator[UInt8Array]:
        for image in images[first : first + count]:
            resizer = fast.ImageResizer.create(384, 256, blurOnDownsampling=False)
            resizer.connect(image)
            network.connect(resizer)
            mask = np.asarray(network.runAndGetOutputData(), np.uint8)[:, :, 0]
            size_wh = (image.getWidth(), image.getHeight())
            yield np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)

    return _versions(), loop


def _images(folder: Path) -> list[Any]:
    """The frames in FAST's own memory, and grey: it is spared copying them and taking the colour out."""
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    return [fast.Image.createFromArray(np.ascontiguousarray(grey)) for grey in np.load(folder / "grey.npy")]


def _network(model: Path) -> Any:
    return fast.SegmentationNetwork.create(
        str(model), scaleFactor=1 / 255, threshold=0.5, hasBackgroundClass=False, inferenceEngine="OpenVINO"
    )


def _versions() -> str:
    return f"pyFAST {version('pyFAST')} with its OpenVINO"
