"""A folder of images as a source, in natural order of their names, ten a second.

Images of one size whose scan areas agree count as one sequence and get one crop; otherwise each image is cropped on its
own, and ``info`` describes the first. Each image is judged on its own: one in colour Doppler carries the state
``not_b_mode``, and each has the scale of its own ruler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError, SourceError, SourceFormatError, UsageError
from usassist.frames import find_scan_area
from usassist.records import SourceInfo
from usassist.sources.address import IMAGE_SUFFIXES
from usassist.sources.base import SourceOptions
from usassist.sources.cropping import Roi, choose_roi, common_area, cut, is_automatic
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.pixels import luma, to_eight_bits
from usassist.sources.watch import ClipWatch

__all__ = ["ImagesSource", "open_address", "read_image"]

UInt8Array = npt.NDArray[np.uint8]

RATE_HZ = 10.0
_SAMPLES = 8
_DIGITS = re.compile(r"(\d+)")


def open_address(rest: str, options: SourceOptions) -> ImagesSource:
    """Open ``images:DIR``, or one image."""
    if not rest:
        raise UsageError("source images needs a folder; write images:FOLDER")
    return ImagesSource(Path(rest).expanduser(), options)


class ImagesSource(PacedSource):
    """Images of a folder as a source.

    Parameters
    ----------
    path : a folder with png, jpg, bmp or tif images (subfolders are not searched), or one such image
    options : see :class:`usassist.sources.SourceOptions`

    Raises
    ------
    SourceError
        If the path is missing or may not be read.
    SourceFormatError
        If there are no images, or one that was sampled cannot be read.
    ScanAreaError
        If the scan area has to be found and is not.
    """

    separate_images = True

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self._paths = _list_images(path)
        first = read_image(self._paths[0])
        self._colour = first.ndim == 3
        self._roi_of_size: dict[tuple[int, int], Roi] = {}
        if is_automatic(options) and (common := self._common_area(first)) is not None:
            options = replace(options, crop=common)
            self._roi_of_size[first.shape[:2]] = common
        self._wanted = options
        roi = self._roi(self._paths[0], first)
        info = SourceInfo(
            description=f"{len(self._paths)} images, {RATE_HZ:g} Hz",
            image_hw_px=(roi[3] - roi[1], roi[2] - roi[0]),
            channels=3 if self._colour else 1,
            rate_hz=RATE_HZ,
            frame_count=options.frame_count(len(self._paths)),
            roi_xyxy_px=roi,
            grab_hw_px=(first.shape[0], first.shape[1]),
            kind="clip",
        )
        super().__init__(info, options)

    def _raw_frames(self) -> Iterator[RawFrame]:
        number, watch = 0, ClipWatch(separate=True)
        while True:
            for path in self._paths:
                image = read_image(path)
                if self._colour and image.ndim == 2:
                    image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
                roi = self._roi(path, image)
                part, t_media_ns = cut(image, roi), round(number * 1e9 / RATE_HZ)
                state, reason = watch.judge(part, t_media_ns)
                yield RawFrame(
                    image=part,
                    roi_xyxy_px=roi,
                    t_media_ns=t_media_ns,
                    screen=partial(luma, image),
                    state=state,
                    state_reason=reason,
                )
                number += 1
            if not self._options.repeat:
                return

    def _roi(self, path: Path, image: UInt8Array) -> Roi:
        grab_hw_px = (image.shape[0], image.shape[1])
        known = self._roi_of_size.get(grab_hw_px)
        if known is not None:
            return known
        options = self._wanted
        if self._roi_of_size:  # the common crop belongs to images of another size
            options = replace(options, crop="auto")
        try:
            return choose_roi(options, grab_hw_px, lambda: [[image]])
        except ScanAreaError as error:
            raise ScanAreaError(f"{path.name}: {error}") from error

    def _common_area(self, first: UInt8Array) -> Roi | None:
        """The scan area of the whole sequence, or None when the images are not one sequence."""
        count = len(self._paths)
        if count == 1:
            return None
        chosen = sorted({round(index * (count - 1) / (_SAMPLES - 1)) for index in range(1, _SAMPLES)} - {0})
        samples = [first, *(read_image(self._paths[index]) for index in chosen)]
        if any(sample.shape[:2] != first.shape[:2] for sample in samples):
            return None
        areas: list[Roi] = []
        for sample in samples:
            try:
                areas.append(find_scan_area([sample]).xyxy_px)
            except ScanAreaError:  # a dark image in a sequence; the others decide
                continue
        return common_area(areas)


def read_image(path: Path) -> UInt8Array:
    """Read one image, upright, without its alpha channel.

    Parameters
    ----------
    path : a png, jpg, bmp or tif file; 16-bit samples are scaled over their whole range

    Returns
    -------
    image : uint8 (H, W) for a grey file, else uint8 (H, W, 3) RGB

    Raises
    ------
    SourceError
        If the file may not be read.
    SourceFormatError
        If it holds no image, an incomplete one, more than one, or samples that are not integers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}; check the file") from error
    if not data:
        raise SourceFormatError(f"{path.name} is empty; copy it again or remove it from the folder")
    pages: tuple[npt.NDArray[np.generic], ...] = ()
    if _is_complete(data):
        buffer = np.frombuffer(data, np.uint8)
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
        try:
            if path.suffix.lower() in (".tif", ".tiff"):
                pages = tuple(cv2.imdecodemulti(buffer, flags)[1])
            else:
                image = cv2.imdecode(buffer, flags)
                pages = () if image is None else (image,)
        except cv2.error:
            pages = ()
    if not pages:
        raise SourceFormatError(f"{path.name} is not an image that can be read; remove it from the folder")
    if len(pages) > 1:
        raise SourceFormatError(f"{path.name} holds {len(pages)} images; save each as a file of its own")
    page = pages[0]
    if page.dtype not in (np.uint8, np.uint16):
        raise SourceFormatError(f"{path.name} has samples of type {page.dtype}; save it with 8 or 16 bits")
    grey_or_bgr = to_eight_bits(np.asarray(page))
    if grey_or_bgr.ndim == 2:
        return grey_or_bgr
    return np.asarray(cv2.cvtColor(grey_or_bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _list_images(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            paths = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
        elif path.exists():
            return [path]
        else:
            raise SourceError(f"there is no folder {path}; check the path")
    except PermissionError:
        raise SourceError(f"{path.name} may not be read by this user; change its permissions") from None
    except SourceError:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"{path.name} cannot be read: {error}; check the path") from error
    if not paths:
        raise SourceFormatError(f"folder {path.name} holds no png, jpg, bmp or tif images; give another folder")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts frame 9 before frame 10."""
    parts = _DIGITS.split(path.name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], path.name


def _is_complete(data: bytes) -> bool:
    """False when the file is obviously cut off; the decoder would fill the rest with grey without an error."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") > 0
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-4096:]
    if data.startswith(b"BM"):
        return len(data) >= int.from_bytes(data[2:6], "little")
    return True
