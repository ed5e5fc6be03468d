"""With what the answers were made, as rows of a table."""

from __future__ import annotations

import math
from typing import Any

from usassist.session.summary import SweepDocument
from usassist.session.summary.document import ScaleTime
from usassist.words import Words

__all__ = ["made_rows", "point_text"]

_SUM_DIGITS = 16  # all of them are in the JSON file


def made_rows(document: SweepDocument, words: Words) -> list[tuple[str, list[str]]]:
    """Name and lines of each row."""
    made = document.provenance
    engines = [item for item in made.engines if item.get("backend") not in ("none", None)]
    rows = [
        ("session", [document.sweep.session_id]),
        ("engine", list(dict.fromkeys(str(item["engine_id"]) for item in engines))),
        ("back_end", list(dict.fromkeys(_back_end(item, words) for item in engines))),
        ("weights", list(dict.fromkeys(line for item in engines for line in _weights(item, words)))),
        ("point", [point_text(made.point, words)]),
        ("scores", _scores(document, words)),
        ("association", [_association(made.association, words)]),
        ("identities", [words("made.identities_known" if document.identities_known else "made.identities_unknown")]),
        ("scale", [_scale(item, words) for item in document.unseen.scale]),
        ("versions", [words.join([f"{name} {text}" for name, text in made.versions.items() if len(text) < 40])]),
        ("processor", [made.machine] if made.machine else []),
        ("pictures", [words("made.pictures_value")]),
        ("report_version", [_report(document, words)]),
    ]
    return [(words(f"made.{name}"), lines) for name, lines in rows if any(lines)]


def _back_end(item: dict[str, Any], words: Words) -> str:
    parts = (item.get("backend"), item.get("precision"), item.get("device"))
    return words.join([str(part) for part in parts if part])


def _weights(item: dict[str, Any], words: Words) -> list[str]:
    sums = item.get("artifacts", {})
    return [
        words("made.sum", name=name, sum=sums[name][:_SUM_DIGITS])
        for name in item.get("answered_by", ())
        if name in sums
    ]


def point_text(point: dict[str, Any] | None, words: Words) -> str:
    """Findings are rounded down, false alarms up, as on the display."""
    if point is None:
        return words("made.point_none")
    found = math.floor(100.0 * point["sensitivity"] + 1e-6)
    alarms = _rate(point["false_positives_per_frame"], words)
    text = words("made.point_value", name=point["name"], found=found, alarms=alarms)
    negative = point.get("alarms_per_negative_frame")
    if negative is None:
        return text
    return words.join([text, words("made.point_negative", alarms=_rate(negative, words))])


def _rate(value: float, words: Words) -> str:
    return words.number(math.ceil(100.0 * value - 1e-6) / 100.0, 2)


def _scores(document: SweepDocument, words: Words) -> list[str]:
    if not document.provenance.scores_calibrated:
        return [words("made.scores_none")]
    names = (
        str(item["score_calibration_id"]) for item in document.provenance.engines if "score_calibration_id" in item
    )
    return list(dict.fromkeys(names))


def _association(rule: dict[str, Any] | None, words: Words) -> str:
    if rule is None:
        return words("made.association_none")
    levels = {name: words.number(rule[name], 2) for name in ("alone", "rise", "release")}
    return words("made.association_value", frames=rule["frames"], **levels)


def _scale(item: ScaleTime, words: Words) -> str:
    if item.spacing_rc_mm is None or item.spacing_u95_percent is None:
        return words("made.scale_none", frames=item.frames)
    key = f"made.{item.kind}" if item.kind.startswith("scale_by_") else "made.scale_geometry"
    name = words(key if words.known(key) else "made.scale_other", name=item.calibration_id)
    row, column = (words.number(value, 4) for value in item.spacing_rc_mm)
    return words(
        "made.scale_value",
        name=name,
        row=row,
        column=column,
        u95=_digits(item.spacing_u95_percent, words),
        frames=item.frames,
    )


def _digits(value: float, words: Words) -> str:
    return words.number(value, 2 if value < 1.0 else 1)


def _report(document: SweepDocument, words: Words) -> str:
    version = ".".join(str(number) for number in document.version)
    return words("made.report_version_value", schema=document.schema, version=version)
