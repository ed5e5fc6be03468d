"""Prints how exactly outlines come back from each format: ``python -m tools.format_report SESSION``.

A recorded session is exported into a temporary folder, read back by the library of each format, and the regions of each
answered frame are compared with those of its result. Needs the extras `volumes` and `dicom`, and pycocotools.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames import fill_labelmap
from usassist.records import Segmentation
from usassist.session import RecordedSession, open_session
from usassist.session.corrections import import_corrections, labelled_frames
from usassist.session.corrections.coco_masks import polygons_mask
from usassist.session.export import ExportTargets, export_session
from usassist.session.export.dicom import export_dicom

__all__ = ["READERS", "main", "measure"]

BoolArray = npt.NDArray[np.bool_]
Masks = Mapping[int, BoolArray]


def truth(session: RecordedSession) -> dict[int, BoolArray]:
    """Answered frame → pixels inside of its outlines."""
    found = {}
    for line in session.lines():
        if line.result is not None and line.result["state"] in ("finding", "no_finding"):
            x1, y1, x2, y2 = line.frame.roi_xyxy_px
            contours = [np.array(nodule["contour_xy_px"], np.float32) for nodule in line.result["nodules"]]
            found[line.frame_id] = fill_labelmap(Segmentation.of(contours), (y2 - y1, x2 - x1)) > 0
    return found


def measure(session: RecordedSession, folder: Path) -> dict[str, list[float]]:
    """Format and reader → Dice of each frame; frames without any region on either side have 1.

    Parameters
    ----------
    session : is not changed
    folder : empty, for what is exported
    """
    expected = truth(session)
    targets = ExportTargets(
        coco=folder / "a.json", yolo=folder / "yolo", nrrd=folder / "a.seg.nrrd", nifti=folder / "a.nii.gz"
    )
    export_session(session, targets, [])
    figures = {}
    for name, reader in READERS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = reader(session, folder)
        if name != _KEY_FRAMES and found.keys() != expected.keys():
            raise SystemExit(f"{name}: answered frames are others than in the session")
        figures[name] = [_dice(mask, expected[frame_id]) for frame_id, mask in found.items()]
    return figures


def _coco(session: RecordedSession, folder: Path) -> Masks:
    tools = importlib.import_module("pycocotools.mask")
    document = json.loads((folder / "a.json").read_text())
    found = {item["id"]: np.zeros((item["height"], item["width"]), np.bool_) for item in document["images"]}
    for item in document["annotations"]:
        mask = found[item["image_id"]]
        mask |= tools.decode(tools.merge(tools.frPyObjects(item["segmentation"], *mask.shape))) > 0
    return found


def _imported(session: RecordedSession, folder: Path) -> Masks:
    copy = shutil.copytree(session.folder, folder / "copy")
    import_corrections(copy, [folder / "a.json"], role="researcher", reviewed=True)
    return {item.frame_id: item.nodule > 0 for item in labelled_frames(open_session(copy))}


def _yolo(fill: Callable[[npt.NDArray[np.float64], tuple[int, int]], BoolArray]) -> Callable[..., Masks]:
    def read(session: RecordedSession, folder: Path) -> Masks:
        found = {}
        for path in sorted((folder / "yolo/labels").iterdir()):
            image = cv2.imread(str(folder / "yolo/images" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
            assert image is not None
            height, width = image.shape
            mask = np.zeros((height, width), np.bool_)
            for row in path.read_text().splitlines():
                points = np.array(row.split()[1:], np.float64).reshape(-1, 2) * (width, height)
                mask |= fill(points, (height, width))
            found[int(path.stem)] = mask
        return found

    return read


def _exact(points: npt.NDArray[np.float64], image_hw_px: tuple[int, int]) -> BoolArray:
    return polygons_mask([points.ravel().tolist()], image_hw_px)


def _as_ultralytics(points: npt.NDArray[np.float64], image_hw_px: tuple[int, int]) -> BoolArray:
    """As ``polygon2mask`` of Ultralytics does it: whole numbers, and the border belongs to the region."""
    mask = np.zeros(image_hw_px, np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    return mask > 0


def _nrrd(session: RecordedSession, folder: Path) -> Masks:
    data, _ = importlib.import_module("nrrd").read(str(folder / "a.seg.nrrd"))
    return _planes(data.transpose(2, 1, 0), folder / "a.seg.nrrd.json")


def _nifti(session: RecordedSession, folder: Path) -> Masks:
    data = np.asarray(importlib.import_module("nibabel").load(folder / "a.nii.gz").dataobj)
    return _planes(data[:, :, 0].transpose(2, 1, 0), folder / "a.nii.gz.json")


def _planes(planes: npt.NDArray[Any], facts: Path) -> Masks:
    document = json.loads(facts.read_text())
    return {
        item["frame_id"]: planes[item["index"]] > 0
        for item in document["frames"]
        if not (planes[item["index"]] == document["no_answer"]).all()
    }


def _segmentations(session: RecordedSession, folder: Path) -> Masks:
    export_dicom(session, folder / "dicom")
    copy = shutil.copytree(session.folder, folder / "copy_dicom")
    files = [path for path in sorted((folder / "dicom").glob("seg_*.dcm")) if "labelmap" not in path.name]
    import_corrections(copy, files, role="researcher", reviewed=True)
    return {item.frame_id: item.nodule > 0 for item in labelled_frames(open_session(copy))}


def _dice(one: BoolArray, other: BoolArray) -> float:
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


_KEY_FRAMES = "DICOM SEG of key frames, corrections import"
READERS: Mapping[str, Callable[[RecordedSession, Path], Masks]] = {
    "COCO, pycocotools": _coco,
    "COCO, corrections import": _imported,
    "YOLO, pixels whose centre is inside": _yolo(_exact),
    "YOLO, filled as Ultralytics does": _yolo(_as_ultralytics),
    "NRRD (.seg.nrrd), pynrrd": _nrrd,
    "NIfTI, nibabel": _nifti,
    _KEY_FRAMES: _segmentations,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("session", type=Path, nargs="+", help="folder of a recorded session")
    options = parser.parse_args(arguments)
    print_ = sys.stdout.write
    print_("| format, reader | frames | with a region | Dice, mean | Dice, least |\n|---|---:|---:|---:|---:|\n")
    rows: dict[str, list[float]] = {}
    regions: dict[str, int] = {}
    for folder in options.session:
        session = open_session(folder)
        with tempfile.TemporaryDirectory(prefix="usa-formats-") as name:
            for reader, values in measure(session, Path(name)).items():
                rows.setdefault(reader, []).extend(values)
        marked = sum(bool(mask.any()) for mask in truth(session).values())
        for reader in rows:
            regions[reader] = regions.get(reader, 0) + marked
    for reader, values in rows.items():
        marked_words = "–" if reader == _KEY_FRAMES else str(regions[reader])
        print_(f"| {reader} | {len(values)} | {marked_words} | {np.mean(values):.4f} | {min(values):.4f} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
