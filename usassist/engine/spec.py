"""What an engine is: ``engines/<name>/<version>/engine.toml``, the single source of truth about it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.config import resource_dir
from usassist.engine.table import Table
from usassist.errors import EngineNotFoundError, EngineSpecError, RecordError
from usassist.records import LabelSpec

__all__ = ["INT8_ARTIFACT", "EngineSpec", "Golden", "TensorSpec", "find_engine", "list_engines", "load_spec"]

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
    shape : sides in the order of `layout`; None = free
    layout : one letter per axis, for example ``NCHW``
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: str

    def __post_init__(self) -> None:
        """Check that layout and shape agree."""
        if self.dtype not in _DTYPES:
            raise EngineSpecError(f"tensor {self.name}: dtype must be one of {', '.join(_DTYPES)}, got {self.dtype}")
        if len(self.layout) != len(self.shape):
            raise EngineSpecError(f"tensor {self.name}: layout {self.layout} does not fit shape {list(self.shape)}")

    def accepts(self, dtype: str, shape: tuple[int | None, ...]) -> bool:
        """True when an array, or a graph's own tensor, of this type and shape is what the spec says."""
        return (
            dtype == self.dtype
            and len(shape) == len(self.shape)
            and all(wanted is None or came == wanted for wanted, came in zip(self.shape, shape, strict=True))
        )

    def __str__(self) -> str:
        """For error messages."""
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} [{sides}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A stored input and what the engine must answer to it.

    Attributes
    ----------
    path : ``.npz`` with one array per input and output, named as the tensors
    max_abs_diff : largest difference of any output value that a back end may show in FP32
    int8_mean_abs_diff : output name → largest mean difference of its values that a back end may show in INT8; None =
        there is no INT8. INT8 moves single values far where an output is steep, so its mean is what is bounded.
    """

    path: Path
    max_abs_diff: float
    int8_mean_abs_diff: Mapping[str, float] | None = None

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
    rate_hz, latency_budget_ms : what it was made for
    diameter_rel_sd : relative standard uncertainty of a diameter of its outlines, as measured; None = not measured
    golden : acceptance
    licence, intended_use : texts
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

    def __post_init__(self) -> None:
        """Check the closed lists and that labels count from 0."""
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
        wanted = {tensor.name for tensor in self.outputs} if INT8_ARTIFACT in self.artifacts else None
        bounded = self.golden.int8_mean_abs_diff
        if (None if bounded is None else set(bounded)) != wanted:
            raise EngineSpecError(
                f"engine {self.name}: golden.int8.mean_abs_diff must name every output, and be there exactly when the "
                f"artifact {INT8_ARTIFACT} is; make the INT8 again: usassist engine quantize"
            )

    @property
    def engine_id(self) -> str:
        """Name, version and weights in one text."""
        return f"{self.name}@{self.version}+{self.artifacts['onnx'][1][:12]}"

    @property
    def precisions(self) -> tuple[str, ...]:
        """What there are artifacts for, the parent's own first."""
        return (self.precision, *(("int8",) if INT8_ARTIFACT in self.artifacts else ()))

    def check_weights(self, artifact: str) -> Path:
        """The file of an artifact, after its SHA-256 has been compared with the spec.

        Raises
        ------
        EngineSpecError
            If the file is missing or is not the one that the spec names.
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


def list_engines(folder: Path | None = None) -> list[EngineSpec]:
    """All engines that are installed, by name and version.

    Raises
    ------
    EngineSpecError
        If one of them has a malformed ``engine.toml``.
    """
    folder = folder or resource_dir("engines")
    return [load_spec(path) for path in sorted(folder.glob("*/*/engine.toml"), key=_version_key)]


def find_engine(name: str, folder: Path | None = None) -> EngineSpec:
    """The engine of that name.

    Parameters
    ----------
    name : ``thyroid_nodule`` for its newest version, or ``thyroid_nodule@0.2.0``
    folder : where to look; None = the engines that ship

    Raises
    ------
    EngineNotFoundError
        If there is none; the message lists those that there are.
    EngineSpecError
        If its ``engine.toml`` is malformed.
    """
    folder = folder or resource_dir("engines")
    wanted, _, version = name.partition("@")
    paths = sorted(folder.glob("*/*/engine.toml"), key=_version_key)
    for path in reversed(paths):
        if path.parent.parent.name == wanted and version in ("", path.parent.name):
            return load_spec(path)
    known = ", ".join(f"{path.parent.parent.name}@{path.parent.name}" for path in paths) or "none"
    raise EngineNotFoundError(f"no engine {name}; known: {known}")


def load_spec(path: Path) -> EngineSpec:
    """Read one ``engine.toml``.

    Raises
    ------
    EngineSpecError
        If it cannot be read, or a key is missing, unknown or of the wrong type; the message names file and key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EngineSpecError(f"{path} cannot be read: {error}; install the engine again") from error
    folder = path.parent
    table = Table(document, str(path))
    if table.take("schema", int) != 1:
        raise EngineSpecError(f"{path} has another schema than 1; update usassist")
    preprocess = table.take_table("preprocess")
    measurement = table.take_table("measurement", optional=True)
    golden = table.take_table("golden")
    golden_int8 = golden.take_table("int8", optional=True)
    artifacts = table.take("artifacts", dict)
    try:
        spec = EngineSpec(
            name=table.take("name", str),
            version=table.take("version", str),
            folder=folder,
            modality=table.take("modality", str),
            task=table.take("task", str),
            artifacts={
                kind: (folder / entry.take("path", str), entry.take("sha256", str))
                for kind, value in artifacts.items()
                for entry in (Table(value, f"{path}, artifacts.{kind}"),)
            },
            inputs=_tensors(table, "inputs"),
            outputs=_tensors(table, "outputs"),
            color=preprocess.take("color", str),
            input_range=_floats(preprocess, "input_range", 2),  # type: ignore[arg-type]
            mean=_floats(preprocess, "mean"),
            std=_floats(preprocess, "std"),
            labels=tuple(_label(item, str(path)) for item in table.take("labels", list)),
            precision=table.take("precision", str),
            rate_hz=table.take("rate_hz", float),
            latency_budget_ms=table.take("latency_budget_ms", float),
            diameter_rel_sd=measurement.take("diameter_rel_sd", float) if measurement else None,
            golden=Golden(
                path=folder / golden.take("path", str),
                max_abs_diff=golden.take("max_abs_diff", float),
                int8_mean_abs_diff=golden_int8.take_floats("mean_abs_diff") if golden_int8 else None,
            ),
            licence=table.take("licence", str),
            intended_use=table.take("intended_use", str),
        )
    except (RecordError, TypeError) as error:
        raise EngineSpecError(f"{path}: {error}") from error
    if measurement:
        measurement.take("source", str)
        measurement.finish()
    for rest in (preprocess, golden_int8, golden, table):
        rest.finish()
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise EngineSpecError(f"{path} calls itself {spec.name} {spec.version}, its folder says otherwise; rename one")
    return spec


def _tensors(table: Table, key: str) -> tuple[TensorSpec, ...]:
    tensors = []
    for index, item in enumerate(table.take(key, list)):
        entry = Table(item, f"{key}[{index}]")
        shape = entry.take("shape", list)
        if not all(type(side) is int for side in shape):
            raise EngineSpecError(f"{key}[{index}]: shape must be whole numbers (-1 = free), got {shape}")
        tensors.append(
            TensorSpec(
                name=entry.take("name", str),
                dtype=entry.take("dtype", str),
                shape=tuple(None if side == -1 else side for side in shape),
                layout=entry.take("layout", str),
            )
        )
        entry.finish()
    return tuple(tensors)


def _label(item: Any, where: str) -> LabelSpec:
    entry = Table(item, f"{where}, labels")
    label = LabelSpec(
        id=entry.take("id", int),
        name=entry.take("name", str),
        scheme=entry.take("scheme", str),
        value=entry.take("value", str),
        meaning=entry.take("meaning", str),
        color_rgb=tuple(entry.take("color_rgb", list)),
        score_threshold=entry.take("score_threshold", float),
    )
    entry.finish()
    return label


def _floats(table: Table, key: str, length: int | None = None) -> tuple[float, ...]:
    values = table.take(key, list)
    if not all(isinstance(value, int | float) for value in values) or length not in (None, len(values)):
        raise EngineSpecError(f"{key} must be a list of {length or 'some'} numbers, got {values}")
    return tuple(float(value) for value in values)


def _version_key(path: Path) -> tuple[str, tuple[int, ...]]:
    numbers = path.parent.name.split(".")
    return path.parent.parent.name, tuple(int(number) if number.isdecimal() else -1 for number in numbers)
