"""``python -m usassist.training.ct_body.package RECIPE --run DIR --engines DIR``: an engine from a trained network.

The ONNX file is compared with PyTorch in ONNX Runtime before it is used. The golden input is a plane of a simulated
abdomen, so no patient's data ship with the engine.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from usassist.errors import ConfigError, EngineSpecError, UsAssistError
from usassist.modalities.ct.body.preprocess import SIZE_YX_PX, WINDOWS_HU, window_planes
from usassist.modalities.ct.body.tissues import Tissue
from usassist.training.ct_body.net import CLASSES, BodyNet, ExportBodyNet
from usassist.training.ct_body.planes import FIRST_VALIDATION_SEED, draw_sample
from usassist.training.network.layers import fold_norms
from usassist.training.onnx_file import run_onnx, write_onnx

__all__ = ["export_body", "golden_input", "main", "write_engine_folder"]

MAX_BATCH = 8
USUAL_BATCH = 4
MAX_GOLDEN_BYTES = 200_000
MAX_PARITY = 2e-3
_GOLDEN_STEP = 1 / 512  # golden outputs are rounded to it, so that the file stays small
_OUTPUT = "compartment_prob"

_CODES = {
    # value, meaning (SNOMED CT; DICOM CID 7166 has Fat, Bone, Soft tissue and Organ), colour
    Tissue.SKELETAL_MUSCLE: ("127954009", "Skeletal muscle", (220, 70, 60)),
    Tissue.SUBCUTANEOUS_FAT: ("67769002", "Subcutaneous fatty tissue", (255, 214, 90)),
    Tissue.VISCERAL_FAT: ("55603005", "Fat", (70, 140, 235)),
    Tissue.INTERMUSCULAR_FAT: ("55603005", "Fat", (120, 220, 140)),
    Tissue.BONE: ("3138006", "Bone", (240, 240, 225)),
    Tissue.ABDOMINAL_CONTENTS: ("113343008", "Organ", (150, 120, 170)),
    Tissue.SUBCUTANEOUS_OTHER: ("87784001", "Soft tissue", (200, 170, 130)),
    Tissue.MUSCLE_OTHER: ("87784001", "Soft tissue", (170, 110, 110)),
}


def golden_input() -> npt.NDArray[np.float32]:
    """float32 (1, 3, H, W): a plane of a simulated abdomen without noise, in steps of 1/256."""
    hu, _ = draw_sample(FIRST_VALIDATION_SEED + 2, 5.0, "normal")
    image = np.empty((1, len(WINDOWS_HU), *SIZE_YX_PX), np.float32)
    window_planes(hu, image[0])
    return np.asarray(np.rint(image * 256) / 256, np.float32)


def export_body(net: BodyNet, path: Path) -> float:
    """Write the network as ONNX with a free batch, and give the largest difference from PyTorch.

    Raises
    ------
    EngineSpecError
        If the outputs differ, the opset is another, or the file is larger than 8 MB.
    """
    frozen = copy.deepcopy(net).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    fold_norms(frozen)
    module = ExportBodyNet(frozen).eval()
    image = torch.from_numpy(np.repeat(golden_input(), 2, axis=0))
    with torch.no_grad():
        expected = module(image).numpy()
    write_onnx(module, image, path, [_OUTPUT], MAX_BATCH)
    difference = float(np.abs(run_onnx(path, image.numpy())[_OUTPUT] - expected).max())
    if difference > MAX_PARITY:
        raise EngineSpecError(f"the export differs from PyTorch by {difference:.3g}, allowed is {MAX_PARITY:g}")
    return difference


def write_engine_folder(recipe: Mapping[str, Any], run: Path, engines: Path) -> Path:
    """Write ``engines/<name>/<version>`` with the model, ``engine.toml`` and the golden sample.

    Parameters
    ----------
    recipe : with name, version, licence and intended use
    run : has ``checkpoint.pt``
    engines : the folder of engines

    Raises
    ------
    ConfigError
        If there is no trained network.
    EngineSpecError
        If the export is wrong, or the golden file too large.
    """
    checkpoint = run / "checkpoint.pt"
    if not checkpoint.is_file():
        raise ConfigError(f"there is no checkpoint.pt in {run}; train first")
    net = BodyNet()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    folder = engines / str(recipe["name"]) / str(recipe["version"])
    export_body(net, folder / "model.onnx")
    image = golden_input()
    answer = np.asarray(run_onnx(folder / "model.onnx", image)[_OUTPUT], np.float32)
    outputs = np.rint(answer / _GOLDEN_STEP) * _GOLDEN_STEP
    golden = folder / "golden" / "golden.npz"
    golden.parent.mkdir(exist_ok=True)
    np.savez_compressed(golden, image=image.astype(np.float16), **{_OUTPUT: outputs.astype(np.float16)})
    if golden.stat().st_size > MAX_GOLDEN_BYTES:
        raise EngineSpecError(f"{golden.name} has {golden.stat().st_size} bytes, more than 200 kB; use another plane")
    (folder / "engine.toml").write_text(_engine_toml(recipe, folder / "model.onnx"), encoding="utf-8")
    return folder


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _engine_toml(recipe: Mapping[str, Any], model: Path) -> str:
    inputs = (len(WINDOWS_HU), *SIZE_YX_PX)
    lines = [
        "schema = 1",
        *_pairs({"name": recipe["name"], "version": recipe["version"], "modality": "CT", "task": "segment"}),
        *_pairs({"precision": "fp32", "licence": recipe["licence"], "intended_use": recipe["intended_use"]}),
        "rate_hz = 1.0",
        "latency_budget_ms = 1000.0",
        "",
        "[artifacts.onnx]",
        *_pairs({"path": "model.onnx", "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}),
        "",
        "[[inputs]]",
        *_pairs({"name": "image", "dtype": "float32", "shape": [-1, *inputs], "layout": "NCHW"}),
        *_pairs({"min": [1, *inputs], "opt": [USUAL_BATCH, *inputs], "max": [MAX_BATCH, *inputs]}),
        "",
        "[[outputs]]",
        *_pairs({"name": _OUTPUT, "dtype": "float32", "shape": [-1, CLASSES, *SIZE_YX_PX], "layout": "NCHW"}),
        "",
        "[preprocess]",
        *_pairs({"color": "RGB", "input_range": [0.0, 1.0], "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}),
        "",
    ]
    for tissue in Tissue:
        value, meaning, colour = _CODES[tissue]
        lines += ["[[labels]]", *_pairs({"id": int(tissue), "name": tissue.name.lower(), "scheme": "SCT"})]
        lines += [*_pairs({"value": value, "meaning": meaning, "color_rgb": list(colour), "score_threshold": 0.5}), ""]
    lines += ["[golden]", *_pairs({"path": "golden/golden.npz", "max_abs_diff": 0.01})]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usassist.training.ct_body.package", description=__doc__.split("\n")[0]
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--engines", type=Path, required=True, help="folder of engines to write to")
    options = parser.parse_args(arguments)
    try:
        recipe = tomllib.loads(options.recipe.read_text(encoding="utf-8"))
        folder = write_engine_folder(recipe["engine"], options.run, options.engines)
    except (UsAssistError, OSError, KeyError, tomllib.TOMLDecodeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"wrote {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
