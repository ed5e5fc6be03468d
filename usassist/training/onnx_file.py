"""The ONNX file of a trained network, whatever the network is: written by PyTorch, cleaned, and run once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from usassist.common.onnx_runtime import import_onnxruntime
from usassist.errors import EngineSpecError

__all__ = ["MAX_ONNX_BYTES", "OPSET", "run_onnx", "write_onnx"]

OPSET = 20
MAX_ONNX_BYTES = 8_000_000


def write_onnx(
    module: torch.nn.Module, image: torch.Tensor, path: Path, output_names: Sequence[str], most_batch: int | None = None
) -> None:
    """Write a network as one ONNX file with the input ``image``, by PyTorch's dynamo exporter with opset 20.

    Parameters
    ----------
    module : in evaluation mode
    image : float32 (B, C, H, W), an input; B is 2 or more where the batch is free
    path : the file to write
    output_names : in the order of the network's outputs
    most_batch : the batch axis is free from 1 to this; None = it is that of `image`

    Raises
    ------
    EngineSpecError
        If the file has another opset or is larger than 8 MB.
    """
    import onnx

    path.parent.mkdir(parents=True, exist_ok=True)
    free: dict[str, Any] = {}
    if most_batch is not None:
        free["dynamic_shapes"] = {"image": {0: torch.export.Dim("batch", min=1, max=most_batch)}}
    with warnings.catch_warnings():
        # The exporter itself uses names that are deprecated in newer Python and PyTorch.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        torch.onnx.export(
            module,
            (image,),
            str(path),
            input_names=["image"],
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
            **free,
        )
    model = onnx.load(str(path))
    for node in model.graph.node:  # the exporter stores source lines and module names of the training machine
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("", 0) != OPSET:
        raise EngineSpecError(f"the exporter wrote opset {opsets}, expected {OPSET}: use a newer PyTorch")
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise EngineSpecError(f"{path.name} has {path.stat().st_size} bytes, more than 8 MB: use a smaller network")


def run_onnx(path: Path, image: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Run a model once in ONNX Runtime on the CPU.

    Parameters
    ----------
    path : its file
    image : float32 (B, C, H, W)

    Returns
    -------
    outputs : by name, in the order of the file
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, {"image": np.ascontiguousarray(image, np.float32)})
    return dict(zip(names, outputs, strict=True))
