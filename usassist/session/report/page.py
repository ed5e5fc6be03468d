"""The page: one HTML file with its style and pictures inside, no script, nothing that is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from usassist.session.report.made_view import made_rows
from usassist.session.report.nodule_view import alt_picture, nodule_view
from usassist.session.report.pictures import Picture, PictureKey, picture_key
from usassist.session.report.sizes import diameters_text
from usassist.session.report.timeline import PATTERNS, draw_timeline
from usassist.session.report.unseen_view import mark_rows, unseen_rows
from usassist.session.summary import Nodule, SweepDocument
from usassist.session.summary.document import Untracked
from usassist.words import Words

__all__ = ["MOST_RUN_PICTURES", "run_sections", "write_page"]

MOST_RUN_PICTURES = 6
_MOST_RUNS = 40
_MOST_NAMES = 24
_CSS_TEXT = re.compile(r"[^\w .,:;·+-]")


def write_page(document: SweepDocument, pictures: Mapping[PictureKey, Picture], words: Words) -> str:
    """The HTML.

    Parameters
    ----------
    document : of the sweep
    pictures : of its sections, by :func:`picture_key`
    words : of the language
    """
    folder = resources.files("usassist.session.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    style = (folder / "report.css").read_text(encoding="utf-8")
    running = {
        "running_left": _css_text(f"{words('title.running')} · {document.sweep.session_id}"),
        "running_page": _css_text(words("title.page_of")),
        "running_notice": _css_text(words("title.notice")),
    }
    for name, text in running.items():
        style = style.replace(f"@{name}@", text)
    calibrated = document.provenance.scores_calibrated
    return template.render(
        w=words,
        d=document,
        style=style,  # our own file, with texts that can end neither a string nor the element
        patterns=PATTERNS,
        timeline=draw_timeline(document, words),  # every text in it is escaped, as in the pictures
        head=_head(document, words),
        notes=_notes(document, words),
        overview=[_overview(nodule, words) for nodule in document.nodules],
        not_listed=_not_listed(document, words),
        nodules=[nodule_view(nodule, pictures, words, calibrated=calibrated) for nodule in document.nodules],
        runs=_runs(document, words),
        run_figures=_run_figures(document, pictures, words),
        runs_more=_runs_more(document, words),
        mark_rows=mark_rows(document, words),
        unseen_rows=unseen_rows(document, words),
        made_rows=made_rows(document, words),
        sources=_sources(document, words),
        limits=[words(f"limits.{name}") for name in ("first", "second", "third", "fourth", "fifth")],
    )


def run_sections(document: SweepDocument) -> list[tuple[int, Untracked]]:
    """Number and run of those that have a picture: the longest, in the order of the sweep."""
    runs = list(enumerate(document.untracked, 1))
    longest = sorted(runs, key=lambda item: (-item[1].frames, item[0]))[:MOST_RUN_PICTURES]
    return sorted(longest, key=lambda item: item[0])


def _css_text(text: str) -> str:
    """Without anything that could end a string of CSS."""
    return _CSS_TEXT.sub(" ", text)


def _head(document: SweepDocument, words: Words) -> list[tuple[str, str]]:
    sweep, unseen = document.sweep, document.unseen
    engines = [item for item in document.provenance.engines if item.get("backend") not in ("none", None)]
    scaled_s = sum(item.seconds for item in unseen.scale if item.spacing_rc_mm is not None)
    if not unseen.without_scale_frames:
        scale = words("head.scale_all")
    elif scaled_s:
        seconds, length = words.number(scaled_s, 1), words.number(sweep.length_s, 1)
        scale = words("head.scale_some", seconds=seconds, length=length)
    else:
        scale = words("head.scale_none")
    length = words("head.length_value", seconds=words.number(sweep.length_s, 1), frames=sweep.frames)
    rows = [
        ("session", sweep.session_id),
        ("recorded", words.date(sweep.created_utc)),
        ("source", sweep.source),
        ("length", length),
        ("engine", words.join(list(dict.fromkeys(str(item["engine_id"]) for item in engines)))),
        ("scale", scale),
    ]
    return [(words(f"head.{name}"), text) for name, text in rows if text]


def _notes(document: SweepDocument, words: Words) -> list[str]:
    sweep = document.sweep
    notes = []
    if sweep.state == "failed":
        notes.append(words("head.failed"))
    if sweep.recording != "closed":
        notes.append(words("head.stopped"))
    if sweep.repaired:
        notes.append(words("head.repaired", count=len(sweep.repaired)))
    if sweep.cut_from is not None:
        notes.append(words("head.cut_from", session=sweep.cut_from))
    if sweep.time_from == "clip":
        notes.append(words("head.time_clip"))
    return notes


def _overview(nodule: Nodule, words: Words) -> dict[str, Any]:
    first, last = words.number(nodule.first_s, 1), words.number(nodule.last_s, 1)
    levels = [item.level for item in nodule.categories if item.level is not None]
    best, transverse = nodule.best, nodule.transverse
    ap_t = best.ap_t if best.plane == "transverse" or transverse is None else transverse.ap_t
    ratio = words("format.none")
    if ap_t is not None and ap_t.verdict in ("taller", "wider", "uncertain"):
        ratio = words.number(ap_t.value, 2)
    volume = words("format.none")
    if nodule.dimensions is not None:
        found = nodule.dimensions.volume_ml
        interval = words.range(max(0.0, found.value - found.u95), found.value + found.u95, 2)
        volume = words("format.ml_interval", value=words.number(found.value, 2), range=interval)
    return {
        "name": nodule.name,
        "side": words.join([words(f"side.{side}") for side in nodule.sides]) or words("overview.unknown_side"),
        "seen": [
            words("format.seconds", value=words("format.range", low=first, high=last)),
            words("format.frames", count=nodule.frames),
        ],
        "diameters": [diameters_text(best, words, of=name) for name in ("longest_diameter", "across")],
        "ap_t": ratio,
        "volume": volume,
        "category": words.join(levels) or words("overview.nothing_confirmed"),
    }


def _sources(document: SweepDocument, words: Words) -> list[str]:
    """Citations of the systems whose categories are given."""
    systems = {item.system_id: item for nodule in document.nodules for item in nodule.categories}
    return [words("format.label", name=f"{item.name} {item.edition}", value=item.source) for item in systems.values()]


def _not_listed(document: SweepDocument, words: Words) -> list[str]:
    rest = document.not_listed
    lines = []
    if rest.seen_too_rarely:
        names = words.join([f"N{number}" for number in rest.track_ids[:_MOST_NAMES]])
        if len(rest.track_ids) > _MOST_NAMES:
            names = words.join([names, words("overview.and_more", count=len(rest.track_ids) - _MOST_NAMES)])
        count = rest.seen_too_rarely
        text = words("overview.not_listed_few", count=count, frames=rest.least_frames, total=rest.frames, names=names)
        lines.append(text)
    if rest.beyond_most:
        lines.append(words("overview.not_listed_many", count=rest.beyond_most, most=rest.most_listed))
    return lines


def _shown_runs(document: SweepDocument) -> list[tuple[int, Untracked]]:
    """The longest runs, in the order of the sweep."""
    runs = list(enumerate(document.untracked, 1))
    return sorted(sorted(runs, key=lambda item: (-item[1].frames, item[0]))[:_MOST_RUNS], key=lambda item: item[0])


def _runs(document: SweepDocument, words: Words) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "frames": words("format.frames_range", first=run.first_frame_id, last=run.last_frame_id),
            "time": words.range(run.first_s, run.last_s, 2),
            "finding_frames": run.frames,
            "at_once": run.most_at_once,
            "best": diameters_text(run.best, words),
            "best_frame": run.best.frame_id,
        }
        for number, run in _shown_runs(document)
    ]


def _runs_more(document: SweepDocument, words: Words) -> str:
    shown = _shown_runs(document)
    if len(shown) == len(document.untracked):
        return ""
    frames = sum(run.frames for run in document.untracked) - sum(run.frames for _, run in shown)
    return words("untracked.more", count=len(document.untracked) - len(shown), frames=frames)


def _run_figures(document: SweepDocument, pictures: Mapping[PictureKey, Picture], words: Words) -> list[dict[str, Any]]:
    figures = []
    for number, run in run_sections(document):
        best = run.best
        picture = pictures.get(picture_key(best))
        alt = words("untracked.picture_alt", number=number, frame=best.frame_id)
        caption = words(
            "untracked.picture_caption",
            number=number,
            frame=best.frame_id,
            time=words.number(best.t_s, 2),
            size=diameters_text(best, words),
        )
        svgs = [] if picture is None else [alt_picture(picture.crop, alt)]
        figures.append({"svgs": svgs, "caption": caption, "lost": "" if svgs else words("nodule.pixels_lost")})
    return figures
