"""What the page shows of a nodule, as texts; the template only lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.session.report.category_view import category_rows, compared_text, descriptor_row
from usassist.session.report.pictures import Picture, PictureKey, picture_key
from usassist.session.report.sizes import SIZE_ROWS, ap_t_text, interval_text, size_text
from usassist.session.summary import Nodule, Section
from usassist.session.summary.parts import Spread
from usassist.words import Words

__all__ = ["alt_picture", "nodule_view"]

Rows = list[dict[str, Any]]


def nodule_view(
    nodule: Nodule, pictures: Mapping[PictureKey, Picture], words: Words, *, calibrated: bool
) -> dict[str, Any]:
    """Texts and pictures of one nodule.

    Parameters
    ----------
    nodule : of the document
    pictures : by :func:`picture_key`
    words : of the language
    calibrated : scores are shares of right detections, shown in percent
    """
    first, last = (words.number(value, 2) for value in (nodule.first_s, nodule.last_s))
    return {
        "name": nodule.name,
        "line": words("nodule.line", frames=nodule.frames, first=first, last=last),
        "cut_line": words("nodule.cut_some", count=nodule.frames_cut) if nodule.frames_cut else "",
        "sides": words.join([words(f"side.{side}") for side in nodule.sides]),
        "figures": _figures(nodule, pictures, words, calibrated=calibrated),
        "columns": [_column(section, words) for section in _sections(nodule)],
        "near_column": words(
            "nodule.near", frames=nodule.near_best.frames, window=words.number(nodule.near_best.window_s, 1)
        ),
        "size_rows": _size_rows(nodule, words),
        "size_notes": _size_notes(nodule, words),
        "volume": _volume(nodule, words),
        "volume_note": ""
        if nodule.dimensions is None
        else words(
            "nodule.volume_frames",
            longitudinal=nodule.dimensions.longitudinal_frame_id,
            transverse=nodule.dimensions.transverse_frame_id,
        ),
        "growth": _growth(nodule, words),
        "descriptors": [descriptor_row(item, words) for item in nodule.descriptors],
        "categories": category_rows(nodule, words),
        "compared": compared_text(nodule, words),
    }


def _sections(nodule: Nodule) -> list[Section]:
    """The best plane, and the best of each marked plane where that is another frame."""
    planes = [section for section in (nodule.transverse, nodule.longitudinal) if section is not None]
    return [nodule.best, *(section for section in planes if section.frame_id != nodule.best.frame_id)]


def sentence(text: str) -> str:
    """With a capital letter in front."""
    return text[:1].upper() + text[1:]


def plane_text(section: Section, words: Words) -> str:
    """Plane and side as marked."""
    plane = words(f"plane.{section.plane or 'unmarked'}")
    return words.join([plane, words(f"side.{section.side}")]) if section.side else plane


def alt_picture(svg: str, alt: str) -> str:
    """An SVG with its description."""
    return Picture.with_alt(svg, alt)


def _figures(
    nodule: Nodule, pictures: Mapping[PictureKey, Picture], words: Words, *, calibrated: bool
) -> list[dict[str, Any]]:
    figures = []
    for section in _sections(nodule):
        picture = pictures.get(picture_key(section))
        frame = {"frame": section.frame_id, "name": nodule.name}
        plane = sentence(plane_text(section, words))
        svgs = []
        if picture is not None and section is nodule.best:
            svgs = [
                alt_picture(picture.whole, words("nodule.best_alt", **frame)),
                alt_picture(picture.crop, words("nodule.crop_alt", **frame)),
            ]
        elif picture is not None:
            svgs = [alt_picture(picture.crop, words("nodule.plane_alt", plane=plane, **frame))]
        score = _score_text(section.score, words, calibrated=calibrated)
        caption = words(
            "nodule.caption", frame=section.frame_id, time=words.number(section.t_s, 2), plane=plane, score=score
        )
        figures.append(
            {
                "best": section is nodule.best,
                "svgs": svgs,
                "caption": caption,
                "lost": "" if picture is not None else words("nodule.pixels_lost"),
                "score": _plane_score(section, words),
            }
        )
    return figures


def _score_text(score: float, words: Words, *, calibrated: bool) -> str:
    if calibrated:
        return words("format.percent", value=words.number(min(99.0, 100.0 * score)))
    return words.number(score, 2)


def _plane_score(section: Section, words: Words) -> str:
    score = section.plane_score
    sharpness = words("format.none") if score.sharpness is None else words.number(score.sharpness, 2)
    size, certainty, total = (words.number(value, 2) for value in (score.size, score.certainty, score.total))
    return words("nodule.plane_score", total=total, size=size, sharpness=sharpness, certainty=certainty)


def _column(section: Section, words: Words) -> str:
    plane = words(f"plane.{section.plane}") if section.plane else ""
    number = words("format.frame", number=section.frame_id)
    return sentence(words.join([part for part in (plane, number) if part]))


def _size_rows(nodule: Nodule, words: Words) -> Rows:
    sections, near = _sections(nodule), nodule.near_best
    rows: Rows = []
    for name in SIZE_ROWS:
        cells = [size_text(section.sizes[name], words, cut=section.cut) for section in sections]
        spread = near.sizes.get(name)
        rows.append({"name": words(f"nodule.{name}"), "cells": cells, "near": _spread(spread, words)})
    verdicts = [ap_t_text(section.ap_t, words) for section in sections]
    rows.append({"name": words("nodule.ap_t"), "cells": verdicts, "near": words("format.none")})
    return rows


def _spread(spread: Spread | None, words: Words) -> str:
    if spread is None:
        return words("format.none")
    digits = 1 if spread.unit == "mm" else 0
    quartiles = words.range(spread.p25, spread.p75, digits)
    return words(f"format.{spread.unit}_interval", value=words.number(spread.median, digits), range=quartiles)


def _size_notes(nodule: Nodule, words: Words) -> list[str]:
    notes = [words("nodule.cut")] if nodule.best.cut else []
    return [*notes, words("nodule.not_calibrated")] if nodule.best.spacing_rc_mm is None else notes


def _volume(nodule: Nodule, words: Words) -> str:
    found = nodule.dimensions
    if found is None:
        return words("nodule.volume_missing")
    volume = found.volume_ml
    interval = interval_text(volume.value, volume.u95, words, 2)
    length, width, depth = (words.number(item.value, 1) for item in (found.length_mm, found.width_mm, found.depth_mm))
    text = words("format.ml_interval", value=words.number(volume.value, 2), range=interval)
    return words("nodule.volume_value", volume=text, length=length, width=width, depth=depth)


def _growth(nodule: Nodule, words: Words) -> dict[str, str] | None:
    """Growth against the earlier report; None where the nodule is not compared."""
    growth = nodule.growth
    if growth is None:
        return None
    since = words(
        "growth.since",
        date=words.date(growth.earlier_created_utc),
        name=growth.earlier_name,
        session=growth.earlier_session_id,
    )
    if growth.missing:
        return {"text": words(f"growth.missing.{growth.missing}"), "since": since, "rule": ""}
    ratios = {name: getattr(growth, f"{name}_ratio") for name in ("length", "width", "depth", "volume")}
    text = words("growth.ratios", **{name: words.number(ratio, 2) for name, ratio in ratios.items()})
    return {"text": f"{words(f'growth.state.{growth.state}')} {text}", "since": since, "rule": words("growth.rule")}
