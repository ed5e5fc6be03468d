"""Draw the golden pictures of the window again: ``make golden-pictures``. Look at them before a commit."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.golden.overlay.scenes import FOLDER, GOLDEN, render

__all__ = ["difference", "read"]

_BLUR_PX = 5
_COLORS = 64


def read(name: str) -> npt.NDArray[np.uint8]:
    """A golden picture, uint8 (H, W, 3) RGB."""
    image = cv2.imread(str(FOLDER / f"{name}.png"))
    assert image is not None, f"{name}.png is missing; make golden-pictures draws it"
    return np.asarray(image[..., ::-1], np.uint8)


def difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Largest difference of two pictures of one size, in grey levels, each the mean of a square of 5 px.

    Other hinting of a letter moves its edges by less than half a pixel and makes a small one; a line, a letter or a
    label that is moved by 2 px, added or left out makes a large one.
    """
    means = (cv2.blur(image.astype(np.float32), (_BLUR_PX, _BLUR_PX)) for image in (one, other))
    return float(np.abs(next(means) - next(means)).max())


def main() -> None:
    """Write all of them, with a palette, which makes small files."""
    for name in GOLDEN:
        picture = Image.fromarray(render(name)).quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        picture.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
