"""How outlines look: ``python -m tools.outline_report [IMAGES …]``; without images, of a simulated convex probe.

Of every outline: whether it leaves the visible scan, whether a run of it lies straight along a side of its own bounding
box inside the image, as where a detector's box has cut it, and how sharply it turns. And the time that decoding takes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import typer

from usassist.calibrate import DEFAULT_POINT, load_score_calibration
from usassist.engine import find_engine, open_engine
from usassist.errors import ScanAreaError
from usassist.evaluation.images import read_grey
from usassist.frames import find_scan_area, find_scan_border
from usassist.modalities.ultrasound import decode, preprocess
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.records import Detections, LabelSpec, Segmentation
from usassist.sources.address import IMAGE_SUFFIXES

__all__ = ["look_at", "main"]

FloatArray = npt.NDArray[np.float64]
_STRAIGHT_PX, _STRAIGHT_SHARE = 0.75, 0.5  # so near to the side, along so much of it
_OUTSIDE_PX = 2.0  # of the border of the scan, which is known to about a pixel
_TURN_PX, _SHARP_DEG = 4.0, 90.0  # the direction changes by so much within twice this length
_LEAST_SIDE_PX = 12.0


def look_at(outline: npt.NDArray[np.float32], image: npt.NDArray[np.uint8]) -> dict[str, bool]:
    """What is odd about an outline, float32 (K, 2), on its image: ``outside``, ``straight``, ``sharp``."""
    line = _evenly(outline.astype(np.float64))
    border, (height, width) = find_scan_border(image), image.shape[:2]
    x, y = line.T
    row, column = (np.clip(value.astype(int), 0, size - 1) for value, size in ((y, height), (x, width)))
    beyond = np.maximum.reduce([border.left[row] - x, x - border.right[row], border.top[column] - y])
    known = border.left[row] < border.right[row]
    low, high = line.min(axis=0), line.max(axis=0)
    straight = False
    for axis in (0, 1):
        side_px, size = (high - low)[1 - axis], (width, height)[axis]
        for place in (low[axis], high[axis]):
            run = line[np.abs(line[:, axis] - place) < _STRAIGHT_PX, 1 - axis]
            inside = 2.5 < place < size - 2.5
            straight |= bool(inside and side_px >= _LEAST_SIDE_PX and np.ptp(run) >= _STRAIGHT_SHARE * side_px)
    step = round(_TURN_PX)
    before, after = line - np.roll(line, step, axis=0), np.roll(line, -step, axis=0) - line
    turn = np.abs(np.angle((after @ (1, 1j)) * np.conj(before @ (1, 1j))))
    sharp = len(line) > 4 * step and bool(np.degrees(turn.max()) > _SHARP_DEG)
    return {"outside": bool((beyond[known] > _OUTSIDE_PX).any()), "straight": straight, "sharp": sharp}


def _evenly(outline: FloatArray) -> FloatArray:
    """Points along a closed line, a pixel apart."""
    closed = np.vstack([outline, outline[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    places = np.linspace(0.0, length[-1], max(8, int(length[-1])), endpoint=False)
    return np.column_stack([np.interp(places, length, closed[:, axis]) for axis in (0, 1)])


def main(
    images: Annotated[list[Path] | None, typer.Argument(help="Images, or folders of them.")] = None,
    names: Annotated[Path | None, typer.Option(help="Only the images that this file names.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Only every so many images.")] = 1,
    engine: Annotated[str, typer.Option(help="Name, or name@version.")] = "thyroid_nodule",
    precision: Annotated[str, typer.Option(help="Precision.")] = "fp32",
) -> None:
    """Print the counts, each frame alone at the operating point `balanced`, and the time of decoding."""
    cv2.setNumThreads(1)
    spec = find_engine(engine)
    scores = load_score_calibration(spec.engine_id)
    labels: tuple[LabelSpec, ...] = spec.labels
    if scores is not None:
        least = scores.point(DEFAULT_POINT).score
        labels = tuple(dataclasses.replace(one, score_threshold=scores.raw_score(least, one.id)) for one in labels)
    height, width = spec.inputs[0].shape[2:]
    counts, frames, times_us = dict.fromkeys(("outlines", "outside", "straight", "sharp"), 0), 0, []
    with open_engine(spec, "auto", 1, precision) as opened:
        for image in _scans(images, names, every):
            tensor, to_input = preprocess(image, (height or 0, width or 0))
            outputs = {name: np.array(value) for name, value in opened.infer({"image": tensor}).items()}
            _, found = _decode(outputs, to_input, image, labels)
            frames += 1
            counts["outlines"] += len(found)
            for outline in found:
                for name, is_odd in look_at(outline, image).items():
                    counts[name] += is_odd
            if len(found):
                times_us.append((len(found), _least_us(outputs, to_input, image, labels)))
    typer.echo(f"{spec.engine_id}, {precision}: {frames} frames, " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    for count in sorted({count for count, _ in times_us}):
        took_us = [us for number, us in times_us if number == count]
        typer.echo(f"decoding {count} outlines: median {np.median(took_us):.0f} us of {len(took_us)} frames")


def _decode(
    outputs: dict[str, Any], to_input: FloatArray, image: npt.NDArray[np.uint8], labels: tuple[LabelSpec, ...]
) -> tuple[Detections, Segmentation]:
    """With the border of the scan, as in a stream."""
    return decode(outputs, to_input, (image.shape[0], image.shape[1]), labels, border=lambda: find_scan_border(image))


def _least_us(outputs: dict[str, Any], to_input: FloatArray, image: npt.NDArray[np.uint8], labels: Any) -> float:
    """Least of seven tries, so that other work on the machine does not count."""
    tries = []
    for _ in range(7):
        begun_s = time.perf_counter()
        _decode(outputs, to_input, image, labels)
        tries.append(1e6 * (time.perf_counter() - begun_s))
    return min(tries)


def _scans(images: list[Path] | None, names: Path | None, every: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Images cropped to the scan area, uint8 (H, W)."""
    if not images:
        for seed in range(25):
            scanner = PhantomScanner(
                PhantomConfig(seed=1000 + seed, geometry="convex", scan_hw_px=(480, 560), nodule_count=2)
            )
            for nodule in scanner.nodules:
                yield scanner.render_scan(scanner.crossing_s(nodule.identity)).scan
        return
    chosen = None if names is None else {Path(line.split()[0]).stem for line in names.read_text().splitlines() if line}
    files = [file for path in images for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and (not chosen or file.stem in chosen)]
    for file in files[::every]:
        image, _ = read_grey(file)
        try:
            x1, y1, x2, y2 = find_scan_area([image]).xyxy_px
        except ScanAreaError:
            y1, x1, (y2, x2) = 0, 0, image.shape
        yield np.ascontiguousarray(image[y1:y2, x1:x2])


if __name__ == "__main__":
    typer.run(main)
