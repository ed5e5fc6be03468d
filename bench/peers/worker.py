"""One way from frame to mask, in a process of its own: ``python -m bench.peers.worker WAY MODEL FOLDER``.

It reads one JSON line at a time and answers with one. It must run in environments without usassist, so that it imports
nothing but the way that was asked for. What libraries print goes to the standard error stream.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["WAYS", "serve"]

WAYS = {
    "pyfast": ("bench.peers.pyfast", "open_way"),
    "pyfast_tuned": ("bench.peers.pyfast", "open_tuned"),
    "plain": ("bench.peers.plain", "open_way"),
    "ours": ("bench.peers.ours", "open_way"),
    "ours_lanes": ("bench.peers.ours", "open_lanes"),
    "ours_shipped": ("bench.peers.ours", "open_shipped"),
}


def serve(way: str, model: Path, folder: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Open a way and answer requests.

    A request names the ``first`` frame and the ``count`` of them; with ``masks``, a file to leave their masks in, bits
    packed along the rows, it is not timed.

    Parameters
    ----------
    way : a name of ``WAYS``
    model : ONNX file
    folder : with the frames
    lines : one request each

    Yields
    ------
    answer : first ``{"versions"}``, then for each request ``{"seconds"}``, for all frames together
    """
    module, name = WAYS[way]
    versions, loop = getattr(importlib.import_module(module), name)(model, folder)
    yield {"versions": versions}
    for line in lines:
        request = json.loads(line)
        first, count = request["first"], request["count"]
        if "masks" in request:
            masks = np.stack([np.asarray(mask, np.bool_) for mask in loop(first, count)])
            np.save(request["masks"], np.packbits(masks, axis=-1))
            yield {"seconds": 0.0}
            continue
        for _ in loop(first, 1):  # the turn before was somebody else's: this one brings the caches back
            pass
        start_s = time.perf_counter()
        for _ in loop(first, count):
            pass
        yield {"seconds": time.perf_counter() - start_s}


def _main() -> None:
    way, model, folder = sys.argv[1:]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for answer in serve(way, Path(model), Path(folder), sys.stdin):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    _main()
