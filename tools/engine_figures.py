"""Condense reports of ``usassist eval`` into the figures file of an engine, which the page shows with its card.

    python -m tools.engine_figures engines/thyroid_nodule/0.4.0/curves.json \
        ddti_val:same_source:ddti_int8.json ddti_val:same_source:ddti_fp32.json cine:unseen:cine_int8.json …

Each argument is the name of a set, its part in the training (``same_source`` or ``unseen``), and a report. The file
holds the command of every report, the figures with their 95 % intervals and counts, the bins of the calibration curve,
and the FROC curve thinned to points that can be told apart on a page.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_ROLES = ("same_source", "unseen")
_FIGURES = (
    "sensitivity",
    "false_positives_per_frame",
    "false_alarms_per_frame",
    "dice_mean",
    "ece",
    "clips_found",
)
_FROC_STEP = 0.01  # in both directions
_FROC_END = 2.0  # false positives per frame


def main() -> None:
    """Read the reports and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("reports", nargs="+", metavar="SET:ROLE:REPORT")
    options = parser.parse_args()
    engine_ids, sets = set(), []
    for text in options.reports:
        name, role, path = text.split(":", 2)
        if role not in _ROLES:
            parser.error(f"the role of {name} must be {' or '.join(_ROLES)}, got {role}")
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        engine_ids.add(report["engine"])
        sets.append(condense(name, role, report))
    if len(engine_ids) != 1:
        parser.error(f"the reports are of several engines: {', '.join(sorted(engine_ids))}")
    document = {"schema": 1, "engine_id": engine_ids.pop(), "sets": sets}
    options.out.write_text(_text(document), encoding="utf-8")


def condense(name: str, role: str, report: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one report.

    Parameters
    ----------
    name, role : see above
    report : of ``usassist eval nodule``, ``negatives`` or ``sweep``
    """
    counts, froc = report["counts"], report.get("froc", {})
    return {
        "name": name,
        "role": role,
        "precision": "int8" if str(report["backend"]).endswith("-int8") else "fp32",
        "command": report["command"],
        "threshold": round(report["threshold"], 4),
        "threshold_from": report["threshold_from"],
        "frames": counts["frames"],
        "cases": counts["cases"],
        "nodules": counts.get("nodules", 0),
        "figures": {key: _figure(report["figures"][key]) for key in _FIGURES if key in report["figures"]},
        "calibration": [
            {
                "low": item["low"],
                "high": item["high"],
                "findings": item["detections"],
                "mean_score": round(item["mean_score"], 4),
                "right": round(item["hit_share"], 4),
            }
            for item in report.get("score_calibration", {}).get("bins", [])
            if item["detections"]
        ],
        "froc": _thinned(froc["curve"]) if froc.get("curve") else _named(froc.get("at", {})),
    }


def _figure(figure: dict[str, Any]) -> dict[str, Any]:
    values = {key: figure[key] for key in ("value", "low", "high")}
    return {key: None if value is None else round(value, 4) for key, value in values.items()} | {"n": figure["count"]}


def _thinned(curve: list[dict[str, float]]) -> list[list[float]]:
    """False positives per frame, share found, threshold."""
    kept: list[list[float]] = []
    for point in curve:
        rate, found = point["false_positives_per_frame"], point["sensitivity"]
        if rate > _FROC_END:
            break
        if not kept or rate - kept[-1][0] >= _FROC_STEP or found - kept[-1][1] >= _FROC_STEP:
            kept.append([round(rate, 4), round(found, 4), round(point["threshold"], 4)])
    return kept


def _named(at: dict[str, dict[str, Any]]) -> list[list[float | None]]:
    """The same of a report without a curve: only at the rates that it names, and without thresholds."""
    return [[float(rate), round(figure["value"], 4), None] for rate, figure in at.items()]


def _text(document: dict[str, Any]) -> str:
    """One line per row, so that a change can be read."""
    rows = ",\n".join(f"    {json.dumps(item)}" for item in document["sets"])
    head = {key: value for key, value in document.items() if key != "sets"}
    return f'{json.dumps(head)[:-1]},\n  "sets": [\n{rows}\n  ]\n}}\n'


if __name__ == "__main__":
    main()
