"""Sizes in words, and what a nodule is called: one rule for overlay, page, tables and the Python interface.

A section that the border of the scan cuts is at least as large as what is seen of it. It is written as such, without an
interval, and without what is not bounded by what is seen: see :meth:`usassist.records.Measurements.row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["measures_in_words", "number_in_words", "size_in_words"]


def number_in_words(track_id: int, row: int) -> str:
    """What a nodule is called: ``N3`` where it is tracked, and ``1``, its number on this frame, where it is not.

    Parameters
    ----------
    track_id : of ``Detections.track_id``
    row : of the nodule on its frame, from 0
    """
    return f"N{track_id}" if track_id >= 0 else f"{row + 1}"


def size_in_words(sizes: Mapping[str, Any]) -> str:
    """Size of one section: ``12.3 ± 0.8 × 8.0 ± 0.6 mm``, or ``≥ 12.3 mm, cut by the border of the scan``.

    Parameters
    ----------
    sizes : by name, from ``Measurements.row``, or a nodule of ``results.jsonl``
    """
    unit = "px" if sizes.get("major_mm") is None else "mm"
    cut = sizes.get("cut")
    parts = [_with_interval(sizes, name, unit) for name in (("major",) if cut else ("major", "minor"))]
    size = f"{' × '.join(parts)} {unit}"
    if unit == "px":
        size += ", not calibrated"
    return f"{size}, cut by the border of the scan" if cut else size


def measures_in_words(sizes: Mapping[str, Any]) -> tuple[str, ...]:
    """What else is measured of one section, in two lines; empty where nothing else is, as before ``result`` 1.5.

    Solidity and total curvature are left out: they follow the engine's outline, which does not follow the margin of a
    nodule closely enough (``docs/measurement.md``).

    Parameters
    ----------
    sizes : as of :func:`size_in_words`
    """
    if sizes.get("ap_px") is None:
        return ()
    unit = "px" if sizes.get("major_mm") is None else "mm"
    ap, transverse, perimeter, equivalent = (
        f"{_with_interval(sizes, name, unit)} {unit}" for name in ("ap", "transverse", "perimeter", "equivalent")
    )
    area = f"{_with_interval(sizes, 'area', f'{unit}2', digits=0)} {unit}²"
    extents = f"AP {ap}, transverse {transverse}"
    if sizes.get("ap_t") is not None:
        extents += f", AP/T {sizes['ap_t']:.2f} {_verdict(sizes)}"
    return extents, f"area {area}, perimeter {perimeter}, equivalent diameter {equivalent}"


def _verdict(sizes: Mapping[str, Any]) -> str:
    if sizes.get("ap_t_state") is None:
        return "(if pixels are square)"
    words = {"taller": "taller than wide", "wider": "wider than tall", "uncertain": "uncertain which is longer"}
    return f"({sizes['ap_t_low']:.2f} to {sizes['ap_t_high']:.2f}): {words[sizes['ap_t_state']]}"


def _with_interval(sizes: Mapping[str, Any], name: str, unit: str, digits: int = 1) -> str:
    digits = 0 if unit.startswith("px") else digits
    value = f"{sizes[f'{name}_{unit}']:.{digits}f}"
    if sizes.get("cut"):
        return f"≥ {value}"
    u95 = sizes.get(f"{name}_u95_{unit}")
    return value if u95 is None else f"{value} ± {u95:.{digits}f}"
