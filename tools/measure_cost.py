"""What it takes to measure the nodules of a frame: ``python -m tools.measure_cost``.

Eight outlines of about 200 points on a frame of 600 x 800 px, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import cv2
import numpy as np
import typer

from usassist.frames import find_cut, measure
from usassist.records import Segmentation

__all__ = ["main"]


def main(rounds: Annotated[int, typer.Option(min=10, help="Calls of each.")] = 1000) -> None:
    """Print the least, p50 and p95; the least is what other programs on the machine disturb the least."""
    cv2.setNumThreads(1)
    outlines = []
    for number in range(8):
        mask = np.zeros((600, 800), np.uint8)
        cv2.ellipse(mask, (100 + 85 * number, 300), (80, 55), 20.0 * number, 0, 360, 1, -1)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        outlines.append(found[0][:, 0].astype(np.float32) + np.float32(0.5))
    eight, image = Segmentation.of(outlines), np.random.default_rng(0).integers(0, 256, (600, 800)).astype(np.uint8)

    def both() -> object:
        return measure(eight, (0.1, 0.1), 0.01, 0.1, find_cut(eight, image))

    calls: dict[str, Callable[[], object]] = {
        "measure": lambda: measure(eight, (0.1, 0.1), 0.01, 0.1),
        "find_cut": lambda: find_cut(eight, image),
        "both": both,
    }
    for name, call in calls.items():
        took_ms = []
        for _ in range(rounds):
            start_s = time.perf_counter()
            call()
            took_ms.append(1e3 * (time.perf_counter() - start_s))
        least, p50, p95 = min(took_ms), np.median(took_ms), np.percentile(took_ms, 95)
        typer.echo(f"{name:9s} least {least:.3f} ms, p50 {p50:.3f} ms, p95 {p95:.3f} ms")


if __name__ == "__main__":
    typer.run(main)
