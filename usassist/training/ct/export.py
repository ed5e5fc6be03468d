"""From a trained network to the folder of the engine ``ct_ich``: ONNX, ``engine.toml`` and the golden sample."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from usassist.errors import EngineSpecError
from usassist.modalities.ct.haemorrhage.preprocess import INPUT_SIDE_PX
from usassist.training.ct.network import KINDS, ExportModule, IchNet
from usassist.training.onnx_file import run_onnx, write_onnx

__all__ = ["OUTPUT_NAMES", "EngineText", "export_onnx", "write_engine", "write_golden"]

Array = npt.NDArray[Any]

OUTPUT_NAMES = ("mask_prob", "slice_prob")
MOST_BATCH, USUAL_BATCH = 8, 4
MAX_GOLDEN_BYTES = 200_000

_PARITY_ABS = 2e-3
"""Largest difference between PyTorch and ONNX Runtime, both FP32: rounding in another order of summation only."""

_OWN = "99USASSIST"  # a private scheme (DICOM PS3.3 8.2), where no code of SNOMED CT was verified

_LABELS: tuple[tuple[str, str, str, str, tuple[int, int, int]], ...] = (
    ("haemorrhage", "SCT", "1386000", "Intracranial haemorrhage", (255, 64, 64)),
    ("intraparenchymal", "SCT", "274100004", "Cerebral haemorrhage", (255, 160, 0)),
    ("intraventricular", _OWN, "INTRAVENTRICULAR", "Intraventricular haemorrhage", (64, 160, 255)),
    ("extra_axial", _OWN, "EXTRA_AXIAL", "Extra-axial haemorrhage", (200, 96, 255)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineText:
    """Texts and measured numbers of ``engine.toml``.

    Attributes
    ----------
    name, version : as in the folder's path
    licence, intended_use : one paragraph each
    slice_thresholds : operating points of ``slice_prob``, by label
    golden_max_abs_diff : tolerance of the golden sample
    """

    name: str
    version: str
    licence: str
    intended_use: str
    slice_thresholds: tuple[float, float, float, float]
    golden_max_abs_diff: float = 0.02


def export_onnx(net: IchNet, path: Path, probe: Array, mask_threshold: float = 0.5) -> dict[str, float]:
    """Write `net` as one ONNX file with a free batch axis, and check it against PyTorch.

    Parameters
    ----------
    net : the trained network; it is copied
    path : the file to write
    probe : float32 (B, 3, 256, 256) with two images or more, the input of the comparison
    mask_threshold : of :class:`~usassist.training.ct.network.ExportModule`

    Returns
    -------
    largest absolute difference of each output

    Raises
    ------
    EngineSpecError
        When the outputs differ from PyTorch's, or the file has another opset or is larger than 8 MB.
    """
    contiguous = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    module = ExportModule(contiguous, mask_threshold).eval()
    image = torch.from_numpy(np.ascontiguousarray(probe, np.float32))
    with torch.no_grad():
        expected = dict(zip(OUTPUT_NAMES, (tensor.numpy() for tensor in module(image)), strict=True))
    write_onnx(module, image, path, OUTPUT_NAMES, MOST_BATCH)
    differences: dict[str, float] = {}
    for count in (1, len(probe)):
        for name, got in run_onnx(path, probe[:count]).items():
            reference = expected[name][:count]
            if got.shape != reference.shape:
                raise EngineSpecError(f"output {name} is {got.shape}, expected {reference.shape}: the export is wrong")
            difference = float(np.abs(got - reference).max())
            if not difference <= _PARITY_ABS:
                raise EngineSpecError(
                    f"output {name} differs by {difference:.3g} between PyTorch and ONNX Runtime, allowed is "
                    f"{_PARITY_ABS:.3g}: the export is wrong"
                )
            differences[name] = max(difference, differences.get(name, 0.0))
    return differences


def write_golden(onnx_path: Path, image: Array, path: Path) -> None:
    """Write input and expected outputs of the golden sample, as float16.

    The input is rounded before ONNX Runtime computes the outputs in FP32, so the file has the exact input.

    Parameters
    ----------
    onnx_path : the model
    image : float32 (1, 3, 256, 256) in 0 to 1; of a phantom, never of a patient
    path : the npz file to write

    Raises
    ------
    EngineSpecError
        When the file is larger than 200 kB.
    """
    rounded = image.astype(np.float16)
    outputs = run_onnx(onnx_path, rounded.astype(np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        image=rounded,
        mask_prob=outputs["mask_prob"].astype(np.float16),
        slice_prob=outputs["slice_prob"],
    )
    if path.stat().st_size > MAX_GOLDEN_BYTES:
        raise EngineSpecError(f"{path.name} has {path.stat().st_size} bytes, more than 200 kB: use a smoother slice")


def write_engine(folder: Path, text: EngineText) -> None:
    """Write ``engine.toml`` beside an existing ``model.onnx``."""
    side = INPUT_SIDE_PX
    lines = [
        "schema = 1",
        *_pairs({"name": text.name, "version": text.version, "modality": "CT", "task": "detect_segment"}),
        *_pairs({"precision": "fp32", "licence": text.licence, "intended_use": text.intended_use}),
        "rate_hz = 10.0",
        "latency_budget_ms = 1000.0",
        "",
        "[artifacts.onnx]",
        *_pairs({"path": "model.onnx", "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()}),
        *_tensor("inputs", "image", (3, side, side), "NCHW"),
        *_tensor("outputs", "mask_prob", (1, side, side), "NCHW"),
        *_tensor("outputs", "slice_prob", (len(KINDS),), "NC"),
        "",
        "[preprocess]",
        *_pairs({"color": "GRAY", "input_range": [0.0, 1.0], "mean": [0.0], "std": [1.0]}),
    ]
    for number, ((name, scheme, code, meaning, color), threshold) in enumerate(
        zip(_LABELS, text.slice_thresholds, strict=True)
    ):
        lines += ["", "[[labels]]", *_pairs({"id": number, "name": name, "scheme": scheme, "value": code})]
        lines += _pairs({"meaning": meaning, "color_rgb": list(color), "score_threshold": threshold})
    lines += ["", "[golden]", *_pairs({"path": "golden/golden.npz", "max_abs_diff": text.golden_max_abs_diff})]
    (folder / "engine.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """TOML lines; JSON strings, numbers and flat lists are valid TOML."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _tensor(kind: str, name: str, rest: tuple[int, ...], layout: str) -> list[str]:
    lines = ["", f"[[{kind}]]", *_pairs({"name": name, "dtype": "float32", "shape": [-1, *rest], "layout": layout})]
    if kind == "inputs":
        batches = {"min": 1, "opt": USUAL_BATCH, "max": MOST_BATCH}
        lines += _pairs({key: [batch, *rest] for key, batch in batches.items()})
    return lines
