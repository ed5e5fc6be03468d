"""Labelled frames: from a folder (``images/`` and ``masks/``, same names up to the suffix) or from the phantom."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.frames import to_grey
from usassist.phantom import PhantomConfig, PhantomScanner

__all__ = ["LabelledFrame", "read_clips", "read_labelled", "read_negatives", "render_phantom"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_CLIP_FRAMES, _CLIP_STRIDE = 100, 20
_SWEEP_NUMBERS = 225  # file numbers per sweep, on average: 3585 frames of 16 sweeps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrame:
    """One frame as the scanner showed it, not cropped.

    Attributes
    ----------
    name : file name without suffix
    case : frames of one case belong together
    image : uint8 (H, W), grey
    truth : bool (H, W), True = nodule
    """

    name: str
    case: str
    image: UInt8Array
    truth: BoolArray


def read_labelled(folder: Path, names: list[str]) -> Iterator[LabelledFrame]:
    """Frames with their masks, in the order of ``names``.

    The case is the name up to the first underscore. Frames that are the same picture pixel by pixel are put into one
    case whatever they are called.

    Raises
    ------
    ConfigError
        If a file is missing or image and mask differ in size.
    """
    case_of_picture: dict[str, str] = {}
    for name in names:
        image = _read(folder / "images", name)
        mask = _read(folder / "masks", name)
        if image.shape != mask.shape:
            raise ConfigError(f"frame {name}: image {image.shape} and mask {mask.shape} differ; mend the data set")
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        case = case_of_picture.setdefault(digest, name.split("_")[0])
        yield LabelledFrame(name=name, case=case, image=image, truth=mask > 127)


def read_negatives(folder: Path, first_number: int = 0) -> Iterator[LabelledFrame]:
    """Frames on which no nodule is marked, named by running numbers that follow the sweeps they were taken from.

    The borders of the sweeps are not known; a block of file numbers as long as an average sweep counts as a case.

    Parameters
    ----------
    folder : holds ``images/``; masks are not read
    first_number : leave out lower file numbers
    """
    for path in sorted((folder / "images").iterdir()):
        number = re.fullmatch(r"\d+", path.stem)
        if number and int(path.stem) >= first_number:
            image = _read(folder / "images", path.stem)
            case = f"block{int(path.stem) // _SWEEP_NUMBERS}"
            yield LabelledFrame(name=path.stem, case=case, image=image, truth=np.zeros(image.shape, np.bool_))


def read_clips(folder: Path) -> Iterator[LabelledFrame]:
    """Frames of clips that show no thyroid at all: every 20th of the first 100 of each clip; a clip is a case.

    Parameters
    ----------
    folder : clips (``*.mp4``, ``*.mov``, ``*.mpeg``) in sub-folders
    """
    for path in sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".mp4", ".mov", ".mpeg")):
        clip = cv2.VideoCapture(str(path))
        try:
            for index in range(_CLIP_FRAMES):
                ok, frame = clip.read()
                if not ok:
                    break
                if index % _CLIP_STRIDE == 0:
                    image = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
                    truth = np.zeros(image.shape, np.bool_)
                    yield LabelledFrame(name=f"{path.stem}_{index}", case=path.stem, image=image, truth=truth)
        finally:
            clip.release()


def render_phantom(count: int) -> Iterator[LabelledFrame]:
    """Whole screens of simulated scanners: one scene and one moment for each seed from 1 to ``count``."""
    for seed in range(1, count + 1):
        moment_s = float(np.random.default_rng(seed).uniform(0.0, 10.0))
        shown = PhantomScanner(PhantomConfig.random(seed)).render(moment_s)
        image = to_grey(shown.screen)
        x1, y1, x2, y2 = shown.scan_xyxy_px
        truth = np.zeros(image.shape, np.bool_)
        truth[y1:y2, x1:x2] = shown.labelmap > 0
        yield LabelledFrame(name=f"{seed}", case=f"{seed}", image=image, truth=truth)


def _read(folder: Path, name: str) -> UInt8Array:
    for suffix in (".png", ".jpg"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is not None:
                return np.asarray(image, np.uint8)
    raise ConfigError(f"there is no readable {name}.png or {name}.jpg in {folder}; fetch the data set again")
