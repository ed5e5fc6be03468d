"""``python -m usassist.training.teacher --out DIR``: train the teacher of outlines, check it, outline the boxes.

The teacher is shown the box of a nodule and outlines it. It makes masks for TN5000, which has only boxes; it is not
part of any engine. Ctrl-C or SIGTERM saves a checkpoint; the same command resumes from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.logging import RichHandler

from usassist.common.signals import interrupt_on_signal
from usassist.config import data_dir
from usassist.engine import find_engine, open_engine
from usassist.errors import UsAssistError
from usassist.training.checkpoint import MANIFEST
from usassist.training.network.encoder import find_weights
from usassist.training.precision import PRECISIONS, choose_precision
from usassist.training.teacher.check import check_outlines, ellipse_in_box, engine_in_box, loosen
from usassist.training.teacher.net import BoxOutlineNet
from usassist.training.teacher.nodules import BoxedNodule
from usassist.training.teacher.outlines import MARGINS, BoxOutline, Rules, choose_outline, predict, write_outlines
from usassist.training.teacher.sets import AUGMENT, TeacherData, fingerprint, make_batch_maker, prepare
from usassist.training.teacher.train import CHECKPOINT, TeacherConfig, train_teacher

__all__ = ["MASKS", "main", "run"]

logger = logging.getLogger(__name__)

MASKS = "masks"
"""Name of the folder of outlines, in the folder of a run."""

_CHUNK = 16


def _outlines(
    net: BoxOutlineNet, nodules: Sequence[BoxedNodule], part: str, config: TeacherConfig, *, bf16: bool
) -> Iterator[BoxOutline]:
    for start in range(0, len(nodules), _CHUNK):
        chunk = nodules[start : start + _CHUNK]
        for nodule, probs in zip(chunk, predict(net, chunk, config.size_px, bf16=bf16), strict=True):
            yield choose_outline(nodule, probs, part)
        if start % (_CHUNK * 20) == 0:
            logger.info("%s: %d of %d frames outlined", part, start + len(chunk), len(nodules))


def _check(
    net: BoxOutlineNet, data: TeacherData, config: TeacherConfig, engine_name: str | None, *, bf16: bool
) -> dict[str, Any]:
    """Dice on the sets that were not trained on: of the teacher, of the ellipse, and of an engine inside the box."""
    report: dict[str, Any] = {}
    for name, nodules in data.checked.items():
        for boxes, shown in (("true_boxes", list(nodules)), ("loose_boxes", [loosen(nodule) for nodule in nodules])):
            outlines = list(_outlines(net, shown, name, config, bf16=bf16))
            ways = {
                "teacher": [outline.mask for outline in outlines],
                "ellipse": [ellipse_in_box(nodule) for nodule in shown],
            }
            if engine_name is not None:
                with open_engine(find_engine(engine_name), "onnxruntime", torch.get_num_threads(), "fp32") as engine:
                    ways[engine_name] = [engine_in_box(engine, nodule) for nodule in shown]
            figures = {way: asdict(check_outlines(shown, masks)) for way, masks in ways.items()}
            kept = [index for index, outline in enumerate(outlines) if outline.kept]
            for way in ("teacher", "ellipse") if kept else ():
                masks = [ways[way][index] for index in kept]
                figures[f"{way}, kept ones"] = asdict(check_outlines([shown[index] for index in kept], masks))
            report[f"{name}, {boxes}"] = figures
            for way, figure in figures.items():
                logger.info("%s, %s: %s: %s", name, boxes, way, figure)
    return report


def run(
    config: TeacherConfig, out_dir: Path, *, precision: str = "auto", threads: int = 2, engine_name: str | None = None
) -> dict[str, Any]:
    """Train, check, outline TN5000, and write the manifest; returns what the manifest says."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    data = prepare(config, out_dir / "cache")
    encoder_npz = find_weights("mobilenet_v2", data_dir())
    choice = choose_precision(precision, threads)
    maker = make_batch_maker(config, data)
    net, state = train_teacher(config, maker, out_dir, encoder_npz=encoder_npz, precision=choice)
    checks = _check(net, data, config, engine_name, bf16=choice.is_bf16)
    outlines = (
        outline
        for part, nodules in data.boxed.items()
        for outline in _outlines(net, nodules, part, config, bf16=choice.is_bf16)
    )
    counts = write_outlines(out_dir / MASKS, outlines)
    sets = {**data.train, **data.checked, **{f"tn5000_{part}": nodules for part, nodules in data.boxed.items()}}
    document = {
        "schema": 1,
        "written_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": asdict(config),
        "augment": asdict(AUGMENT),
        "rules": asdict(Rules()),
        "margins": MARGINS,
        "torch": torch.__version__,
        "encoder_sha256": hashlib.sha256(encoder_npz.read_bytes()).hexdigest(),
        "checkpoint_sha256": hashlib.sha256((out_dir / CHECKPOINT).read_bytes()).hexdigest(),
        "data_sha256": {name: fingerprint(nodules) for name, nodules in sets.items()},
        "data_terms": list(data.terms),
        **asdict(state),
        "checks": checks,
        "outlines": counts,
    }
    (out_dir / MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    default = TeacherConfig()
    parser = argparse.ArgumentParser(prog="python -m usassist.training.teacher", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/teacher"), help="folder of the run")
    parser.add_argument("--steps", type=int, default=default.steps, help="batches, at most")
    parser.add_argument("--minutes", type=float, default=default.minutes, help="of training, at most")
    parser.add_argument("--size", type=int, default=default.size_px, help="side of the crops, px")
    parser.add_argument("--phantom", type=int, default=default.phantom_frames, help="simulated scenes")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--engine", help="an engine whose mask inside the box is compared")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=console)])
    try:
        config = TeacherConfig(
            seed=options.seed,
            steps=options.steps,
            minutes=options.minutes,
            size_px=options.size,
            phantom_frames=options.phantom,
        )
        with interrupt_on_signal():
            document = run(
                config,
                options.out,
                precision=options.precision,
                threads=options.threads,
                engine_name=options.engine,
            )
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    except KeyboardInterrupt as stopped:
        console.print(str(stopped) or "stopped; the same command starts again from what is in --out", markup=False)
        return 130
    console.print(f"wrote {options.out / MASKS}: {document['outlines']}", markup=False)
    return 0
