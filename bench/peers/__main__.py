"""``python -m bench.peers``: the same ONNX file and clip through pyFAST, a plain loop, and usassist."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from bench.peers.environment import HERE, peers_python
from bench.peers.model import derive
from bench.peers.report import Row, dice, print_report, ratios
from bench.peers.turns import Worker, read_masks, take_turns
from usassist.common.process_tuning import usable_cpus
from usassist.engine import find_engine
from usassist.errors import SourceError, UsAssistError

__all__ = ["main"]

ROOT = HERE.parents[1]
_ENGINE = "thyroid_nodule"


@dataclass(frozen=True, slots=True)
class _Way:
    key: str
    title: str
    worker: str
    shipped_file: bool = False

    @property
    def is_ours(self) -> bool:
        return self.worker.startswith("ours")


_WAYS = (
    _Way("pyfast", "pyFAST", "pyfast"),
    _Way("pyfast_tuned", "pyFAST, tuned", "pyfast_tuned"),
    _Way("plain", "plain loop", "plain"),
    _Way("ours", "usassist, one at a time", "ours"),
    _Way("ours_lanes", "usassist, lanes", "ours_lanes"),
    _Way("plain_full", "plain loop, full file", "plain", True),
    _Way("ours_shipped", "usassist as shipped", "ours_shipped", True),
)
_SAME = ("pyfast", "pyfast_tuned", "plain", "ours", "ours_lanes")
_SHIPPED = ("pyfast", "plain_full", "ours_shipped")
_ARTIFACTS = {"fp32": "onnx", "int8": "onnx_int8"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each way")
    parser.add_argument("--turn", type=int, default=12, help="frames of a turn")
    parser.add_argument("--frames", type=int, default=60, help="frames of the clip, evenly spaced, kept in memory")
    parser.add_argument("--clip", type=Path, default=ROOT / "demo" / "clip.mkv")
    parser.add_argument(
        "--precision", choices=list(_ARTIFACTS), default="fp32", help="which file of the engine all read"
    )
    parser.add_argument("--leave-out", action="append", default=[], choices=[way.key for way in _WAYS])
    parser.add_argument("--json", type=Path, help="write everything there too")
    options = parser.parse_args(arguments)
    if not 1 <= options.turn <= options.frames or options.rounds < 1:
        parser.error("there must be a round, and --turn must be between 1 and --frames")
    console = Console(width=max(160, Console().width))
    try:
        return _measure(options, console)
    except UsAssistError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _measure(options: argparse.Namespace, console: Console) -> int:
    ways = [way for way in _WAYS if way.key not in options.leave_out]
    spec = find_engine(_ENGINE)
    shipped = spec.check_weights(_ARTIFACTS[options.precision])
    tables = {
        f"the same file: {shipped.name} with its mask alone, {options.precision.upper()}": _SAME,
        "as shipped, NOT the same work: ours crops, tells nodules apart, measures and describes them": _SHIPPED,
    }
    console.print("==> the others' environment, bench/peers/.venv (a minute the first time)")
    python = peers_python()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        mask = folder / f"mask.{options.precision}.onnx"
        derive(shipped, mask)
        width_px = _write_frames(options.clip, options.frames, folder)
        workers = {}
        for way in ways:
            model = shipped if way.shipped_file else mask
            interpreter = Path(sys.executable) if way.is_ours else python
            workers[way.key] = stack.enter_context(Worker(interpreter, way.worker, model, folder))
        console.print(f"==> masks of {options.frames} frames by {len(ways)} ways")
        for key, worker in workers.items():
            worker.masks(options.frames, folder / f"{key}.npy")
        masks = {key: read_masks(folder / f"{key}.npy", width_px) for key in workers}
        console.print(f"==> {options.rounds} rounds of {options.turn} frames each")
        before = os.getloadavg()[0]
        rates = take_turns(list(workers.values()), rounds=options.rounds, turn=options.turn, frames=options.frames)
        rows = {}
        for index, way in enumerate(ways):
            pooled, of_a_frame = dice(masks[way.key], masks["plain" if "plain" in masks else way.key])
            rows[way.key] = Row(
                key=way.key,
                title=way.title,
                versions=workers[way.key].versions,
                rates=rates[:, index],
                dice=pooled,
                frame_dice=of_a_frame,
            )
    comparable = print_report(rows, tables, console)
    busy = f"{before:.1f} before the rounds and {os.getloadavg()[0]:.1f} after them"
    console.print(
        f"load of the machine: {busy}, on {usable_cpus()} processors; the ways keep about as many busy themselves"
    )
    if options.json:
        times = {f"{ours} / {other}": spread.median for (ours, other), spread in ratios(rows).items()}
        content = {"ways": {key: row.as_dict() for key, row in rows.items()}, "ratios": times}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if comparable else 1


def _write_frames(clip: Path, count: int, folder: Path) -> int:
    """Leave evenly spaced frames of a clip in ``bgr.npy`` and ``grey.npy``; gives their width, px."""
    capture = cv2.VideoCapture(str(clip))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame)
    capture.release()
    if len(frames) < count:
        raise SourceError(f"{clip} has {len(frames)} frames, and {count} were asked for; give fewer --frames")
    chosen = np.stack([frames[index] for index in np.linspace(0, len(frames) - 1, count).astype(int)])
    np.save(folder / "bgr.npy", chosen)
    np.save(folder / "grey.npy", np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[..., None] for frame in chosen]))
    return int(chosen.shape[2])


if __name__ == "__main__":
    sys.exit(main())
