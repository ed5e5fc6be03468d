"""``usassist engine quantize``: make an INT8 artefact of an engine, if it is as accurate as its FP32 parent.

All files are made in a private copy of the engine's folder, opened from there, and only then moved into place,
``engine.toml`` last. A failure before that leaves the engine unchanged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from usassist.app.quantization.gate import Gate, input_size
from usassist.common.private_files import replacing
from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.int8 import FrameSet, GateFigure, Int8Calibration, calibration_path, calibration_text
from usassist.errors import EngineError, EngineSpecError, UsageError, UsAssistError
from usassist.training.int8.quantize import CalibrationSet, describe_settings, quantise

__all__ = ["QuantisedEngine", "check_can_quantise", "engine_toml", "quantise_engine"]

INT8_NAME = "model.int8.onnx"

_BACKEND = "openvino"
_GOLDEN_SLACK = 2.0  # for the rounding of other processors; errors that the golden check must catch are far larger
_GOLDEN_LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedEngine:
    """The INT8 artefact of an engine.

    Attributes
    ----------
    kind : of the gate, ``accuracy`` or ``agreement``
    gate : figures of merit in both precisions
    golden_mean_abs_diff : tolerance of the golden sample for each output
    files : written
    bytes_fp32, bytes_int8 : sizes of both artefacts
    """

    kind: str
    gate: Mapping[str, GateFigure]
    golden_mean_abs_diff: Mapping[str, float]
    files: tuple[Path, ...]
    bytes_fp32: int
    bytes_int8: int

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self) | {"files": [str(path) for path in self.files]}


def quantise_engine(
    spec: EngineSpec,
    sets: Sequence[CalibrationSet],
    gate: Gate,
    *,
    threads: int = 0,
    replace: bool = False,
    out: Path | None = None,
) -> QuantisedEngine:
    """Quantise, measure, and write the artefact, its calibration file and ``engine.toml``.

    Parameters
    ----------
    spec : an FP32 engine with one image input
    sets : calibration frames
    gate : that INT8 has to pass
    threads : CPU threads; 0 = all
    replace : replace an existing INT8 artefact
    out : leave the engine unchanged, and write a copy of it with INT8 to the folders ``engines`` and ``calibration``
        in this one; None = write to the engine's own folder

    Raises
    ------
    UsageError
        If there is an INT8 artefact already, or the engine is not one that can be quantised.
    EngineError
        If the gate is not passed, or the artefact cannot be opened or written. Nothing is written then.
    """
    from usassist.engine import open_engine
    from usassist.engine.opening import open_artifact
    from usassist.modalities.ultrasound import preprocess

    check_can_quantise(spec, replace=replace, out=out)
    size_hw_px = input_size(spec)
    images = [image for frames in sets for image in frames.images]
    parent = spec.check_weights("onnx")
    with _writing(spec), tempfile.TemporaryDirectory(prefix="usassist-int8-") as scratch:
        with open_engine(spec, _BACKEND, threads, "fp32") as engine:
            before = gate.judge(engine)
        quantised = quantise(parent, [{spec.inputs[0].name: preprocess(image, size_hw_px)[0]} for image in images])
        candidate = Path(scratch) / INT8_NAME
        candidate.write_bytes(quantised)
        with open_artifact(spec, _BACKEND, threads, "int8", candidate) as engine:
            after = gate.judge(engine)
            figures = {name: GateFigure(fp32=before[name], int8=after[name], limit=gate.limit) for name in before}
            gate.check(spec, figures)
            tolerance = _golden_tolerance(spec, engine)
        digest = hashlib.sha256(quantised).hexdigest()
        today = datetime.now(UTC)
        calibration = Int8Calibration(
            calibration_id=f"{spec.name}_{spec.version}_int8_{today:%Y%m%d}",
            engine_id=spec.engine_id,
            int8_sha256=digest,
            measured_on=f"{today:%Y-%m-%d}",
            measured_by="engineer",
            method=f"post-training quantisation with the frames below, cropped and letterboxed as live; {gate.method}",
            settings=describe_settings(len(images)),
            gate=figures,
            frames=tuple(FrameSet(name=item.name, chosen=item.chosen, sha256=item.digests()) for item in sets),
        )
        staged = _stage(spec, Path(scratch), candidate, calibration, engine_toml(spec, digest, tolerance))
        open_engine(staged, _BACKEND, threads, "int8").close()
        files = _move_in(staged, _target(spec, out), whole=out is not None)
    return QuantisedEngine(
        kind=gate.kind,
        gate=figures,
        golden_mean_abs_diff=tolerance,
        files=files,
        bytes_fp32=parent.stat().st_size,
        bytes_int8=len(quantised),
    )


def engine_toml(spec: EngineSpec, digest: str, tolerance: Mapping[str, float]) -> str:
    """The engine's ``engine.toml`` with the INT8 artefact; everything else is unchanged."""
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
    document.get("parity", {}).pop("int8", None)  # the limits of another artefact
    document["golden"]["int8"] = golden
    return tomlkit.dumps(document)


def check_can_quantise(spec: EngineSpec, *, replace: bool = False, out: Path | None = None) -> None:
    """Refuse an engine that cannot be quantised, or whose INT8 cannot be written.

    Parameters
    ----------
    replace : an existing INT8 artefact may be replaced
    out : as for :func:`quantise_engine`

    Raises
    ------
    UsageError
        If it is not FP32, not 2-D ultrasound, has an INT8 artefact already, or its folder may not be written.
    """
    if spec.precision != "fp32":
        raise UsageError(f"{spec.engine_id} is {spec.precision}; only FP32 engines can be quantised")
    input_size(spec)
    if out is None and "int8" in spec.precisions and not replace:
        raise UsageError(f"{spec.engine_id} has an INT8 artefact already; use --replace to make it again")
    target = _target(spec, out)
    if out is not None and target.folder.exists():
        raise UsageError(f"there is a folder {target.folder} already; name another with --out")
    for folder in (target.folder, calibration_path(target).parent):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise UsageError(
                f"{folder} cannot be written by this user; use --out FOLDER for a copy of the engine with its INT8"
            )


def _golden_tolerance(spec: EngineSpec, engine: Engine) -> dict[str, float]:
    """Twice the mean difference of each output from the golden output, to two digits.

    An output that is nearly empty, such as a map of single peaks, may get so wide a bound that zeros pass; another
    output must reject zeros then.
    """
    stored = spec.golden.load([tensor.name for tensor in (*spec.inputs, *spec.outputs)])
    outputs = engine.infer({tensor.name: stored[tensor.name].astype(tensor.dtype) for tensor in spec.inputs})
    tolerance, rejects_zeros = {}, False
    for tensor in spec.outputs:
        expected = stored[tensor.name].astype(np.float64)
        difference = float(np.abs(outputs[tensor.name] - expected).mean())
        tolerance[tensor.name] = float(f"{_GOLDEN_SLACK * difference + _GOLDEN_LEAST:.2g}")
        rejects_zeros = rejects_zeros or tolerance[tensor.name] < float(np.abs(expected).mean())
    if not rejects_zeros:
        raise EngineSpecError(
            f"INT8 of {spec.engine_id} is so far from the golden output ({tolerance} on average) that an answer of "
            "zeros would pass. Nothing was written; go on in FP32"
        )
    return tolerance


def _target(spec: EngineSpec, out: Path | None) -> EngineSpec:
    """The engine at the place where its INT8 is written."""
    return spec if out is None else dataclasses.replace(spec, folder=out / "engines" / spec.name / spec.version)


def _stage(spec: EngineSpec, scratch: Path, candidate: Path, calibration: Int8Calibration, toml: str) -> EngineSpec:
    """A private copy of the engine with the new artefact in it."""
    from usassist.engine import load_spec

    folder = scratch / "engines" / spec.name / spec.version
    shutil.copytree(spec.folder, folder)
    os.replace(candidate, folder / INT8_NAME)
    (folder / "engine.toml").write_text(toml, encoding="utf-8")
    staged = load_spec(folder / "engine.toml")
    calibration_file = calibration_path(staged)
    calibration_file.parent.mkdir(parents=True)
    calibration_file.write_text(calibration_text(calibration), encoding="utf-8")
    return staged


def _move_in(staged: EngineSpec, target: EngineSpec, *, whole: bool) -> tuple[Path, ...]:
    """Move the new files, or all files of the engine, into place; ``engine.toml``, which activates them, comes last.

    All are first written beside their targets, so that a full disk leaves the old files.
    """
    others = [path for path in sorted(staged.folder.rglob("*")) if path.is_file() and path.name != "engine.toml"]
    sources = others if whole else [staged.folder / INT8_NAME]
    pairs = [(path, target.folder / path.relative_to(staged.folder)) for path in sources]
    pairs.append((calibration_path(staged), calibration_path(target)))
    pairs.append((staged.folder / "engine.toml", target.folder / "engine.toml"))
    made: list[Path] = []
    try:
        with ExitStack() as renamed:  # at the end, the last one first
            for source, place in reversed(pairs):
                made += [folder for folder in reversed(place.parents) if not folder.exists()]
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, renamed.enter_context(replacing(place)))
    except OSError:
        for folder in reversed(made):
            with suppress(OSError):  # something has been put in place there
                folder.rmdir()
        raise
    return tuple(place for _, place in pairs)


@contextmanager
def _writing(spec: EngineSpec) -> Iterator[None]:
    """Report a full disk, or the like, in one line."""
    try:
        yield
    except UsAssistError:
        raise
    except OSError as error:
        raise EngineError(
            f"INT8 of {spec.engine_id} cannot be written: {error.strerror or error}; free some space, or use --out "
            "FOLDER on another disk. Nothing was changed"
        ) from error
