"""Reads ``engines/<name>/<version>/engine.toml``, the single source of truth about an engine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from usassist.config import resource_dir
from usassist.engine.domain import Domain
from usassist.engine.spec import EngineSpec, Golden, ParityLimits, TensorSpec
from usassist.engine.table import Table
from usassist.errors import EngineNotFoundError, EngineSpecError, RecordError
from usassist.records import LabelSpec

__all__ = ["find_engine", "list_engines", "load_spec"]

_PRECISIONS = ("fp32", "fp16", "int8")


def list_engines(folder: Path | None = None) -> list[EngineSpec]:
    """All installed engines, by name and version.

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
    ap_t = measurement.take_table("ap_t", optional=True)
    domain = table.take_table("domain", optional=True)
    golden = table.take_table("golden")
    golden_rounded = {name: golden.take_table(name, optional=True) for name in ("fp16", "int8")}
    parity = table.take_table("parity", optional=True)
    parity_tables = {name: parity.take_table(name) for name in _PRECISIONS if name in parity.unread()}
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
                mean_abs_diff={
                    name: inner.take_floats("mean_abs_diff") for name, inner in golden_rounded.items() if inner
                },
            ),
            licence=table.take("licence", str),
            intended_use=table.take("intended_use", str),
            parity={name: _parity(inner) for name, inner in parity_tables.items()},
            domain=_domain(domain) if domain else None,
            ap_t_rel_sd=ap_t.take("rel_sd", float) if ap_t else None,
        )
    except (RecordError, TypeError) as error:
        raise EngineSpecError(f"{path}: {error}") from error
    for measured in (ap_t, measurement):
        if measured:
            measured.take("source", str)
            measured.finish()
    for rest in (preprocess, domain, *golden_rounded.values(), golden, *parity_tables.values(), parity, table):
        rest.finish()
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise EngineSpecError(f"{path} names {spec.name} {spec.version}, its folder another; rename one")
    return spec


def _tensors(table: Table, key: str) -> tuple[TensorSpec, ...]:
    tensors = []
    for index, item in enumerate(table.take(key, list)):
        entry = Table(item, f"{key}[{index}]")
        shapes = {name: entry.take(name, list) for name in ("shape", "min", "opt", "max") if name in entry.unread()}
        for name, sides in shapes.items():
            if not all(type(side) is int for side in sides):
                raise EngineSpecError(f"{key}[{index}]: {name} must be whole numbers (-1 = free), got {sides}")
        if "shape" not in shapes:
            raise EngineSpecError(f"{key}[{index}]: key shape is missing")
        tensors.append(
            TensorSpec(
                name=entry.take("name", str),
                dtype=entry.take("dtype", str),
                shape=tuple(None if side == -1 else side for side in shapes["shape"]),
                layout=entry.take("layout", str),
                **{f"{name}_shape": tuple(shapes[name]) for name in ("min", "opt", "max") if name in shapes},
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


def _domain(table: Table) -> Domain:
    return Domain(
        name=table.take("name", str),
        output=table.take("output", str),
        threshold=table.take("threshold", float),
        source=table.take("source", str),
    )


def _parity(table: Table) -> ParityLimits:
    kinds = ("varied", "random")
    varied, random = (table.take_floats(f"{kind}_mean_abs_diff", optional=True) for kind in kinds)
    return ParityLimits(
        **{name: table.take(name, float) for name in ("min_dice", "min_box_iou", "max_score_diff")},
        varied_mean_abs_diff=varied,
        random_mean_abs_diff=random,
    )


def _floats(table: Table, key: str, length: int | None = None) -> tuple[float, ...]:
    values = table.take(key, list)
    if not all(isinstance(value, int | float) for value in values) or length not in (None, len(values)):
        raise EngineSpecError(f"{key} must be a list of {length or 'some'} numbers, got {values}")
    return tuple(float(value) for value in values)


def _version_key(path: Path) -> tuple[str, tuple[int, ...]]:
    numbers = path.parent.name.split(".")
    return path.parent.parent.name, tuple(int(number) if number.isdecimal() else -1 for number in numbers)
