"""Quantisation of an FP32 ONNX to a symmetric QDQ ONNX that every back end reads.

NNCF determines the ranges from calibration frames. The result has pairs of ``QuantizeLinear`` and ``DequantizeLinear``
with int8 values and zero points of 0, the form that both OpenVINO and TensorRT run in INT8, and 7-bit weights, with
which all processors give the same results. This module does not measure accuracy:
``usassist.app.quantization.quantize`` does, before anything is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from usassist.engine.qdq import MAX_CODE, MIN_CODE, check_qdq
from usassist.errors import ConfigError, EngineSpecError
from usassist.training.data.boxed import read_boxed_frame, read_boxes
from usassist.training.data.other_anatomy import load_clip_frames
from usassist.training.data.sample import bare_sample, crop
from usassist.training.data.simulated import load_phantom
from usassist.training.data.thyroid import load_gland, load_nodule
from usassist.training.int8.weight_rounding import round_weights

__all__ = [
    "CalibrationSet",
    "describe_settings",
    "find_float_tail",
    "import_quantiser",
    "load_thyroid_sets",
    "quantise",
    "spread_evenly",
]

Array = npt.NDArray[Any]
UInt8Array = npt.NDArray[np.uint8]

_NODULE_FRAMES, _BOXED_FRAMES, _GLAND_FRAMES, _PHANTOM_FRAMES, _LUNG_FRAMES = 80, 120, 40, 30, 30
_SETS = ("thyroid_ddti", "thyroid_gland_tg3k", "thyroid_tn5000", "ultrasound_clips_lung")
_GLAND_LAST_NUMBER = 2400  # as in the recipes: later sweeps are held out
_PHANTOM_SEED = 1000  # as in the recipes; the evaluation starts at 1
_PHANTOM_CROSSING_SHARE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationSet:
    """Frames that determine the ranges, cropped as in the live path.

    Attributes
    ----------
    name : data set and part
    chosen : rule of the selection, in words
    images : uint8 (H, W) each, grey
    """

    name: str
    chosen: str
    images: tuple[UInt8Array, ...]

    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each frame's pixels in row-major order, hexadecimal."""
        return tuple(hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in self.images)


def load_thyroid_sets(root: Path) -> list[CalibrationSet]:
    """Load 300 frames for a thyroid engine: 200 with nodules, most of them of modern scanners, others without.

    No validation frame is among them. Lungs set the ranges of the domain's output too.

    Parameters
    ----------
    root : the folder :func:`usassist.config.data_dir`

    Raises
    ------
    ConfigError
        If a data set is missing.
    """
    folders = {name: root / name for name in _SETS}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise ConfigError(f"the data set {name} is missing from {root}; fetch it, or name another folder")
    nodule = [sample.image for sample in load_nodule(folders["thyroid_ddti"], "train")]
    lung = [sample.image for sample in load_clip_frames(folders["ultrasound_clips_lung"])]
    gland = [sample.image for sample in load_gland(folders["thyroid_gland_tg3k"], _GLAND_LAST_NUMBER)]
    phantom = [sample.image for sample in load_phantom(_PHANTOM_FRAMES, _PHANTOM_SEED, _PHANTOM_CROSSING_SHARE)]
    return [
        _choose_evenly("DDTI train", nodule, _NODULE_FRAMES),
        _choose_boxed(folders["thyroid_tn5000"]),
        _choose_evenly("lung clips, every second one", lung, _LUNG_FRAMES),
        _choose_evenly(f"TG3K train, file numbers up to {_GLAND_LAST_NUMBER}", gland, _GLAND_FRAMES),
        CalibrationSet(
            name="phantom",
            chosen=f"one moment of each scene with the seeds {_PHANTOM_SEED} to {_PHANTOM_SEED + _PHANTOM_FRAMES - 1}",
            images=tuple(phantom),
        ),
    ]


def _choose_evenly(name: str, images: list[UInt8Array], count: int) -> CalibrationSet:
    count = min(count, len(images))
    chosen = f"{count} of {len(images)}, evenly spaced in the order of their names"
    return CalibrationSet(
        name=name, chosen=chosen, images=tuple(images[index] for index in spread_evenly(len(images), count))
    )


def _choose_boxed(folder: Path) -> CalibrationSet:
    """Frames of TN5000 ``train``; only the chosen ones are read."""
    rows = read_boxes(folder, "train")
    places = spread_evenly(len(rows), _BOXED_FRAMES)
    frames = ((rows[place].name, read_boxed_frame(folder, rows[place])) for place in places)
    return CalibrationSet(
        name="TN5000 train",
        chosen=f"{len(places)} of {len(rows)}, evenly spaced in the order of the table",
        images=tuple(crop(bare_sample(name, image)).image for name, image in frames),
    )


def spread_evenly(total: int, count: int) -> list[int]:
    """At most `count` indices below `total`, evenly spaced."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def quantise(parent: Path, inputs: Sequence[Mapping[str, Array]]) -> bytes:
    """Quantise an FP32 ONNX; the same file and inputs give the same bytes.

    Parameters
    ----------
    parent : the FP32 ONNX, opset 19 or later
    inputs : named input tensors, one item per calibration frame

    Returns
    -------
    the QDQ ONNX

    Raises
    ------
    ConfigError
        If NNCF is not installed.
    EngineSpecError
        If the result is not in the symmetric QDQ form; see :func:`usassist.engine.qdq.lint_qdq`.
    """
    nncf, onnx = import_quantiser()
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

    model = onnx.load(str(parent))
    scope = nncf.IgnoredScope(names=find_float_tail(model)) if FLOAT_TAIL else None
    with contextlib.redirect_stdout(sys.stderr):  # its progress bars
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(inputs), dict),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(inputs),
            ignored_scope=scope,
            # NNCF's overflow fix excludes depthwise convolutions, and its bias correction is for other weights.
            advanced_parameters=AdvancedQuantizationParameters(
                activations_quantization_params=QuantizationParameters(per_channel=False),
                disable_bias_correction=True,
            ),
        )
        round_weights(model, quantised, inputs)
    _make_signed(quantised)
    for node in quantised.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del quantised.metadata_props[:]
    onnx.checker.check_model(quantised, full_check=True)
    content = bytes(quantised.SerializeToString(deterministic=True))
    check_qdq(content)
    return content


def _make_signed(model: Any) -> None:
    """Convert uint8 pairs, which NNCF uses for tensors without negative values, to int8 pairs with the same maximum."""
    from onnx import numpy_helper

    places = {item.name: index for index, item in enumerate(model.graph.initializer)}
    changed: set[str] = set()
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            scale, zero = node.input[1:3]
            zeros = numpy_helper.to_array(model.graph.initializer[places[zero]])
            if zero in changed or zeros.dtype != np.uint8 or zeros.any():
                continue
            reach = numpy_helper.to_array(model.graph.initializer[places[scale]]) * np.float32(255.0 / 127.0)
            for name, array in ((scale, reach), (zero, np.zeros_like(zeros, np.int8))):
                model.graph.initializer[places[name]].CopyFrom(numpy_helper.from_array(array, name))
            changed.add(zero)
    for value in model.graph.value_info:
        if value.type.tensor_type.elem_type == 2:  # uint8, of tensors that are int8 now
            value.type.tensor_type.elem_type = 3


FLOAT_TAIL = True
"""Keep the last convolutions, and everything after them, in float.

Peaks are found by comparing neighbours, and distances are exponentials: rounding before either gives equal neighbours
and coarse boxes. These are 2 of 67 convolutions of the thyroid network; the extra time is not measurable.
"""


def describe_settings(frames: int) -> dict[str, str]:
    """The settings of :func:`quantise`, for the calibration file."""
    return {
        "tool": f"nncf {metadata.version('nncf')}",
        "preset": "performance: symmetric, weights per output channel, activations per tensor",
        "ranges": "mean over the frames of the smallest and largest value",
        "weights": f"7 bits, {MIN_CODE} to {MAX_CODE}, scales of least squared error",
        "bias_correction": "for the weights, from mean inputs of the parent",
        "left_in_float": "the last convolutions and everything after them" if FLOAT_TAIL else "nothing",
        "frames": str(frames),
    }


def find_float_tail(model: Any) -> list[str]:
    """Find the convolutions that no convolution follows, and all nodes after them; returns their names.

    Raises
    ------
    EngineSpecError
        If the graph has no convolution.
    """
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    tail: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Conv":
            after, todo = {node.name: node.op_type}, [node]
            while todo:
                for name in todo.pop().output:
                    for reader in readers.get(name, []):
                        if reader.name not in after:
                            after[reader.name] = reader.op_type
                            todo.append(reader)
            if list(after.values()).count("Conv") == 1:
                tail |= after.keys()
    if not tail:
        raise EngineSpecError("the graph has no convolution, and nothing else can be quantised yet; use it in FP32")
    return sorted(tail)


def import_quantiser() -> tuple[ModuleType, ModuleType]:
    """Import ``nncf`` and ``onnx``.

    Raises
    ------
    ConfigError
        If one of them is not installed.
    """
    # Like OpenVINO, NNCF would send telemetry; without this module it falls back to a stub.
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    try:
        import nncf
        import onnx
    except ImportError as error:
        raise ConfigError(f"INT8 needs nncf and onnx ({error}); run: pip install 'usassist[train]'") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level would affect other loggers
    return nncf, onnx
