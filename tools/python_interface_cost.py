"""What the Python interface adds to the engine's own time: ``python -m tools.python_interface_cost``.

The frames of the bundled clip are answered by ``usassist replay`` in real time, and then as arrays by
``usassist.Engine`` with the same back end. The engine's time is from pixels to answer; what a call takes beyond that is
the interface.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from usassist import Engine

__all__ = ["main"]


def main(count: Annotated[int, typer.Option(min=10, help="Frames.")] = 300) -> None:
    """Print the medians, and their ratio."""
    lines = _replayed(count)
    replay_ms = float(np.median([(line["t_infer_end_ns"] - line["t_infer_start_ns"]) / 1e6 for line in lines]))
    with Engine("thyroid_nodule") as engine:
        images = [result.image for result in engine.stream("demo", count=count)]
        start_s = time.perf_counter()
        streamed = sum(1 for _ in engine.stream("demo", count=count))
        rate_hz = streamed / (time.perf_counter() - start_s)
        added_ms, infer_ms = [], []
        for image in images:
            start_s = time.perf_counter()
            result = engine(image)
            took_ms = 1e3 * (time.perf_counter() - start_s)
            infer_ms.append(result.infer_ms or 0.0)
            added_ms.append(took_ms - infer_ms[-1])
    added = float(np.median(added_ms))
    typer.echo(
        f"{len(images)} frames of {images[0].shape[0]} x {images[0].shape[1]} px, back end {engine.backend}, p50"
    )
    typer.echo(f"engine in usassist replay    {replay_ms:7.3f} ms")
    typer.echo(f"engine in usassist.Engine    {float(np.median(infer_ms)):7.3f} ms")
    typer.echo(f"added by the interface       {added:7.3f} ms")
    typer.echo(f"added / engine in replay     {added / replay_ms:7.3f}")
    typer.echo(f"Engine.stream, with decoding {rate_hz:7.1f} frames/s")


def _replayed(count: int) -> list[dict[str, int]]:
    """Lines of the frames that were answered."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "s"
        command = ["replay", "demo", "--results-only", "--count", str(count), "--out", str(out)]
        subprocess.run([sys.executable, "-m", "usassist", *command], check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return [line for line in lines if line["t_infer_end_ns"] is not None]


if __name__ == "__main__":
    typer.run(main)
