"""Prints how well calipers are found, on simulated frames with drawn ones: ``python -m tools.marks_report``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.training.data.mark_drawing import FINE, draw_diameter
from usassist.training.data.marks import find_marks, remove_marks

__all__ = ["KINDS", "Found", "main", "measure"]

UInt8Array = npt.NDArray[np.uint8]

KINDS = {"upright": ("plus", False), "tilted": ("tilted", False), "open": ("open", False), "dotted": ("plus", True)}
"""Name of each kind: its crosses, and whether dots lie between them."""

_SIZE_HW_PX = (288, 384)
_LEAST_VISIBLE = 80  # grey levels above the surroundings; fainter marks are not counted
_SPREAD = np.ones((3, 3), np.uint8)  # `fill_marks` fills one pixel around what is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Share of the visible pixels of the marks that are found, and of all other pixels that are taken for marks."""

    marks: float
    others: float


def measure(frames: Sequence[UInt8Array], kind: str, seed: int) -> Found:
    """Draw one measurement of a kind into each frame, and look for it.

    Parameters
    ----------
    frames : uint8 (H, W) each
    kind : of :data:`KINDS`
    seed : of places, sizes and levels
    """
    rng = np.random.default_rng(seed)
    cross, dotted = KINDS[kind]
    hits = total = wrong = rest = 0
    for frame in frames:
        height_px, width_px = frame.shape
        cover = np.zeros((FINE * height_px, FINE * width_px), np.uint8)
        start = np.array([rng.uniform(0.1, 0.9) * cover.shape[1], rng.uniform(0.1, 0.9) * cover.shape[0]])
        turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(30, 200)
        end = start + length * np.array([np.cos(turn), np.sin(turn)])
        half = FINE * float(rng.uniform(4.0 if cross == "open" else 3.0, 5.5))
        spacing = FINE * float(rng.uniform(2.5, 6.0)) if dotted else 0.0
        draw_diameter(cover, (start, end), rng, kind=cross, half=half, spacing=spacing, figure="1")
        part = np.asarray(cv2.resize(cover, (width_px, height_px), interpolation=cv2.INTER_AREA), np.float32) / 255.0
        level = float(rng.uniform(150.0, 255.0))
        found = cv2.dilate(find_marks(np.round(frame + part * (level - frame)).astype(np.uint8)), _SPREAD) > 0
        visible = (part >= 0.35) & (level - cv2.blur(frame, (15, 15)) >= _LEAST_VISIBLE)
        elsewhere = cv2.dilate(np.asarray(part > 0, np.uint8), np.ones((5, 5), np.uint8)) == 0
        hits, total = hits + int((found & visible).sum()), total + int(visible.sum())
        wrong, rest = wrong + int((found & elsewhere).sum()), rest + int(elsewhere.sum())
    return Found(marks=hits / max(1, total), others=wrong / max(1, rest))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100, help="simulated frames")
    count = parser.parse_args(arguments).frames
    configs = [PhantomConfig.random(500_000 + seed, scan_hw_px=_SIZE_HW_PX) for seed in range(count)]
    frames = [np.array(PhantomScanner(replace(one, calipers=False)).render_scan(3.0).scan) for one in configs]
    sys.stdout.write("| marks | visible pixels found | other pixels changed |\n|---|---|---|\n")
    for kind in KINDS:
        found = measure(frames, kind, seed=1)
        sys.stdout.write(f"| {kind} | {found.marks:.2f} | {found.others:.5f} |\n")
    start_s = time.process_time()
    for frame in frames:
        remove_marks(frame)
    sys.stdout.write(f"\n{1e3 * (time.process_time() - start_s) / count:.1f} ms of processor time per frame\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
