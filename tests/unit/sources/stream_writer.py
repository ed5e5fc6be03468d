"""A program that sends video, for the tests of live inputs: its one argument is JSON.

It is a program since PyAV keeps Python's lock while it writes a header, and a reader in the same process needs it.
"""

from __future__ import annotations

import json
import sys
import time
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

LEVEL_STEP = 8  # grey level of a frame is 16 + LEVEL_STEP * its number, from the beginning again after 24


def open_output(job: dict[str, Any], part: dict[str, Any]) -> tuple[Any, Any]:
    """Open, and try again while nobody listens."""
    until = time.monotonic() + 15
    while True:
        target = sys.stdout.buffer if job["url"] == "-" else job["url"]
        container = av.open(
            target, "w", format=job["format"], options={"flush_packets": "1"} | job.get("options", {}), timeout=15
        )
        stream = container.add_stream(part.get("codec", "libx264"), rate=job["rate"])
        stream.width, stream.height = part["wh"]
        stream.pix_fmt = part.get("pix_fmt", "yuv420p")
        if stream.codec_context.name == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        try:
            container.start_encoding()
        except (av.error.ConnectionRefusedError, av.error.OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
            continue
        return container, stream


def send(job: dict[str, Any]) -> None:
    """Send the parts one after the other, each from a header of its own."""
    number = 0
    for part in job["parts"]:
        container, stream = open_output(job, part)
        width, height = part["wh"]
        for _ in range(part["frames"]):
            level = 16 + LEVEL_STEP * (number % 24)
            frame = av.VideoFrame.from_ndarray(np.full((height, width), level, np.uint8), format="gray")
            frame.pts, frame.time_base = number, Fraction(1, job["rate"])
            container.mux(stream.encode(frame))
            number += 1
            if job.get("paced", True):
                time.sleep(1 / job["rate"])
        container.mux(stream.encode())
        container.close()
    time.sleep(job.get("stay_s", 0))
    if job.get("words"):
        sys.exit(job["words"])


if __name__ == "__main__":
    send(json.loads(sys.argv[1]))
