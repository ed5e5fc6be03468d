"""``python -m tools.fit_descriptors --out FILE``: fit, measure and write the descriptors of an engine's nodules.

All choices are made on the part ``train`` of the data set. The part ``val`` is evaluated once, at the end, with the
marked outlines and with the engine's own. A descriptor is written when the 95 % interval of its balanced accuracy lies
above chance twice: in the cross-validation on ``train``, and on ``val`` with the engine's outlines, as in a live
session. All others are listed in the file with the reason why they are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tomlkit
from rich.console import Console
from rich.table import Table

from usassist.app.quantization.gate import input_size
from usassist.config import data_dir
from usassist.engine import EngineSpec, find_engine, open_engine
from usassist.errors import UsAssistError
from usassist.evaluation.descriptors import RatedNodule, agreement, confusion, found_outlines
from usassist.evaluation.metrics import Figure, regions
from usassist.modalities.ultrasound.descriptors import LogisticTable
from usassist.training.data.sample import Sample
from usassist.training.data.thyroid import load_nodule
from usassist.training.descriptors import (
    MIN_NODULE_PX,
    TARGETS,
    Example,
    cross_validate,
    fit,
    make_examples,
    trace_outline,
)

__all__ = ["FittedDescriptor", "document", "main", "measure"]

_CHANCE = 0.5
_FOLDS, _MARKED, _ENGINE = "train, cross-validated", "val, marked outlines", "val, engine's outlines"

Outlines = Callable[[Sample], Sequence[npt.NDArray[np.float32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDescriptor:
    """One descriptor, fitted and measured.

    Attributes
    ----------
    table : fitted on all of ``train``
    strength : inverse strength of the regularisation
    judged : measurement → its nodules
    figures : measurement → agreement with the readers
    """

    table: LogisticTable
    strength: float
    judged: dict[str, list[RatedNodule]]
    figures: dict[str, dict[str, Figure]]

    @property
    def rejection(self) -> str:
        """Why the descriptor is not good enough to be shown; empty when it is."""
        for what in (_FOLDS, _ENGINE):
            accuracy = self.figures[what]["balanced_accuracy"]
            if not accuracy.low > _CHANCE:
                return f"not surely better than chance: balanced accuracy {_text(accuracy)}, {what}"
        return ""

    @property
    def agreement(self) -> str:
        """Agreement of the live descriptor with the readers, in words and numbers."""
        judged = self.judged[_ENGINE]
        cases = len({item.case for item in judged})
        return f"kappa {_text(self.figures[_ENGINE]['kappa'])}, {len(judged)} nodules of {cases} cases"


def measure(train: Sequence[Example], marked: Sequence[Example], engine: Sequence[Example]) -> list[FittedDescriptor]:
    """Fit every descriptor on ``train`` and measure it.

    Parameters
    ----------
    train : nodules of the part ``train``, marked outlines
    marked, engine : nodules of the part ``val``, with the marked outlines and with the engine's
    """
    outcomes = []
    for name in TARGETS:
        table, strength = fit(train, name)
        folds = [RatedNodule(case=case, truth=truth, probability=p) for case, truth, p in cross_validate(train, name)]
        judged = {_FOLDS: folds, _MARKED: _judge(table, marked), _ENGINE: _judge(table, engine)}
        figures = {what: agreement(items) for what, items in judged.items()}
        outcomes.append(FittedDescriptor(table=table, strength=strength, judged=judged, figures=figures))
    return outcomes


def document(outcomes: Sequence[FittedDescriptor], engine_id: str) -> str:
    """The text of ``descriptors.toml``."""
    text = tomlkit.document()
    text.add(tomlkit.comment("Written by the command below; see usassist/modalities/ultrasound/descriptors.py."))
    text.update({"schema": 1, "engine_id": engine_id, "made_by": "python -m tools.fit_descriptors"})
    kept, left_out = tomlkit.aot(), tomlkit.aot()
    for outcome in outcomes:
        table, reason = outcome.table, outcome.rejection
        if reason:
            left_out.append(tomlkit.item({"name": table.name, "reason": reason}))
            continue
        lists = {key: list(getattr(table, key)) for key in ("classes", "features", "mean", "scale", "weights")}
        kept.append(tomlkit.item({"name": table.name, **lists, "bias": table.bias, "agreement": outcome.agreement}))
    text.add("descriptors", kept if kept else tomlkit.array())
    if left_out:
        text.add("left_out", left_out)
    return tomlkit.dumps(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.fit_descriptors", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="file to write: engines/NAME/VERSION/descriptors.toml")
    parser.add_argument("--engine", default="thyroid_nodule", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: those that ship)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        spec = find_engine(options.engine, options.engines)
        outcomes = _run(spec, options)
    except UsAssistError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    _show(console, spec, outcomes)
    options.out.write_text(document(outcomes, spec.engine_id), encoding="utf-8")
    console.print(f"wrote {options.out}", markup=False)
    return 0


def _run(spec: EngineSpec, options: argparse.Namespace) -> list[FittedDescriptor]:
    folder = data_dir() / "thyroid_ddti"
    cv2.setNumThreads(1)

    def examples(samples: Sequence[Sample], outlines: Outlines) -> list[Example]:
        return [item for sample in samples for item in make_examples(sample, outlines(sample), folder / "annotations")]

    def marked(sample: Sample) -> list[npt.NDArray[np.float32]]:
        return [trace_outline(region) for region in regions(sample.nodule > 0, MIN_NODULE_PX)]

    size_hw_px = input_size(spec)
    train, val = load_nodule(folder, "train"), load_nodule(folder, "val")
    with open_engine(spec, options.backend, options.threads) as engine:

        def found(sample: Sample) -> list[npt.NDArray[np.float32]]:
            truth = sample.nodule > 0
            return found_outlines(engine.infer, size_hw_px, spec.labels, sample.image, truth, MIN_NODULE_PX)

        of_engine = examples(val, found)
    return measure(examples(train, marked), examples(val, marked), of_engine)


def _judge(table: LogisticTable, examples: Sequence[Example]) -> list[RatedNodule]:
    return [
        RatedNodule(
            case=example.case,
            truth=table.classes.index(example.labels[table.name]),
            probability=table.probability(example.features),
        )
        for example in examples
        if table.name in example.labels
    ]


def _text(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _show(console: Console, spec: EngineSpec, outcomes: Sequence[FittedDescriptor]) -> None:
    shown: dict[str, Any] = {"justify": "right", "no_wrap": True}
    table = Table(title=f"descriptors, engine {spec.engine_id}; 95 % intervals by case")
    for column in ("descriptor", "measured on"):
        table.add_column(column, no_wrap=True)
    for column in ("nodules", "cases", "balanced accuracy", "kappa", "AUROC", "confusion"):
        table.add_column(column, **shown)
    for outcome in outcomes:
        for what, figures in outcome.figures.items():
            judged = outcome.judged[what]
            table.add_row(
                outcome.table.name,
                what,
                str(len(judged)),
                str(len({item.case for item in judged})),
                *(_text(figures[name]) for name in ("balanced_accuracy", "kappa", "auroc")),
                " | ".join(" ".join(str(count) for count in row) for row in confusion(judged)),
            )
    console.print(table)
    console.print("confusion: a row per class of the reader, a column per estimate, in the order of the classes:")
    for outcome in outcomes:
        text = outcome.rejection or f"kept; {outcome.agreement}"
        title = f"{outcome.table.name} ({', '.join(outcome.table.classes)}; C = {outcome.strength:.3g})"
        console.print(f"{title}: {text}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
