"""``usassist engine quantize``: give an engine an INT8 artefact, if it stays as good as its FP32 parent.

Everything is rehearsed in a private copy of the engine's folder, opened from there as any engine is, and only then
moved into place, ``engine.toml`` last. Whatever fails before leaves the engine as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.int8 import FrameSet, GateFigure, Int8Calibration, calibration_path, calibration_text
from usassist.errors import EngineError, EngineSpecError, UsageError

__all__ = ["GATE_LIMIT", "Judge", "Quantised", "check_may_write", "engine_toml", "judge_nodules", "quantise_engine"]

GATE_LIMIT = 0.01
"""No figure of the gate may fall by more than this."""

INT8_NAME = "model.int8.onnx"

_BACKEND = "openvino"
_GOLDEN_SLACK = 2.0  # another processor rounds otherwise; what the golden check must catch is far larger
_GOLDEN_LEAST = 1e-6

Judge = Callable[[Engine], dict[str, float]]
"""Runs an engine on labelled frames that set no ranges, and gives figures of merit: 0 to 1, more is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """What came of it.

    Attributes
    ----------
    gate : figures of merit in both precisions
    golden_mean_abs_diff : tolerance of the golden sample for each output
    files : what was written
    bytes_fp32, bytes_int8 : sizes of both artefacts
    """

    gate: Mapping[str, GateFigure]
    golden_mean_abs_diff: Mapping[str, float]
    files: tuple[Path, ...]
    bytes_fp32: int
    bytes_int8: int

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self) | {"files": [str(path) for path in self.files]}


def quantise_engine(
    spec: EngineSpec, sets: list[Any], judge: Judge, *, threads: int = 0, replace: bool = False
) -> Quantised:
    """Quantise, measure, and write the artefact, its calibration file and ``engine.toml``.

    Parameters
    ----------
    spec : an FP32 engine with one image input
    sets : calibration frames, of :class:`usassist.training.quantize.CalibrationSet`
    judge : measures an open engine
    threads : CPU threads; 0 = all
    replace : take the place of an INT8 artefact that is there

    Raises
    ------
    UsageError
        If there is an INT8 artefact already, or the engine is not one that can be quantised.
    EngineError
        If the gate is not passed, or what was made cannot be opened. Nothing is written then.
    """
    from usassist.engine.registry import open_artifact, open_engine
    from usassist.modalities.ultrasound import preprocess
    from usassist.training.quantize import quantise, settings

    check_may_write(spec, replace=replace)
    size_hw_px = _input_size(spec)
    images = [image for frames in sets for image in frames.images]
    parent = spec.check_weights("onnx")
    quantised = quantise(parent, [{spec.inputs[0].name: preprocess(image, size_hw_px)[0]} for image in images])
    with tempfile.TemporaryDirectory(prefix="usassist-int8-") as scratch:
        candidate = Path(scratch) / INT8_NAME
        candidate.write_bytes(quantised)
        with open_engine(spec, _BACKEND, threads, "fp32") as engine:
            before = judge(engine)
        with open_artifact(spec, _BACKEND, threads, "int8", candidate) as engine:
            after = judge(engine)
            gate = {name: GateFigure(fp32=before[name], int8=after[name], limit=GATE_LIMIT) for name in before}
            _check_gate(spec, gate)
            tolerance = _golden_tolerance(spec, engine)
        digest = hashlib.sha256(quantised).hexdigest()
        today = datetime.now(UTC)
        calibration = Int8Calibration(
            calibration_id=f"{spec.name}_{spec.version}_int8_{today:%Y%m%d}",
            engine_id=spec.engine_id,
            int8_sha256=digest,
            measured_on=f"{today:%Y-%m-%d}",
            measured_by="engineer",
            method="post-training quantisation with the frames below, cropped and letterboxed as live; the gate runs "
            f"the live path on validation frames in both precisions on OpenVINO, at the score threshold "
            f"{spec.labels[0].score_threshold:g}",
            settings=settings(len(images)),
            gate=gate,
            frames=tuple(FrameSet(name=item.name, chosen=item.chosen, sha256=item.digests()) for item in sets),
        )
        staged = _stage(spec, Path(scratch), candidate, calibration, engine_toml(spec, digest, tolerance))
        open_engine(staged, _BACKEND, threads, "int8").close()
        files = _move_in(spec, staged)
    return Quantised(
        gate=gate,
        golden_mean_abs_diff=tolerance,
        files=files,
        bytes_fp32=parent.stat().st_size,
        bytes_int8=len(quantised),
    )


def judge_nodules(spec: EngineSpec, root: Path) -> Judge:
    """Mean Dice and sensitivity on the DDTI frames of the part ``val``, at the engine's own threshold."""
    from usassist.evaluation.evaluate import evaluate
    from usassist.evaluation.folders import read_labelled
    from usassist.evaluation.run import run_frames
    from usassist.evaluation.tally import tally

    folder = root / "thyroid_ddti"
    size_hw_px = _input_size(spec)

    def judge(engine: Engine) -> dict[str, float]:
        names = (folder / "val.txt").read_text(encoding="utf-8").split()
        outcomes = run_frames(engine.infer, size_hw_px, spec.labels, read_labelled(folder, names))
        figures = evaluate([tally(outcome) for outcome in outcomes], spec.labels[0].score_threshold)
        return {"dice": figures["dice_mean"].value, "sensitivity": figures["sensitivity"].value}

    return judge


def engine_toml(spec: EngineSpec, digest: str, tolerance: Mapping[str, float]) -> str:
    """The engine's ``engine.toml`` with the INT8 artefact in it; all else, and the order of all else, stays."""
    import tomlkit

    document: Any = tomlkit.parse((spec.folder / "engine.toml").read_text(encoding="utf-8"))
    artifact = tomlkit.table()
    artifact.update({"path": INT8_NAME, "sha256": digest})
    bounds = tomlkit.inline_table()
    bounds.update(tolerance)
    golden = tomlkit.table()
    golden.update({"mean_abs_diff": bounds})
    artifact.add(tomlkit.nl())
    document["artifacts"].pop("onnx_int8", None)
    document["artifacts"]["onnx_int8"] = artifact
    document["golden"].pop("int8", None)
    document["golden"]["int8"] = golden
    return tomlkit.dumps(document)


def check_may_write(spec: EngineSpec, *, replace: bool) -> None:
    """Refuse an engine that is not FP32, or that has an INT8 artefact which is not to be replaced.

    Raises
    ------
    UsageError
        If so.
    """
    if spec.precision != "fp32":
        raise UsageError(f"{spec.engine_id} is {spec.precision}; only FP32 engines can be quantised")
    if "int8" in spec.precisions and not replace:
        raise UsageError(f"{spec.engine_id} has an INT8 artefact already; use --replace to make it again")


def _input_size(spec: EngineSpec) -> tuple[int, int]:
    image = spec.inputs[0]
    if spec.modality != "US" or len(spec.inputs) != 1 or image.layout != "NCHW" or None in image.shape:
        raise UsageError(f"{spec.engine_id} is not an ultrasound engine with one fixed input; it cannot be quantised")
    height_px, width_px = image.shape[2:]
    assert height_px is not None
    assert width_px is not None
    return height_px, width_px


def _check_gate(spec: EngineSpec, gate: Mapping[str, GateFigure]) -> None:
    if all(figure.holds for figure in gate.values()):
        return
    figures = ", ".join(f"{name} {item.fp32:.4f} in FP32 and {item.int8:.4f} in INT8" for name, item in gate.items())
    raise EngineError(
        f"INT8 of {spec.engine_id} is refused: {figures}; none may fall by more than {GATE_LIMIT:g}. "
        "Nothing was written; go on in FP32"
    )


def _golden_tolerance(spec: EngineSpec, engine: Engine) -> dict[str, float]:
    """Twice the mean difference of each output from the golden output, to two digits.

    An output that is nearly empty, as a map of single peaks is, may be bounded so widely that zeros would pass there;
    some other output must then tell an answer from zeros.
    """
    stored = spec.golden.load([tensor.name for tensor in (*spec.inputs, *spec.outputs)])
    outputs = engine.infer({tensor.name: stored[tensor.name].astype(tensor.dtype) for tensor in spec.inputs})
    tolerance, tells = {}, False
    for tensor in spec.outputs:
        expected = stored[tensor.name].astype(np.float64)
        difference = float(np.abs(outputs[tensor.name] - expected).mean())
        tolerance[tensor.name] = float(f"{_GOLDEN_SLACK * difference + _GOLDEN_LEAST:.2g}")
        tells = tells or tolerance[tensor.name] < float(np.abs(expected).mean())
    if not tells:
        raise EngineSpecError(
            f"INT8 of {spec.engine_id} is so far from the golden output ({tolerance} on average) that an answer of "
            "zeros would pass. Nothing was written; go on in FP32"
        )
    return tolerance


def _stage(spec: EngineSpec, scratch: Path, candidate: Path, calibration: Int8Calibration, toml: str) -> EngineSpec:
    """A private copy of the engine with the new artefact in it."""
    from usassist.engine import load_spec

    folder = scratch / "engines" / spec.name / spec.version
    for path in (spec.artifacts["onnx"][0], spec.golden.path):
        copy = folder / path.relative_to(spec.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    candidate.rename(folder / INT8_NAME)
    (folder / "engine.toml").write_text(toml, encoding="utf-8")
    staged = load_spec(folder / "engine.toml")
    paper = calibration_path(staged)
    paper.parent.mkdir(parents=True)
    paper.write_text(calibration_text(calibration), encoding="utf-8")
    return staged


def _move_in(spec: EngineSpec, staged: EngineSpec) -> tuple[Path, ...]:
    """Put the new files in place, each at once; ``engine.toml``, which makes them count, comes last."""
    pairs = (
        (staged.folder / INT8_NAME, spec.folder / INT8_NAME),
        (calibration_path(staged), calibration_path(spec)),
        (staged.folder / "engine.toml", spec.folder / "engine.toml"),
    )
    for source, target in pairs:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.new")
        shutil.copyfile(source, fresh)
        os.replace(fresh, target)
    return tuple(target for _, target in pairs)
