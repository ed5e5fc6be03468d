"""Images and masks in a folder: every file is either read or reported with the reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import SourceError, SourceFormatError
from usassist.frames import to_grey
from usassist.sources.address import IMAGE_SUFFIXES
from usassist.sources.images import read_image

__all__ = ["Skipped", "is_deep", "list_files", "list_images", "read_grey", "read_mask"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # the others hold 8 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file or frame that was skipped.

    Attributes
    ----------
    name : of the frame, or of the file
    reason : in words
    """

    name: str
    reason: str


def list_files(folder: Path) -> list[Path]:
    """Files and subfolders of a folder without hidden ones, in natural order (frame 9 before frame 10).

    Raises
    ------
    SourceError
        If there is no such folder or it may not be read.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise SourceError(f"there is no folder {folder}; check the path") from None
    except OSError as error:
        raise SourceError(f"folder {folder} cannot be read: {error.strerror}; check the path") from error
    return sorted(entries, key=_natural)


def list_images(entries: Iterable[Path], skipped: list[Skipped]) -> dict[str, Path]:
    """Images by name without suffix; other files, and images with the name of another, are added to `skipped`."""
    images: dict[str, Path] = {}
    for path in entries:
        if path.is_dir():
            skipped.append(Skipped(name=path.name, reason="a folder; images in it are not read"))
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            skipped.append(Skipped(name=path.name, reason="not an image: only png, jpg, jpeg, bmp and tif are read"))
        elif path.stem in images:
            skipped.append(Skipped(name=path.name, reason=f"same name as {images[path.stem].name}"))
        else:
            images[path.stem] = path
    return images


def read_grey(path: Path) -> tuple[UInt8Array, str]:
    """Read an image as the live path does, and convert it to grey.

    16-bit samples are scaled over the whole range of the type (0 to 65535 becomes 0 to 255, rounded), colour becomes
    luma (:func:`usassist.frames.to_grey`).

    Returns
    -------
    grey : uint8 (H, W)
    converted : ``16 bit``, ``colour``, both with a comma, or empty

    Raises
    ------
    SourceError
        If it cannot be read; the message starts with the file's name.
    """
    image = read_image(path)
    converted = ["16 bit"] if is_deep(path) else []
    if image.ndim == 3:
        converted.append("colour")
    return to_grey(image), ", ".join(converted)


def read_mask(path: Path) -> BoolArray:
    """Read a mask: white on black (thresholded at half, because of JPEG), or 1 on 0.

    Returns
    -------
    mask : bool (H, W)

    Raises
    ------
    SourceError
        If it cannot be read, or its values are neither black and white nor 0 and 1.
    """
    mask, _ = read_grey(path)
    if is_deep(path):  # a 16-bit label map of 0 and 1 would be all 0 in 8 bits
        deep = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH)
        if deep is not None and int(deep.max()) == 1:
            return np.asarray(deep > 0, np.bool_)
    brightest = int(mask.max())
    if brightest <= 1:
        return mask > 0
    if brightest <= 127:
        raise SourceFormatError(
            f"{path.name} is neither black and white nor 0 and 1: its brightest value is {brightest}; save it again"
        )
    return mask > 127


def is_deep(path: Path) -> bool:
    """Whether an image file has samples of 16 bits."""
    if path.suffix.lower() not in _DEEP_SUFFIXES:
        return False
    image = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    return image is not None and image.dtype == np.uint16


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key of natural order: frame 9 before frame 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], path.name
