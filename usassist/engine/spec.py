"""What an engine is; ``engine_toml.py`` reads it from its file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.domain import Domain
from usassist.errors import EngineSpecError
from usassist.records import LabelSpec

__all__ = [
    "DEFAULT_PARITY",
    "INT8_ARTIFACT",
    "EngineSpec",
    "Golden",
    "ParityLimits",
    "TensorSpec",
]

_DTYPES = ("float32", "float16", "int32", "int64", "uint8")
_MODALITIES = ("US", "CT", "MR")
_TASKS = ("detect", "segment", "detect_segment")
_PRECISIONS = ("fp32", "fp16", "int8")

INT8_ARTIFACT = "onnx_int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output.

    Attributes
    ----------
    name : as in the graph
    dtype : numpy name
    shape : in the order of `layout`; None = free axis
    layout : one letter per axis, for example ``NCHW``
    min_shape, opt_shape, max_shape : smallest, usual and largest shape of an input with free axes; None = all are
        fixed. Plans are built for this range, and memory is allocated for the largest.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: str
    min_shape: tuple[int, ...] | None = None
    opt_shape: tuple[int, ...] | None = None
    max_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check that layout, shape and range agree."""
        if self.dtype not in _DTYPES:
            raise EngineSpecError(f"tensor {self.name}: dtype must be one of {', '.join(_DTYPES)}, got {self.dtype}")
        if len(self.layout) != len(self.shape):
            raise EngineSpecError(f"tensor {self.name}: layout {self.layout} does not fit shape {list(self.shape)}")
        ranges = (self.min_shape, self.opt_shape, self.max_shape)
        if ranges == (None, None, None):
            return
        if None in ranges or not all(
            len(sides) == len(self.shape) and (side in (None, low) and side in (None, high))
            for sides in ranges
            for side, low, high in zip(self.shape, self.min_shape or (), self.max_shape or (), strict=False)
            if sides is not None
        ):
            raise EngineSpecError(f"tensor {self.name}: min, opt and max go together, and fixed sides stay as they are")
        if not all(1 <= low <= opt <= high for low, opt, high in zip(*ranges, strict=True)):  # type: ignore[arg-type]
            raise EngineSpecError(f"tensor {self.name}: every side needs 1 <= min <= opt <= max")

    @property
    def is_free(self) -> bool:
        """True when an axis is free."""
        return None in self.shape

    def accepts(self, dtype: str, shape: tuple[int | None, ...]) -> bool:
        """True when an array, or a graph's own tensor, of this type and shape matches the spec."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        if not all(wanted is None or came == wanted for wanted, came in zip(self.shape, shape, strict=True)):
            return False
        if self.min_shape is None or self.max_shape is None:
            return True
        return all(
            came is None or low <= came <= high
            for came, low, high in zip(shape, self.min_shape, self.max_shape, strict=True)
        )

    def is_as_free_in(self, shape: tuple[int | None, ...]) -> bool:
        """True when every axis that is free here is free in a graph's own shape of the same length too."""
        return all(came is None for side, came in zip(self.shape, shape, strict=True) if side is None)

    def __str__(self) -> str:
        """For error messages; a free axis as ``?``, or as ``8..64`` where its range is known."""
        ranges = zip(self.min_shape, self.max_shape, strict=True) if self.min_shape and self.max_shape else None
        free = [f"{low}..{high}" for low, high in ranges] if ranges else ["?"] * len(self.shape)
        sides = ", ".join(text if side is None else str(side) for side, text in zip(self.shape, free, strict=True))
        return f"{self.name} {self.dtype} [{sides}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A stored input and the outputs that the engine must give for it.

    Attributes
    ----------
    path : ``.npz`` with one array per input and output, named as the tensors
    max_abs_diff : largest allowed difference of any output value in FP32
    mean_abs_diff : precision → output name → largest allowed mean difference of its values. Rounding moves single
        values far where an output is steep, so in FP16 and INT8 the mean is bounded.
    """

    path: Path
    max_abs_diff: float
    mean_abs_diff: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def load(self, names: list[str]) -> dict[str, npt.NDArray[Any]]:
        """Read the arrays `names`.

        Raises
        ------
        EngineSpecError
            If the file or one of the arrays is missing or damaged.
        """
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                return {name: stored[name] for name in names}
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise EngineSpecError(
                f"golden file {self.path} cannot be used: {error}; install the engine again"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityLimits:
    """Limits on the distance from the FP32 reference, for one precision; see ``engine/parity.py``.

    Attributes
    ----------
    min_dice : least Dice of a finding's mask with the reference's mask of the same finding
    min_box_iou : least IoU of their boxes
    max_score_diff : largest difference of their scores. A finding whose score is this close to the threshold of its
        label may be missing or extra.
    varied_mean_abs_diff : output name → largest mean difference of its values on any variation of the golden input, in
        FP16 and INT8; empty = not bounded
    random_mean_abs_diff : likewise on any random input, which may be far from everything the engine was made for
    """

    min_dice: float
    min_box_iou: float
    max_score_diff: float
    varied_mean_abs_diff: Mapping[str, float] = field(default_factory=dict)
    random_mean_abs_diff: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every limit is in its range."""
        if not all(0.0 < value <= 1.0 for value in (self.min_dice, self.min_box_iou)):
            raise EngineSpecError(
                f"parity limits: min_dice and min_box_iou must be above 0 and at most 1, got {self.min_dice:g} and "
                f"{self.min_box_iou:g}"
            )
        bounds = (*self.varied_mean_abs_diff.values(), *self.random_mean_abs_diff.values())
        if not 0.0 <= self.max_score_diff < 1.0 or not all(value > 0.0 for value in bounds):
            raise EngineSpecError(
                "parity limits: max_score_diff must be from 0 to below 1, and every mean_abs_diff above 0"
            )


# Defaults where engine.toml has no table of its own. FP32 differs only in the order of sums. The limits of FP16 and
# INT8 are starting points; an engine's own are set from measurements.
DEFAULT_PARITY: Mapping[str, ParityLimits] = {
    "fp32": ParityLimits(min_dice=0.99, min_box_iou=0.95, max_score_diff=0.02),
    "fp16": ParityLimits(min_dice=0.98, min_box_iou=0.95, max_score_diff=0.02),
    "int8": ParityLimits(min_dice=0.90, min_box_iou=0.80, max_score_diff=0.05),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What one version of an engine is.

    Attributes
    ----------
    name, version : of the engine; its id is ``name@version+<first 12 digits of the weights' SHA-256>``
    folder : where it lies
    modality : DICOM code ``US``, ``CT`` or ``MR``
    task : ``detect``, ``segment`` or ``detect_segment``
    artifacts : format → (file, SHA-256 in hexadecimal digits); ``onnx`` is the parent of all others, and ``onnx_int8``
        is the same graph quantised
    inputs, outputs : tensors in the order of the file
    color : ``GRAY`` or ``RGB``
    input_range, mean, std : exact preprocessing: pixels scaled to the range, minus mean, divided by std
    labels : what it can find; ``id`` counts from 0
    precision : of the parent: ``fp32``, ``fp16`` or ``int8``
    rate_hz, latency_budget_ms : targets
    diameter_rel_sd : relative standard uncertainty of a diameter of its outlines, as measured; None = not measured
    golden : acceptance input and outputs
    licence, intended_use : texts
    parity : precision → limits of the comparison with the reference, where they differ from the defaults
    domain : what its frames show, and how it judges that; None = it never abstains
    ap_t_rel_sd : relative standard uncertainty of the AP/T ratio of its outlines, as measured; None = not measured
    """

    name: str
    version: str
    folder: Path
    modality: str
    task: str
    artifacts: dict[str, tuple[Path, str]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    color: str
    input_range: tuple[float, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[LabelSpec, ...]
    precision: str
    rate_hz: float
    latency_budget_ms: float
    diameter_rel_sd: float | None
    golden: Golden
    licence: str
    intended_use: str
    parity: Mapping[str, ParityLimits] = field(default_factory=dict)
    domain: Domain | None = None
    ap_t_rel_sd: float | None = None

    def __post_init__(self) -> None:
        """Check the closed lists, that labels count from 0, and the output of the domain."""
        for key, value, known in (
            ("modality", self.modality, _MODALITIES),
            ("task", self.task, _TASKS),
            ("precision", self.precision, _PRECISIONS),
            ("color", self.color, ("GRAY", "RGB")),
        ):
            if value not in known:
                raise EngineSpecError(f"engine {self.name}: {key} must be one of {', '.join(known)}, got {value}")
        if "onnx" not in self.artifacts:
            raise EngineSpecError(f"engine {self.name}: artifacts.onnx is missing; it is the parent of all others")
        if [label.id for label in self.labels] != list(range(len(self.labels))) or not self.labels:
            raise EngineSpecError(f"engine {self.name}: label ids must count from 0")
        if not self.inputs or not self.outputs:
            raise EngineSpecError(f"engine {self.name}: inputs and outputs must not be empty")
        if self.domain is not None:
            self.domain.check_outputs(self.outputs)
        if (INT8_ARTIFACT in self.artifacts) != ("int8" in self.golden.mean_abs_diff):
            raise EngineSpecError(
                f"engine {self.name}: golden.int8.mean_abs_diff must be there exactly when the artifact "
                f"{INT8_ARTIFACT} is; make the INT8 again: usassist engine quantize"
            )
        for precision, bounds in self.golden.mean_abs_diff.items():
            if set(bounds) != {tensor.name for tensor in self.outputs}:
                raise EngineSpecError(
                    f"engine {self.name}: golden.{precision}.mean_abs_diff must name every output, got "
                    f"{', '.join(bounds)}"
                )

        for precision, limits in self.parity.items():
            for kind, bounds in (("varied", limits.varied_mean_abs_diff), ("random", limits.random_mean_abs_diff)):
                if bounds and set(bounds) != {tensor.name for tensor in self.outputs}:
                    raise EngineSpecError(
                        f"engine {self.name}: parity.{precision}.{kind}_mean_abs_diff must name every output, got "
                        f"{', '.join(bounds)}"
                    )

    @property
    def engine_id(self) -> str:
        """Name, version and weights as one string."""
        return f"{self.name}@{self.version}+{self.artifacts['onnx'][1][:12]}"

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it can be run in, the parent's own first.

        INT8 where there is an artifact. FP16 of an FP32 parent is derived on demand, and offered only where the spec
        limits its distance from the parent.
        """
        return (self.precision, *(name for name in ("fp16", "int8") if name in self.golden.mean_abs_diff))

    def is_derived(self, precision: str) -> bool:
        """True when the artifact of that precision is made from the parent on this machine."""
        return precision == "fp16" != self.precision

    def artifact_for(self, precision: str, formats: tuple[str, ...]) -> str | None:
        """The artifact that is read for a precision, or that it is derived from; None when there is none.

        Parameters
        ----------
        formats : that the back end reads, best first
        """
        suffix = "" if precision == self.precision or self.is_derived(precision) else f"_{precision}"
        return next((name + suffix for name in formats if name + suffix in self.artifacts), None)

    def parity_limits(self, precision: str) -> ParityLimits:
        """Limits of the comparison with the reference: the engine's own, else :data:`DEFAULT_PARITY`."""
        return self.parity.get(precision, DEFAULT_PARITY[precision])

    def check_weights(self, artifact: str) -> Path:
        """The file of an artifact, its SHA-256 checked against the spec.

        Raises
        ------
        EngineSpecError
            If the file is missing, or its hash differs.
        """
        path, expected = self.artifacts[artifact]
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise EngineSpecError(
                f"weights {path} cannot be read: {error.strerror}; install the engine again"
            ) from error
        if found != expected:
            raise EngineSpecError(
                f"weights {path} have SHA-256 {found[:12]}…, engine.toml says {expected[:12]}…; install it again"
            )
        return path
