"""Screens to measure the scan area on: those of the data folder, and phantom screens whose truth is known."""

from __future__ import annotations

import csv
import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import SourceError
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.config import GEOMETRIES, LABEL_STYLES, LAYOUTS
from usassist.sources import open_source

__all__ = ["LABEL_GROUPS", "ScreenSet", "data_screens", "label_screens", "phantom_screens"]

logger = logging.getLogger(__name__)

UInt8Array = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]

_CLIPS = (".mp4", ".mov", ".mpeg")
_IMAGES = (".png", ".jpg")
_TRUTH = Path(__file__).resolve().parents[1] / "bench" / "scan_truth.csv"  # judged by eye on contact sheets
_EDGES = ("x1", "y1", "x2", "y2")
_SET_FRAMES = 8
_SET_SPAN = 60  # frames of a clip that a set is spread over


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScreenSet:
    """Screens with one scan area.

    Attributes
    ----------
    group : data set and kind of screens
    name : of the file or the phantom
    frames : uint8 (H, W) or (H, W, 3) RGB, all of one size
    truth_xyxy_px : the true rectangle, None where it is unknown
    nodules_xyxy_px : boxes around nodules that the set outlines, which have to lie in the rectangle
    spacing_rc_mm : the true scale of the image, mm per px, row step first; None where it is unknown
    banner : bool (H, W), what is drawn on the screen outside the scan area; None where it is unknown
    """

    group: str
    name: str
    frames: tuple[UInt8Array, ...]
    truth_xyxy_px: Rectangle | None = None
    nodules_xyxy_px: tuple[Rectangle, ...] = ()
    spacing_rc_mm: tuple[float, float] | None = None
    banner: npt.NDArray[np.bool_] | None = None


def data_screens(folder: Path) -> Iterator[ScreenSet]:
    """Screens of the public sets below the data folder; missing sets are left out."""
    truth = _read_truth()
    yield from _cine(folder / "thyroid_cine", truth)
    for path in _files(folder / "thyroid_ddti" / "images", _IMAGES):
        nodules = _mask_boxes([folder / "thyroid_ddti" / "masks" / f"{path.stem}.png"])
        yield _still("thyroid_ddti", path, truth.get(("thyroid_ddti", path.stem)), nodules)
    boxes = _read_boxes(folder / "thyroid_tn5000" / "boxes.csv")
    for path in _files(folder / "thyroid_tn5000" / "images", _IMAGES):
        yield _still("thyroid_tn5000", path, truth.get(("thyroid_tn5000", path.stem)), tuple(boxes.get(path.stem, ())))
    for path in _files(folder / "thyroid_tn3k9" / "images", _IMAGES):
        yield _still(
            "thyroid_tn3k9", path, None, _mask_boxes([folder / "thyroid_tn3k9" / "masks" / f"{path.stem}.png"])
        )
    for path in _files(folder / "ultrasound_carotid", _IMAGES):
        yield _still("ultrasound_carotid", path)
    for part, step in (("val", 3), ("train", 9)):  # neighbours are nearly alike
        for path in _files(folder / "thyroid_gland_tg3k" / part / "images", _IMAGES)[::step]:
            yield _still("thyroid_gland_tg3k", path)
    for name in ("ultrasound_clips_itkpocus", "ultrasound_clips_lung"):
        for path in _files(folder / name, _CLIPS):
            frames = _clip(path)
            yield ScreenSet(group=f"{name}, clips", name=path.stem, frames=frames)
            yield ScreenSet(group=f"{name}, first frames", name=path.stem, frames=frames[:1])
        for path in _files(folder / name, _IMAGES):
            yield _still(f"{name}, stills", path)
    for path in _files(folder, (".dcm",)):
        if path.parent.name.startswith("ultrasound"):
            frames = _dicom(path)
            if frames:
                yield ScreenSet(group="dicom", name=path.stem, frames=frames)


def phantom_screens(count: int, *, still: bool) -> Iterator[ScreenSet]:
    """Phantom screens from random settings, all layouts and geometries in turn.

    Parameters
    ----------
    count : how many
    still : one screen each; otherwise eight, spread over four seconds
    """
    kinds = [(layout, geometry) for layout in LAYOUTS for geometry in GEOMETRIES]
    for seed in range(count):
        layout, geometry = kinds[seed % len(kinds)]
        # mypy sees str instead of the literals; the config checks them
        config = dataclasses.replace(PhantomConfig.random(seed), layout=layout, geometry=geometry)  # type: ignore[arg-type]
        scanner = PhantomScanner(config)
        times_s = (2.0,) if still else tuple(0.5 * index for index in range(_SET_FRAMES))
        frames = tuple(scanner.render(t_s).screen for t_s in times_s)
        truth = scanner.scan_xyxy_px
        # The background of the screen has a few colours; brighter structures on it are marks.
        grey = np.asarray(cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY), np.uint8)
        banner = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((41, 41), np.uint8)) > 16
        banner[truth[1] : truth[3], truth[0] : truth[2]] = False
        yield ScreenSet(
            group=f"phantom {layout}, {'stills' if still else 'clips'}",
            name=f"{seed} {geometry} {config.screen_hw_px[1]}x{config.screen_hw_px[0]}",
            frames=frames,
            truth_xyxy_px=truth,
            spacing_rc_mm=scanner.spacing_rc_mm,
            banner=np.asarray(banner, np.bool_),
        )


LABEL_GROUPS = ("right", "another depth", "two depths", "none")
"""What a phantom's depth label says, in turn."""

_DECOYS = ("D1 12.3 mm", "12 MHz", "75 %", "D2 2.4 cm", "Dist 31 mm", "+ 0.65cm", "FR 38 Hz", "MI 0.9")
_FORMS = ("{:.1f} cm", "D {:.1f} cm", "D {:.1f}cm", "Depth {:.1f} cm")


def label_screens(count: int) -> Iterator[ScreenSet]:
    """Phantom screens whose ruler has no figures, with a depth label and two decoys, one screen each.

    Parameters
    ----------
    count : how many
    """
    for seed in range(count):
        rng = np.random.default_rng(seed)
        kind = LABEL_GROUPS[seed % len(LABEL_GROUPS)]
        base = PhantomConfig.random(seed)
        shown_mm = {"right": [base.depth_mm], "none": []}.get(kind)
        if shown_mm is None:
            other_mm = base.depth_mm * float(rng.choice([0.2, 0.4, 0.5, 0.8, 1.25, 2.0, 2.5, 5.0]))
            shown_mm = [other_mm] if kind == "another depth" else [base.depth_mm, other_mm]
        texts = [str(rng.choice(_FORMS)).format(depth_mm / 10.0) for depth_mm in shown_mm]
        texts += [str(text) for text in rng.choice(_DECOYS, 2, replace=False)]
        styles = [str(style) for style in rng.permutation([style for style in LABEL_STYLES if style != "corner"])]
        config = dataclasses.replace(
            base,
            layout=LAYOUTS[seed // len(LABEL_GROUPS) % 3],  # type: ignore[arg-type]  # those with a banner
            geometry="linear",
            ruler_figures=False,
            labels=tuple(zip(texts, styles, strict=False)),
        )
        scanner = PhantomScanner(config)
        yield ScreenSet(
            group=f"phantom, label {kind}",
            name=f"{seed} {config.screen_hw_px[1]}x{config.screen_hw_px[0]}",
            frames=(scanner.render(2.0).screen,),
            truth_xyxy_px=scanner.scan_xyxy_px,
            spacing_rc_mm=scanner.spacing_rc_mm,
        )


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def _still(group: str, path: Path, truth: Rectangle | None = None, nodules: tuple[Rectangle, ...] = ()) -> ScreenSet:
    image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)
    return ScreenSet(group=group, name=path.stem, frames=(image,), truth_xyxy_px=truth, nodules_xyxy_px=nodules)


def _cine(folder: Path, truth: Mapping[tuple[str, str], Rectangle]) -> Iterator[ScreenSet]:
    """Each sweep as a set of frames spread over it, and each frame alone."""
    sweeps: dict[str, list[Path]] = {}
    for path in _files(folder / "images", _IMAGES):
        sweeps.setdefault(path.stem.split("_")[0], []).append(path)
    for name, paths in sweeps.items():
        rectangle = truth.get(("thyroid_cine", name))
        masks = [folder / "masks" / f"{path.stem}.png" for path in paths]
        chosen = sorted({round(at) for at in np.linspace(0, len(paths) - 1, _SET_FRAMES)})
        frames = tuple(_still("", paths[index]).frames[0] for index in chosen)
        yield ScreenSet(
            group="thyroid_cine, sweeps",
            name=name,
            frames=frames,
            truth_xyxy_px=rectangle,
            nodules_xyxy_px=_mask_boxes(masks),
        )
        for path, mask in zip(paths, masks, strict=True):
            yield _still("thyroid_cine, single frames", path, rectangle, _mask_boxes([mask]))


def _mask_boxes(paths: Iterable[Path]) -> tuple[Rectangle, ...]:
    """Box around what each mask marks; none for an empty or missing mask."""
    boxes = []
    for path in paths:
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if mask is not None and (mask > 127).any():
            x, y, wide, high = cv2.boundingRect((mask > 127).astype(np.uint8))
            boxes.append((x, y, x + wide, y + high))
    return tuple(boxes)


def _read_boxes(path: Path) -> dict[str, list[Rectangle]]:
    boxes: dict[str, list[Rectangle]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                x1, y1, x2, y2 = (round(float(row[edge])) for edge in _EDGES)
                boxes.setdefault(row["id"], []).append((x1, y1, x2, y2))
    return boxes


def _read_truth() -> dict[tuple[str, str], Rectangle]:
    """Rectangles by set and name; empty where the project's files are not beside the package."""
    truth: dict[tuple[str, str], Rectangle] = {}
    if _TRUTH.is_file():
        with _TRUTH.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                x1, y1, x2, y2 = (int(row[edge]) for edge in _EDGES)
                truth[row["set"], row["name"]] = (x1, y1, x2, y2)
    return truth


def _clip(path: Path) -> tuple[UInt8Array, ...]:
    clip = cv2.VideoCapture(str(path))
    kept = []
    for index in range(_SET_SPAN):
        ok, frame = clip.read()
        if not ok:
            break
        if index % (_SET_SPAN // _SET_FRAMES) == 0:
            kept.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
    clip.release()
    return tuple(kept[:_SET_FRAMES])


def _dicom(path: Path) -> tuple[UInt8Array, ...]:
    """The first frames of an ultrasound DICOM file, uncropped; none, and a warning, where the source refuses it."""
    try:
        with open_source(f"dicom:{path}", session_id="scan", fast=True, crop="none", count=_SET_FRAMES) as source:
            return tuple(frame.image for frame in source.frames())
    except SourceError as error:
        logger.warning("left out: %s", error)
        return ()
