"""Export of a trained network to an engine folder: ONNX, ``engine.toml`` and the golden sample.

The ONNX file is compared with PyTorch in ONNX Runtime before it is used.
"""

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
from usassist.training.network.layers import fold_norms
from usassist.training.network.model import CELL_PX, MASK_STRIDE_PX, DetectSegmentNet, ExportModule
from usassist.training.onnx_file import run_onnx, write_onnx

__all__ = ["OUTPUT_NAMES", "EngineText", "export_onnx", "output_shapes", "write_engine", "write_golden"]

Array = npt.NDArray[Any]

OUTPUT_NAMES = ("mask_prob", "center_score", "box_ltrb_px", "thyroid_prob")
MAX_GOLDEN_BYTES = 200_000

_PARITY_ABS = {"mask_prob": 2e-3, "center_score": 2e-3, "box_ltrb_px": 0.1, "thyroid_prob": 2e-3}
"""Largest difference between PyTorch and ONNX Runtime, both FP32: rounding in another order of summation only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineText:
    """Texts and measured numbers of ``engine.toml``.

    Attributes
    ----------
    name, version : as in the folder's path
    licence, intended_use : one paragraph each
    score_threshold : the operating point, 0 to 1
    diameter_rel_sd : relative standard uncertainty of the longest diameter; None = not measured
    measured_by : the command that printed these two
    domain_threshold : the engine abstains below it; 0 = never
    domain_measured_by : the command that printed it
    golden_max_abs_diff : tolerance of the golden sample
    ap_t_rel_sd : relative standard uncertainty of the AP/T ratio; None = not measured
    ap_t_measured_by : the command that printed it
    """

    name: str
    version: str
    licence: str
    intended_use: str
    score_threshold: float
    diameter_rel_sd: float | None
    measured_by: str
    domain_threshold: float = 0.0
    domain_measured_by: str = "not measured"
    golden_max_abs_diff: float = 0.02
    ap_t_rel_sd: float | None = None
    ap_t_measured_by: str = ""


def output_shapes(size_hw_px: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of the engine's outputs for an input of ``size_hw_px``."""
    height_px, width_px = size_hw_px
    cells = (height_px // CELL_PX, width_px // CELL_PX)
    return {
        "mask_prob": (1, 1, height_px // MASK_STRIDE_PX, width_px // MASK_STRIDE_PX),
        "center_score": (1, 1, *cells),
        "box_ltrb_px": (1, 4, *cells),
        "thyroid_prob": (1, 1),
    }


def export_onnx(net: DetectSegmentNet, size_hw_px: tuple[int, int], path: Path, probe: Array) -> dict[str, float]:
    """Write ``net`` as one ONNX file and check it against PyTorch.

    Parameters
    ----------
    net : the trained network; it is copied, so training may continue
    size_hw_px : fixed input size
    path : the file to write
    probe : float32 (1, 1, H, W), the input of the comparison

    Returns
    -------
    largest absolute difference for each output

    Raises
    ------
    EngineSpecError
        When its outputs differ from PyTorch's, or it has another opset or is larger than 8 MB.
    """
    frozen = copy.deepcopy(net).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    fold_norms(frozen)
    frozen.remove_gland_head()
    module = ExportModule(frozen).eval()
    image = torch.from_numpy(np.ascontiguousarray(probe, np.float32))
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in module(image)]
    write_onnx(module, image, path, OUTPUT_NAMES)
    outputs = run_onnx(path, image.numpy())
    differences: dict[str, float] = {}
    for name, reference in zip(OUTPUT_NAMES, expected, strict=True):
        got = outputs[name]
        if got.shape != reference.shape or got.shape != output_shapes(size_hw_px)[name]:
            raise EngineSpecError(f"output {name} is {got.shape}, expected {reference.shape}: the export is wrong")
        differences[name] = float(np.abs(got - reference).max())
        if not differences[name] <= _PARITY_ABS[name]:
            raise EngineSpecError(
                f"output {name} differs by {differences[name]:.3g} between PyTorch and ONNX Runtime, "
                f"allowed is {_PARITY_ABS[name]:.3g}: the export is wrong"
            )
    return differences


def write_golden(onnx_path: Path, image: Array, path: Path) -> None:
    """Write the input and the expected outputs of the golden sample.

    The input is rounded to float16 before ONNX Runtime computes the expected outputs in FP32, so that the file has the
    exact input. ``mask_prob`` and ``center_score`` are stored as float16 (rounding error at most 2.4e-4), the box
    distances as float32.

    Parameters
    ----------
    onnx_path : the model
    image : float32 (1, 1, H, W) in 0 to 1; a simulated frame, never a patient's
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
        center_score=outputs["center_score"].astype(np.float16),
        box_ltrb_px=outputs["box_ltrb_px"],
        thyroid_prob=outputs["thyroid_prob"],
    )
    if path.stat().st_size > MAX_GOLDEN_BYTES:
        raise EngineSpecError(f"{path.name} has {path.stat().st_size} bytes, more than 200 kB: use a smoother frame")


def write_engine(folder: Path, text: EngineText, size_hw_px: tuple[int, int]) -> None:
    """Write ``engine.toml`` next to an existing ``model.onnx``."""
    measurement: list[str] = []
    if text.diameter_rel_sd is not None:
        values = {"diameter_rel_sd": text.diameter_rel_sd, "source": text.measured_by}
        measurement = ["[measurement]", *_pairs(values), ""]
    if text.ap_t_rel_sd is not None:
        ap_t = {"rel_sd": text.ap_t_rel_sd, "source": text.ap_t_measured_by}
        measurement += ["[measurement.ap_t]", *_pairs(ap_t), ""]
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    height_px, width_px = size_hw_px
    lines = [
        "schema = 1",
        *_pairs({"name": text.name, "version": text.version, "modality": "US", "task": "detect_segment"}),
        *_pairs({"precision": "fp32", "licence": text.licence, "intended_use": text.intended_use}),
        "rate_hz = 30.0",
        "latency_budget_ms = 33.0",
        "",
        "[artifacts.onnx]",
        *_pairs({"path": "model.onnx", "sha256": digest}),
        "",
        *_tensor("inputs", "image", (1, 1, height_px, width_px)),
    ]
    for name, shape in output_shapes(size_hw_px).items():
        lines += ["", *_tensor("outputs", name, shape)]
    lines += [
        "",
        "[preprocess]",
        *_pairs({"color": "GRAY", "input_range": [0.0, 1.0], "mean": [0.0], "std": [1.0]}),
        "",
        "[[labels]]",
        *_pairs({"id": 0, "name": "nodule", "scheme": "SCT", "value": "27925004", "meaning": "Nodule"}),
        *_pairs({"color_rgb": [255, 196, 0], "score_threshold": text.score_threshold}),
        "",
        "[domain]",
        *_pairs({"name": "thyroid", "output": "thyroid_prob", "threshold": text.domain_threshold}),
        *_pairs({"source": text.domain_measured_by}),
        "",
        *measurement,
        "[golden]",
        *_pairs({"path": "golden/golden.npz", "max_abs_diff": text.golden_max_abs_diff}),
    ]
    (folder / "engine.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """TOML lines; JSON strings, numbers and flat lists are valid TOML."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _tensor(kind: str, name: str, shape: tuple[int, ...]) -> list[str]:
    layout = "NCHW"[: len(shape)]
    return [f"[[{kind}]]", *_pairs({"name": name, "dtype": "float32", "shape": list(shape), "layout": layout})]
