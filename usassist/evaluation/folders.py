"""Labelled frames, from folders of images, masks and clips, or from the phantom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError, SourceError
from usassist.evaluation.cases import Cases, block_of
from usassist.evaluation.images import Skipped, list_files, list_images, read_grey, read_mask
from usassist.evaluation.truth import NoduleSize, Scale
from usassist.frames import to_grey
from usassist.phantom import PhantomConfig, PhantomScanner

__all__ = [
    "LabelledFrame",
    "Pair",
    "list_negatives",
    "list_pairs",
    "read_clips",
    "read_labelled",
    "read_negatives",
    "read_pairs",
    "render_phantom",
]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

CLIP_SUFFIXES = (".mp4", ".mov", ".mpeg")
_CLIP_FRAMES, _CLIP_STRIDE = 100, 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrame:
    """One frame of a scanner's screen, not cropped.

    Attributes
    ----------
    name : file name without suffix
    case : frames of one case belong together
    image : uint8 (H, W), grey
    truth : bool (H, W), True = nodule; of a frame with boxes: inside of a box
    boxes_xyxy_px : float64 (T, 4), the nodules of a frame with boxes for truth; None = `truth` is a mask
    identity : uint8 (H, W), 0 = nothing, else which nodule of its clip it is, from 1; None = not known
    sizes : true sizes of the nodules with an identity; None = not known
    scale : what a stream is told of the scale; None = there is none, so that nothing is measured in mm
    converted : conversions of the original: ``16 bit``, ``colour``, both, or empty
    """

    name: str
    case: str
    image: UInt8Array
    truth: BoolArray
    converted: str = ""
    boxes_xyxy_px: npt.NDArray[np.float64] | None = None
    identity: UInt8Array | None = None
    sizes: tuple[NoduleSize, ...] | None = None
    scale: Scale | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image and its mask on disk."""

    name: str
    image: Path
    mask: Path


def list_pairs(images: Path, masks: Path, names: Sequence[str] | None, skipped: list[Skipped]) -> list[Pair]:
    """Pair images and masks of the same name.

    Parameters
    ----------
    images, masks : folders
    names : only these, in this order; None = all, and files that cannot be used are added to `skipped`
    skipped : skipped files and frames are added here

    Raises
    ------
    SourceError
        If a folder is missing.
    """
    strays: list[Skipped] = []
    image_by_name = list_images(list_files(images), strays)
    mask_by_name = list_images(list_files(masks), strays)
    pairs = []
    for name in list(dict.fromkeys([*image_by_name, *mask_by_name])) if names is None else names:
        if name not in image_by_name:
            skipped.append(Skipped(name=name, reason="no image" if name in mask_by_name else "neither image nor mask"))
        elif name not in mask_by_name:
            skipped.append(Skipped(name=name, reason="no mask"))
        else:
            pairs.append(Pair(name=name, image=image_by_name[name], mask=mask_by_name[name]))
    skipped.extend(stray for stray in strays if names is None or Path(stray.name).stem in names)
    return pairs


def read_pairs(pairs: Iterable[Pair], cases: Cases, skipped: list[Skipped]) -> Iterator[LabelledFrame]:
    """Read the frames of :func:`list_pairs`; those that cannot be used are added to `skipped`."""
    for pair in pairs:
        try:
            image, converted = read_grey(pair.image)
            truth = read_mask(pair.mask)
        except SourceError as error:
            skipped.append(Skipped(name=pair.name, reason=str(error)))
            continue
        if image.shape != truth.shape:
            (height, width), (mask_height, mask_width) = image.shape, truth.shape
            reason = f"image {width} x {height} px, mask {mask_width} x {mask_height} px"
            skipped.append(Skipped(name=pair.name, reason=reason))
            continue
        case = cases.of(pair.name, image)
        yield LabelledFrame(name=pair.name, case=case, image=image, truth=truth, converted=converted)


def read_labelled(folder: Path, names: list[str]) -> Iterator[LabelledFrame]:
    """Frames of ``images/`` with their ``masks/``, in the order of ``names``; none may be missing.

    Raises
    ------
    ConfigError
        If one is missing or cannot be used.
    """
    skipped: list[Skipped] = []
    pairs = list_pairs(folder / "images", folder / "masks", names, skipped)
    yield from _strict(read_pairs(pairs, Cases(), skipped), skipped)


def list_negatives(folder: Path, names: Sequence[str] | None, skipped: list[Skipped]) -> list[Path]:
    """Images in a folder, and clips in it and in its subfolders.

    Raises
    ------
    SourceError
        If the folder is missing.
    """
    entries = list_files(folder)
    clips = [path for path in entries if path.suffix.lower() in CLIP_SUFFIXES]
    strays: list[Skipped] = []
    for inner in (entry for entry in entries if entry.is_dir()):
        for path in list_files(inner):
            if path.suffix.lower() in CLIP_SUFFIXES:
                clips.append(path)
            else:
                reason = "only clips are read from a subfolder"
                strays.append(Skipped(name=f"{inner.name}/{path.name}", reason=reason))
    rest = [path for path in entries if not path.is_dir() and path not in clips]
    found = [*list_images(rest, strays).values(), *clips]
    if names is None:
        skipped.extend(strays)
        return found
    by_name = {path.stem: path for path in found}
    skipped.extend(Skipped(name=name, reason="no image") for name in names if name not in by_name)
    return [by_name[name] for name in names if name in by_name]


def read_negatives(
    paths: Sequence[Path], cases: Cases | None, skipped: list[Skipped], *, clip_stride: int | None = None
) -> Iterator[LabelledFrame]:
    """Read the frames of :func:`list_negatives`, without marked nodules.

    Of a clip every 20th of the first 100 frames is read, and the clip is a case. If all images are named by numbers,
    they are taken for frames of sweeps in that order (:func:`usassist.evaluation.cases.block_of`).

    Parameters
    ----------
    paths : images and clips
    cases : None = blocks of numbers if all images are named by numbers, else derived from the names
    skipped : frames that cannot be read are added here
    clip_stride : of a clip every frame of this number is read instead, to its end
    """
    images = [path for path in paths if path.suffix.lower() not in CLIP_SUFFIXES]
    numbered = cases is None and all(re.fullmatch(r"\d+", path.stem) for path in images)
    cases = cases or Cases()
    for path in paths:
        if path.suffix.lower() in CLIP_SUFFIXES:
            yield from _frames_of_clip(path, skipped, clip_stride)
            continue
        try:
            image, converted = read_grey(path)
        except SourceError as error:
            skipped.append(Skipped(name=path.stem, reason=str(error)))
            continue
        case = block_of(int(path.stem)) if numbered else cases.of(path.stem, image)
        truth = np.zeros(image.shape, np.bool_)
        yield LabelledFrame(name=path.stem, case=case, image=image, truth=truth, converted=converted)


def read_clips(folder: Path) -> Iterator[LabelledFrame]:
    """Frames of the clips in the subfolders of a folder, see :func:`read_negatives`; every clip must be readable."""
    skipped: list[Skipped] = []
    yield from _strict(read_negatives(list_negatives(folder, None, []), None, skipped), skipped)


def render_phantom(count: int) -> Iterator[LabelledFrame]:
    """Whole screens of simulated scanners: one scene at one time for each seed from 1 to ``count``."""
    for seed in range(1, count + 1):
        t_s = float(np.random.default_rng(seed).uniform(0.0, 10.0))
        shown = PhantomScanner(PhantomConfig.random(seed)).render(t_s)
        image = to_grey(shown.screen)
        x1, y1, x2, y2 = shown.scan_xyxy_px
        truth = np.zeros(image.shape, np.bool_)
        truth[y1:y2, x1:x2] = shown.labelmap > 0
        yield LabelledFrame(name=f"{seed}", case=f"{seed}", image=image, truth=truth)


def _frames_of_clip(path: Path, skipped: list[Skipped], stride: int | None) -> Iterator[LabelledFrame]:
    clip = cv2.VideoCapture(str(path))
    try:
        for index in range(_CLIP_FRAMES) if stride is None else count():
            ok, frame = clip.read()
            if not ok:
                if index == 0:
                    skipped.append(Skipped(name=path.stem, reason=f"{path.name} is not a readable clip"))
                break
            if index % (stride or _CLIP_STRIDE) == 0:
                image = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
                truth = np.zeros(image.shape, np.bool_)
                yield LabelledFrame(name=f"{path.stem}_{index}", case=path.stem, image=image, truth=truth)
    finally:
        clip.release()


def _strict(frames: Iterator[LabelledFrame], skipped: list[Skipped]) -> Iterator[LabelledFrame]:
    for frame in frames:
        if skipped:
            break
        yield frame
    if skipped:
        raise ConfigError(f"frame {skipped[0].name}: {skipped[0].reason}; fix the data set")
