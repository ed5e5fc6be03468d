"""One moment of the sweep as HTML: the frame with its own result, and what is known of it."""

from __future__ import annotations

import base64
from html import escape
from urllib.parse import urlencode

from usassist.bus import MarkKind
from usassist.sinks.panel.packet import Head, Nodule, unpack
from usassist.sinks.panel.sweep.log import MarkAt, SweepAt
from usassist.sinks.panel.sweep.routes import SNAPSHOT_PATH
from usassist.sinks.panel.sweep.size_words import score_in_words, size_of
from usassist.sinks.panel.sweep.timeline_view import clock
from usassist.sinks.sizes import number_in_words
from usassist.words import Words

__all__ = ["data_url", "draw_moment"]


def data_url(jpeg: bytes) -> str:
    """A JPEG as the address of itself, so that it is never a file."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def draw_moment(number: int, session_id: str, at: SweepAt, plane: str, words: Words) -> str:
    """The HTML.

    Parameters
    ----------
    number : of the frame that was chosen
    session_id : of the sweep
    at : what is known of it
    plane : and side that are marked for it, in words
    words : part ``sweep``
    """
    if at.entry is None:
        return f'<p class="us-at-none">{escape(words("moment.unknown", number=number))}</p>'
    entry = at.entry
    title = words("moment.title", number=number, time=clock(entry.t_s))
    if entry.frames > 1:  # of a long session several frames are kept as one
        last = entry.frame_id + entry.frames - 1
        title = words("moment.title_many", number=entry.frame_id, last=last, time=clock(entry.t_s))
    facts = [(words("moment.state"), _state(at, words))]
    if entry.score is not None:
        facts.append((words("moment.score"), words.number(entry.score, 2)))
    facts.append((words("moment.plane"), plane))
    if at.marks:
        facts.append((words("moment.marks"), words.join([_mark(mark, words) for mark in at.marks])))
    picture, said = _picture(number, session_id, at, facts, words)
    if entry.cut:
        said += f"<p>{escape(words('moment.cut'))}</p>"
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<section class="us-at"><h3>{escape(title)}</h3>{picture}<div><dl>{rows}</dl>{said}</div></section>'


def _picture(number: int, session_id: str, at: SweepAt, facts: list[tuple[str, str]], words: Words) -> tuple[str, str]:
    """The picture, and what is said below it; adds what the frame's own result says to the facts."""
    alt = escape(words("moment.picture_alt", number=number), quote=True)
    if at.kept is None:
        said = f"<p>{escape(words('moment.small' if at.small else 'moment.not_kept', number=number))}</p>"
        return f'<img class="us-at-small" src="{data_url(at.small)}" alt="{alt}">' if at.small else "", said
    head, jpeg = unpack(at.kept.packet)
    if head.nodules:
        facts.append(
            (words("moment.found"), "; ".join(_nodule(row, item, words) for row, item in enumerate(head.nodules)))
        )
    query = urlencode({"session": session_id, "frame": number, "language": words.code})
    address = f"{SNAPSHOT_PATH}?{escape(query, quote=True)}"
    link = f'<p><a class="us-at-shot" href="{address}" download>{escape(words("sweep.snapshot"))}</a></p>'
    return f'<div class="us-at-frame"><img src="{data_url(jpeg)}" alt="{alt}">{_outlines(head)}</div>', link


def _outlines(head: Head) -> str:
    if not head.nodules or head.image_hw_px is None:
        return ""
    height, width = head.image_hw_px
    size = max(width / 40.0, 8.0)
    parts = []
    for row, nodule in enumerate(head.nodules):
        points = " ".join(f"{x:g},{y:g}" for x, y in nodule.contour)
        color = "#{:02x}{:02x}{:02x}".format(*nodule.color_rgb)
        x, y = nodule.xyxy_px[2], nodule.xyxy_px[1]
        name = escape(number_in_words(nodule.track_id, row))
        place = f'x="{min(x + size / 4, width - 2.5 * size):g}" y="{max(y, size):g}" font-size="{size:g}"'
        parts.append(
            f'<polygon points="{points}" class="us-at-dark"/><polygon points="{points}" stroke="{color}"/>'
            f'<text {place} fill="{color}">{name}</text>'
        )
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>'


def _nodule(row: int, nodule: Nodule, words: Words) -> str:
    return words(
        "moment.nodule",
        name=number_in_words(nodule.track_id, row),
        label=nodule.label,
        score=score_in_words(nodule.score, words, calibrated=nodule.score_calibrated),
        size=size_of(nodule.major_px, nodule.major_mm, nodule.major_u95_mm, words, cut=nodule.cut),
    )


def _state(at: SweepAt, words: Words) -> str:
    assert at.entry is not None
    state = words(f"state.{at.entry.state}")
    return state if not at.entry.cause else words("format.label", name=state, value=words(f"cause.{at.entry.cause}"))


def _mark(mark: MarkAt, words: Words) -> str:
    text = words("moment.marked", kind=words(f"mark.{mark.kind}"))
    if mark.kind is MarkKind.DESCRIPTORS:
        text += f" (N{mark.track_id})"
    return text
