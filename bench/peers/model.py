"""The engine's ONNX with the mask as its only output, in operators that an OpenVINO of 2022 still reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.utils
from onnx import helper, numpy_helper

from usassist.errors import EngineError

__all__ = ["OUTPUT", "derive"]

OUTPUT = "mask_prob"


def derive(source: Path, target: Path) -> None:
    """Write the part of a model that leads to ``mask_prob``. Weights and arithmetic stay as they are.

    pyFAST brings OpenVINO 2022.3, which ignores where a ``ReduceMean`` of opset 18 takes its axes from. A mean over
    height and width that keeps them is the same as ``GlobalAveragePool``, which every version knows.

    Parameters
    ----------
    source : ONNX file of an engine with the output ``mask_prob``
    target : ONNX file to write

    Raises
    ------
    EngineError
        If the file has no such output, or takes a mean that cannot be written so.
    """
    model = onnx.load(source)
    if OUTPUT not in [output.name for output in model.graph.output]:
        raise EngineError(f"{source.name} has no output {OUTPUT}; name an engine that outlines")
    inputs = [item.name for item in model.graph.input]
    model = onnx.utils.Extractor(model).extract_model(inputs, [OUTPUT])
    constants = {item.name: item for item in model.graph.initializer}
    nodes = [_readable(node, constants, source.name) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for item in list(model.graph.initializer):
        if item.name not in used:
            model.graph.initializer.remove(item)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _readable(node: Any, constants: dict[str, Any], name: str) -> Any:
    """The node itself, or the one that says the same in older words."""
    if node.op_type != "ReduceMean":
        return node
    keeps = next((item.i for item in node.attribute if item.name == "keepdims"), 1)
    axes = constants.get(node.input[1]) if len(node.input) == 2 else None
    if not keeps or axes is None or sorted(numpy_helper.to_array(axes).tolist()) != [2, 3]:
        raise EngineError(f"{name}: {node.name} is no mean over height and width; teach {__name__} to write it")
    return helper.make_node("GlobalAveragePool", [node.input[0]], list(node.output), name=node.name)
