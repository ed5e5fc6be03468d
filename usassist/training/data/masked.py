"""Pictures with a mask each, in two folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError

__all__ = ["read_masked_folder", "read_pair"]

UInt8Array = npt.NDArray[np.uint8]


def read_masked_folder(
    folder: Path, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, UInt8Array, UInt8Array]]:
    """Read ``images/NAME.jpg`` and ``masks/NAME.png`` of a folder, in the order of their names.

    Parameters
    ----------
    folder : the data set
    wanted : whether a frame is read, by its name

    Yields
    ------
    name, image and mask, both as of :func:`read_pair`

    Raises
    ------
    ConfigError
        When a frame or its mask cannot be read, when their sizes differ, or when no frame is wanted.
    """
    paths = [path for path in sorted((folder / "images").glob("*.jpg")) if wanted(path.stem)]
    if not paths:
        raise ConfigError(f"{folder} has no frames with masks; fetch the data set again")
    for path in paths:
        yield path.stem, *read_pair(path, folder / "masks" / f"{path.stem}.png")


def read_pair(image_path: Path, mask_path: Path) -> tuple[UInt8Array, UInt8Array]:
    """Read an image, grey, and its mask, 1 = marked; both uint8 (H, W)."""
    image = cv2.imread(str(image_path), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    if image is None or mask is None or image.shape != mask.shape:
        raise ConfigError(f"{image_path} and its mask cannot be read or differ in size; fetch the data set again")
    return np.asarray(image, np.uint8), (mask > 127).astype(np.uint8)
