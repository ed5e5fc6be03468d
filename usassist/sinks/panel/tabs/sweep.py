"""The tab of the sweep: timeline, one moment of it, the nodules with their best planes."""

from __future__ import annotations

import dataclasses
from importlib import resources
from typing import Any

import gradio as gr
import msgspec
import pandas as pd
from gradio.events import api

from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.sweep.log import NoduleOfSweep
from usassist.sinks.panel.sweep.moment_view import draw_moment
from usassist.sinks.panel.sweep.nodules_view import (
    COLUMNS,
    MOST_DRAWN,
    area_rows,
    draw_best_planes,
    select_drawn,
    table_rows,
)
from usassist.sinks.panel.sweep.timeline_view import COLUMNS as TIMELINE_COLUMNS
from usassist.sinks.panel.sweep.timeline_view import draw_timeline, plane_in_words
from usassist.sinks.panel.tabs.refresh import OnlyNews, Quiet, add_language, refresh_while_seen
from usassist.sinks.plane_quality import LEAST_FRAMES
from usassist.words import Words

__all__ = ["STYLES", "build_sweep_tab"]

STYLES = (resources.files("usassist.sinks.panel.sweep").joinpath("sweep.css").read_text(encoding="utf-8"),)
"""Style sheets of this tab and the two after it."""

_MOST_COLUMNS = 2000
_LAST_NUMBER = 2**31 - 1
_WIDTHS: list[str | int] = [f"{width}px" for width in (90, 125, 80, 90, 90, 190, 150, 90, 125, 200)]

_PICK_TIME = """
element.addEventListener('click', (event) => {
  const line = event.target.closest('.us-tl');
  if (!line) return;
  const box = line.getBoundingClientRect();
  trigger('select', { share: Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) });
});
"""
_PICK_FRAME = """
element.addEventListener('click', (event) => {
  const one = event.target.closest('[data-frame]');
  if (one) trigger('select', { frame: Number(one.dataset.frame) });
});
"""


class _SweepTab:
    """What the tab shows, from the log of the sweep."""

    def __init__(self, context: PageContext) -> None:
        self._sweep = context.feed.sweep
        self._context = context

    def words(self, language: str) -> Words:
        return self._context.words(language or "en", "sweep")

    def timeline(self, language: str, typed: str) -> str:
        number = _number(typed)
        entry = None if number is None else self._sweep.at(number).entry
        return draw_timeline(
            self._sweep.columns(TIMELINE_COLUMNS),
            self._sweep.marks(),
            self.words(language),
            None if entry is None else entry.t_s,
        )

    def moment(self, language: str, typed: str) -> str:
        words = self.words(language)
        number = _number(typed)
        if number is None:
            return f'<p class="us-at-none">{words("sweep.not_a_number" if typed.strip() else "sweep.choose")}</p>'
        plane = plane_in_words(*self._sweep.plane_at(number), words)
        return draw_moment(number, self._sweep.session_id, self._sweep.at(number), plane, words)

    def update(self, language: str, typed: str, sent: dict[str, Any] | None) -> list[Any]:
        """Timeline, table, note, best planes, heading of the plot and plot, as they are now, as far as they are new."""
        words, calibrated = self.words(language), self._sweep.score_is_calibrated
        news = OnlyNews(sent)
        nodules, others = self._sweep.nodules(LEAST_FRAMES)
        drawn = select_drawn(nodules)
        rows = table_rows(nodules, words, calibrated=calibrated)
        pictures = [(nodule.track_id, best.plane, best.frame_id) for nodule in drawn for best in nodule.best]
        last = [(nodule.track_id, nodule.areas[-1].frame_id if nodule.areas else -1) for nodule in drawn]
        note = self._note(len(nodules), others, words)
        return [
            self.timeline(language, typed),
            news("table", (language, rows), lambda: _table(rows, words)),
            news("note", note, lambda: note),
            news(
                "best",
                (language, calibrated, pictures),
                lambda: draw_best_planes(drawn, words, calibrated=calibrated),
            ),
            news("area", (language, last), lambda: _area(drawn, words)),
            news.sent,
        ]

    def _note(self, listed: int, others: int, words: Words) -> str:
        notes = [words("nodules.explain" if listed else "nodules.none")]
        if listed > MOST_DRAWN:
            notes.append(words("nodules.best_some", count=MOST_DRAWN))
        if others:
            notes.append(words("nodules.others", count=others, least=LEAST_FRAMES))
        if untracked := self._sweep.untracked_frames:
            notes.append(words("nodules.untracked", count=untracked))
        return " ".join(notes)

    def pick_share(self, language: str, event: gr.EventData) -> list[Any]:
        """A click on the timeline: number, moment and timeline."""
        return self._picked(language, self._sweep.frame_near(float(event.share)))

    def pick_frame(self, language: str, event: gr.EventData) -> list[Any]:
        """A click on the picture of a best plane."""
        return self._picked(language, int(event.frame))

    def step(self, by: int) -> Any:
        def stepped(language: str, typed: str) -> list[Any]:
            newest = self._sweep.newest_id
            number = _number(typed)
            if number is None or newest is None:
                return self._picked(language, newest)
            return self._picked(language, min(max(number + by, 0), newest))

        return stepped

    def newest(self, language: str) -> list[Any]:
        """The newest frame."""
        return self._picked(language, self._sweep.newest_id)

    def go(self, language: str, typed: str) -> list[Any]:
        """A number that was typed: moment and timeline."""
        return [self.moment(language, typed), self.timeline(language, typed)]

    def _picked(self, language: str, number: int | None) -> list[Any]:
        typed = "" if number is None else str(number)
        return [typed, *self.go(language, typed)]

    def api_timeline(self, columns: int = 500) -> dict[str, Any]:
        """The sweep so far in at most 2000 columns of equal time, and the marks; see ``sweep.timeline.Columns``."""
        summed: dict[str, Any] = msgspec.to_builtins(self._sweep.columns(min(max(int(columns), 1), _MOST_COLUMNS)))
        marks = [
            {
                "frame_id": mark.frame_id,
                "t_s": t_s,
                "kind": str(mark.kind),
                "track_id": mark.track_id,
                "plane": mark.plane and str(mark.plane),
                "side": mark.side and str(mark.side),
            }
            for mark, t_s in self._sweep.marks()
        ]
        return {"session_id": self._sweep.session_id, **summed, "marks": marks}

    def api_nodules(self) -> dict[str, Any]:
        """The nodules of the sweep so far; lengths in mm are null without a scale, pictures are left out."""
        nodules, others = self._sweep.nodules(LEAST_FRAMES)
        listed = []
        for nodule in nodules:
            names = (field.name for field in dataclasses.fields(nodule) if field.name not in ("areas", "best"))
            item: dict[str, Any] = {name: getattr(nodule, name) for name in names}
            item["largest"] = msgspec.to_builtins(nodule.largest)
            item["areas"] = msgspec.to_builtins(nodule.areas)
            item["best"] = [
                {"frame_id": best.frame_id, "t_s": best.t_s, "plane": best.plane and str(best.plane)}
                | {"side": best.side and str(best.side), "score": best.seen.score}
                for best in nodule.best
            ]
            listed.append(item)
        return {
            "session_id": self._sweep.session_id,
            "score_is_calibrated": self._sweep.score_is_calibrated,
            "nodules": listed,
            "not_listed": others,
            "untracked_frames": self._sweep.untracked_frames,
        }


def _number(typed: str | None) -> int | None:
    """A frame number as a person types it; None where it is none."""
    try:
        return min(max(int((typed or "").strip()), 0), _LAST_NUMBER)
    except ValueError:
        return None


def _table(rows: list[list[str]], words: Words) -> gr.Dataframe:
    return gr.Dataframe(value=rows, headers=[words(f"nodules.{name}") for name in COLUMNS])


def _area(nodules: list[NoduleOfSweep], words: Words) -> gr.LinePlot:
    rows, unit = area_rows(nodules, words)
    return gr.LinePlot(
        value=pd.DataFrame(rows, columns=["t_s", "area", "nodule"]),
        x_title=words("nodules.time"),
        y_title=words(unit),
        color_title=words("nodules.name"),
        visible=bool(rows),
    )


def build_sweep_tab(context: PageContext) -> None:
    """Fill the tab."""
    tab, labels = _SweepTab(context), context.labels
    language = add_language(context)
    labels.add(gr.Markdown(elem_classes="us-told"), "sweep", value="sweep.timeline_help")
    timeline = gr.HTML("", js_on_load=_PICK_TIME, elem_id="us-timeline")
    with gr.Row(elem_classes="us-steps"):
        number = labels.add(gr.Textbox(max_lines=1, min_width=120), "sweep", label="sweep.frame")
        before = labels.add(gr.Button(size="sm", min_width=90), "sweep", value="sweep.before")
        after = labels.add(gr.Button(size="sm", min_width=90), "sweep", value="sweep.after")
        newest = labels.add(gr.Button(size="sm", min_width=90), "sweep", value="sweep.newest")
    moment = labels.add(gr.HTML(elem_id="us-moment", js_on_load=None), "sweep", value="sweep.choose")
    with gr.Column():
        heading = gr.Markdown(elem_classes="us-h")
        labels.add(heading, "sweep", value="nodules.heading")
        words = context.words("en", "sweep")
        table = gr.Dataframe(
            headers=[words(f"nodules.{name}") for name in COLUMNS],
            datatype="str",
            interactive=False,
            wrap=True,
            column_widths=_WIDTHS,
            max_height=420,
            elem_id="us-nodules",
        )
        note = gr.Markdown(elem_classes="us-told")
        labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="nodules.best_heading")
        best = gr.HTML("", js_on_load=_PICK_FRAME, elem_id="us-best")
        labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="nodules.area_title")
        area = gr.LinePlot(x="t_s", y="area", color="nodule", height=280, visible=False, elem_id="us-area")
    picked = [number, moment, timeline]
    timeline.select(tab.pick_share, language, picked, **Quiet)
    best.select(tab.pick_frame, language, picked, **Quiet)
    before.click(tab.step(-1), [language, number], picked, **Quiet)
    after.click(tab.step(1), [language, number], picked, **Quiet)
    newest.click(tab.newest, language, picked, **Quiet)
    number.submit(tab.go, [language, number], [moment, timeline], **Quiet)
    sent = gr.State(None)
    refresh_while_seen("sweep", tab.update, [language, number, sent], [timeline, table, note, best, area, sent])
    api(tab.api_timeline, api_name="timeline")
    api(tab.api_nodules, api_name="nodules_of_sweep")
