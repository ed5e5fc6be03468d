"""Descriptors of an outlined nodule, each estimated from its features by a logistic regression.

The regressions lie beside the engine in ``descriptors.toml``: data only, no code. A descriptor is in the file only if
its agreement with readers is significantly better than chance; the file gives that agreement. Its keys::

    schema = 1
    engine_id = "thyroid_nodule@0.2.0+0123456789ab"   # whose outlines the agreement was measured with
    made_by = "the command that wrote the file"

    [[descriptors]]
    name = "echogenicity"
    classes = ["isoechoic or hyperechoic", "hypoechoic"]
    features = ["rim_contrast"]           # names of FEATURES; the next three lists have one number for each
    mean = [-0.08]
    scale = [0.11]
    weights = [-0.24]                     # of the standardised features, towards the second class
    bias = 0.02
    agreement = "kappa 0.31 (0.12 to 0.49), 65 frames"

    [[left_out]]                          # descriptors that were tried and are not good enough
    name = "margins"
    reason = "not better than chance"
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from usassist.errors import EngineSpecError
from usassist.modalities.ultrasound.appearance import FEATURES, nodule_features
from usassist.records import Descriptor

__all__ = ["FEATURES", "FILE_NAME", "DescriptorModel", "LogisticTable", "nodule_features", "standardise"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

FILE_NAME = "descriptors.toml"
"""Name of the file in an engine's folder."""

_SCHEMA = 1
_INDEX = {name: index for index, name in enumerate(FEATURES)}
_MAX_SD = 3.0
_REMEDY = "install the engine again"
_TABLE_KEYS = {
    "name": str,
    "classes": list,
    "features": list,
    "mean": list,
    "scale": list,
    "weights": list,
    "bias": float,
    "agreement": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticTable:
    """A logistic regression between two classes.

    Attributes
    ----------
    name : of the descriptor
    classes : two
    features : names of :data:`FEATURES`
    mean, scale : of each feature in the training data
    weights : of each standardised feature, towards the second class
    bias : added to the weighted sum
    agreement : with readers, as text for people
    """

    name: str
    classes: tuple[str, str]
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    agreement: str = ""

    def __post_init__(self) -> None:
        """Check names, lengths and numbers."""
        where = f"descriptor {self.name}"
        _require(bool(self.name), "a descriptor needs a name")
        _require(len(set(self.classes)) == 2, f"{where}: classes must be two different names, got {self.classes}")
        unknown = [name for name in self.features if name not in FEATURES]
        _require(not unknown, f"{where}: unknown feature {unknown[:1]}; known: {', '.join(FEATURES)}")
        _require(
            len(set(self.features)) == len(self.features) > 0,
            f"{where}: features must be named once each, and at least one",
        )
        for key in ("mean", "scale", "weights"):
            values = getattr(self, key)
            _require(
                len(values) == len(self.features),
                f"{where}: {key} must have one number for each of the {len(self.features)} features, got {len(values)}",
            )
            _require(all(math.isfinite(value) for value in values), f"{where}: {key} must be finite")
        _require(min(self.scale) > 0.0, f"{where}: scale must be positive")
        _require(math.isfinite(self.bias), f"{where}: bias must be finite")

    def probability(self, features: Float64Array) -> float:
        """Probability of the second class.

        Parameters
        ----------
        features : float64 (len(FEATURES),), of :func:`nodule_features`
        """
        return _probability(features, _Columns.of(self), self.bias)


class _Columns(NamedTuple):
    """The numbers of a table, in arrays of one for each of its features; `rows` says which these are."""

    rows: npt.NDArray[np.intp]
    mean: Float64Array
    scale: Float64Array
    weights: Float64Array

    @classmethod
    def of(cls, table: LogisticTable) -> _Columns:
        """Those of a table."""
        rows = np.array([_INDEX[name] for name in table.features], np.intp)
        return cls(rows, np.array(table.mean), np.array(table.scale), np.array(table.weights))


def _probability(features: Float64Array, columns: _Columns, bias: float) -> float:
    """See :meth:`LogisticTable.probability`."""
    standard = standardise(features[columns.rows], columns.mean, columns.scale)
    return 1.0 / (1.0 + math.exp(-(float(standard @ columns.weights) + bias)))


def standardise(features: Float64Array, mean: Float64Array, scale: Float64Array) -> Float64Array:
    """Features in standard deviations from their mean, float64 (..., F), clipped to three."""
    return np.clip((features - mean) / scale, -_MAX_SD, _MAX_SD)


class DescriptorModel:
    """Estimates the descriptors of an engine's nodules.

    Parameters
    ----------
    tables : one for each descriptor, in the order in which they are given
    """

    def __init__(self, tables: tuple[LogisticTable, ...]) -> None:
        self.tables = tables
        self._features = frozenset(name for table in tables for name in table.features)
        self._columns = tuple(_Columns.of(table) for table in tables)

    @property
    def agreement(self) -> dict[str, str]:
        """Descriptor → its agreement with readers, as text."""
        return {table.name: table.agreement for table in self.tables}

    @classmethod
    def load(cls, folder: Path, engine_id: str) -> DescriptorModel | None:
        """Read ``descriptors.toml`` of an engine's folder; None where the engine has no such file.

        Parameters
        ----------
        folder : of the engine
        engine_id : of the engine, weights included

        Raises
        ------
        EngineSpecError
            If the file cannot be read, or a key is missing, unknown or wrong, or it was measured with another engine;
            the message names file and key.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return None
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise EngineSpecError(f"{path} cannot be read: {error}; {_REMEDY}") from error
        try:
            tables = _tables(document)
            found = document["engine_id"]
            _require(found == engine_id, f"measured with {found}, not {engine_id}: python -m tools.fit_descriptors")
            return cls(tables)
        except EngineSpecError as error:
            raise EngineSpecError(f"{path}: {error}; {_REMEDY}") from error

    def estimate(self, grey: UInt8Array, contour: Float32Array) -> tuple[Descriptor, ...]:
        """Descriptors of one outlined nodule; only the features that the tables use are computed.

        Parameters
        ----------
        grey : uint8 (H, W), the frame cropped to the scan area
        contour : float32 (K, 2), its outline in image coordinates, px

        Returns
        -------
        one for each table; none where the outline is too small, or too little of its surroundings is in the image
        """
        features = nodule_features(grey, contour, self._features)
        if features is None:
            return ()
        found = []
        for table, columns in zip(self.tables, self._columns, strict=True):
            second = _probability(features, columns, table.bias)
            found.append(
                Descriptor(
                    name=table.name,
                    value=table.classes[int(second >= 0.5)],
                    probability=max(second, 1.0 - second),
                )
            )
        return tuple(found)


def _tables(document: dict[str, Any]) -> tuple[LogisticTable, ...]:
    document = dict(document)
    _require(document.pop("schema", None) == _SCHEMA, f"schema must be {_SCHEMA}; update usassist")
    _check_keys(
        document,
        {"engine_id": str, "made_by": str, "descriptors": list, "left_out": list},
        "the file",
        optional={"left_out"},
    )
    for item in document.get("left_out", []):
        _check_keys(item, {"name": str, "reason": str}, "left_out")
    tables = []
    for item in document["descriptors"]:
        _check_keys(item, _TABLE_KEYS, "descriptors")
        where = f"descriptor {item['name']}"
        texts = {key: _list_of(item[key], str, f"{where}: {key}") for key in ("classes", "features")}
        numbers = {key: _list_of(item[key], float, f"{where}: {key}") for key in ("mean", "scale", "weights")}
        tables.append(
            LogisticTable(**(texts | numbers), name=item["name"], bias=float(item["bias"]), agreement=item["agreement"])
        )
    names = [table.name for table in tables]
    _require(len(set(names)) == len(names), f"a descriptor is given twice: {', '.join(names)}")
    return tuple(tables)


def _check_keys(
    table: Any, kinds: dict[str, type], where: str, optional: frozenset[str] | set[str] = frozenset()
) -> None:
    _require(isinstance(table, dict), f"{where} must be a table, got {table!r}")
    unknown = sorted(table.keys() - kinds.keys())
    missing = sorted(kinds.keys() - optional - table.keys())
    _require(not unknown and not missing, f"{where}: unknown keys {unknown}, missing keys {missing}")
    for key, value in table.items():
        fits = type(value) is kinds[key] or (kinds[key] is float and type(value) is int)
        _require(fits, f"{where}: {key} must be {kinds[key].__name__}, got {value!r}")


def _list_of(values: list[Any], kind: type, where: str) -> tuple[Any, ...]:
    kinds = (float, int) if kind is float else (kind,)
    _require(all(type(value) in kinds for value in values), f"{where} must be a list of {kind.__name__}, got {values}")
    return tuple(kind(value) for value in values)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise EngineSpecError(message)
