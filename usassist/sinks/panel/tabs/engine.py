"""The tab of the engine: how well it was measured to work, by scanner and data set, with the frames of each figure."""

from __future__ import annotations

import itertools
from typing import Any

import gradio as gr
import pandas as pd

from usassist.bus import EngineBody
from usassist.sinks.panel.card import Card, CardFigure, CardSet
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.tabs.refresh import Quiet, add_language, refresh_while_seen
from usassist.words import Words

__all__ = ["build_engine_tab"]

_SET_COLUMNS = ("set", "role", "frames", "cases", "found", "false_positives", "dice", "ece")
_POINT_COLUMNS = ("point", "point_set", "frames", "cases", "found", "false_positives")
_LEAST_FINDINGS = 5
_LEAST_FRAMES = 30
_FROC_END = 0.6
_COLORS = ("#2f7fd6", "#d99a00", "#5f9f75", "#a060d8", "#d0402f")
_IDEAL_COLOR = "#808890"


class _EngineTab:
    def __init__(self, context: PageContext) -> None:
        self._context = context

    def update(self, language: str, precision: str | None, shown: str) -> list[Any]:
        """Everything, where the engine, the language or the choice has changed since it was shown last."""
        engine = self._context.feed.system.snapshot().engine
        key = f"{language} {precision} {engine.engine_id if engine else ''} {engine.backend if engine else ''}"
        if key == shown:
            return [gr.skip()] * 9
        words = self._context.words(language or "en", "sweep")
        if engine is None:
            return self._nothing(key, words("engine.none"))
        card = None if self._context.read_card is None else self._context.read_card(engine.engine_id)
        if card is None:
            return self._nothing(key, words("engine.unknown", engine=engine.engine_id))
        running = "int8" if engine.backend.endswith("int8") else "fp32"
        choices = sorted({item.precision for item in card.sets})
        chosen = precision if precision in choices else running if running in choices else None
        sets = [item for item in card.sets if item.precision == chosen]
        return [
            f"{language} {chosen} {engine.engine_id} {engine.backend}",
            words("engine.now", engine=engine.engine_id, backend=engine.backend, precision=(chosen or "").upper()),
            gr.Radio(choices=choices, value=chosen, visible=len(choices) > 1),
            _set_table(sets, words),
            _point_table(card, engine, words),
            gr.LinePlot(
                value=_calibration_rows(sets, words),
                x_title=words("engine.calibration_x"),
                y_title=words("engine.calibration_y"),
                color_title=words("engine.set"),
                color_map=_colors(sets, words, findings=True) | {words("engine.ideal"): _IDEAL_COLOR},
                visible=any(item.calibration for item in sets),
            ),
            gr.LinePlot(
                value=_froc_rows(sets, words),
                x_title=words("engine.froc_x"),
                y_title=words("engine.froc_y"),
                color_title=words("engine.set"),
                color_map=_colors(sets, words, findings=False),
                visible=any(item.froc for item in sets),
            ),
            words("engine.method") if sets else words("engine.no_curves"),
            card.text,
        ]

    @staticmethod
    def _nothing(key: str, text: str) -> list[Any]:
        hidden = [gr.update(visible=False)]
        empty = pd.DataFrame()
        return [key, text, *hidden, *[gr.Dataframe(value=empty, visible=False)] * 2, *hidden * 2, "", ""]


def _set_table(sets: list[CardSet], words: Words) -> gr.Dataframe:
    rows = [
        [
            _set_name(item.name, words),
            words(f"engine.role_{item.role}"),
            str(item.frames),
            str(item.cases),
            _figure(item.figures.get("sensitivity"), words, per_cent=True),
            _figure(item.figures.get("false_positives_per_frame") or item.figures.get("false_alarms_per_frame"), words),
            _figure(item.figures.get("dice_mean"), words),
            _figure(item.figures.get("ece"), words),
        ]
        for item in sets
    ]
    return gr.Dataframe(value=rows, headers=[words(f"engine.{name}") for name in _SET_COLUMNS], visible=bool(rows))


def _point_table(card: Card, engine: EngineBody, words: Words) -> gr.Dataframe:
    none = words("format.none")
    rows = []
    for point in card.points:
        in_use = engine.point is not None and engine.point.name == point.name
        false = point.false_positives_per_frame
        false = point.alarms_per_negative_frame if false is None else false
        rows.append(
            [
                f"{point.name} ({words('engine.point_now')})" if in_use else point.name,
                _set_name(point.set_name, words),
                str(point.frames),
                str(point.cases),
                none if point.sensitivity is None else words.number(100.0 * point.sensitivity, 1),
                none if false is None else words.number(false, 3),
            ]
        )
    rows = rows or [[words("engine.no_points"), *[none] * (len(_POINT_COLUMNS) - 1)]]
    return gr.Dataframe(value=rows, headers=[words(f"engine.{name}") for name in _POINT_COLUMNS], visible=True)


def _figure(figure: CardFigure | None, words: Words, *, per_cent: bool = False) -> str:
    if figure is None:
        return words("format.none")
    factor, digits = (100.0, 1) if per_cent else (1.0, 2)
    value = words.number(factor * figure.value, digits)
    if figure.low is None or figure.high is None:
        return value
    low, high = (words.number(factor * bound, digits) for bound in (figure.low, figure.high))
    return words("engine.interval", value=value, low=low, high=high)


def _calibration_rows(sets: list[CardSet], words: Words) -> pd.DataFrame:
    ideal = words("engine.ideal")
    rows: list[tuple[float, float, str]] = [(0.0, 0.0, ideal), (1.0, 1.0, ideal)]
    for item in _large(sets):
        name = _short_name(item, words, findings=True)
        rows += [(part.mean_score, part.right, name) for part in item.calibration if part.findings >= _LEAST_FINDINGS]
    return pd.DataFrame(rows, columns=["score", "right", "set"])


def _froc_rows(sets: list[CardSet], words: Words) -> pd.DataFrame:
    rows = []
    for item in _large(sets):
        name = _short_name(item, words, findings=False)
        rows += [(rate, found, name) for rate, found, _ in item.froc if rate <= _FROC_END]
    return pd.DataFrame(rows, columns=["rate", "found", "set"])


def _large(sets: list[CardSet]) -> list[CardSet]:
    """Those that a curve says something about."""
    return [item for item in sets if item.frames >= _LEAST_FRAMES]


def _colors(sets: list[CardSet], words: Words, *, findings: bool) -> dict[str, str]:
    """A set has one colour in both plots."""
    names = [_short_name(item, words, findings=findings) for item in _large(sets)]
    return dict(zip(names, itertools.cycle(_COLORS), strict=False))


def _short_name(item: CardSet, words: Words, *, findings: bool) -> str:
    """A set in a legend, with the number of findings or of frames."""
    key = f"dataset_short.{item.name}"
    count = sum(part.findings for part in item.calibration) if findings else item.frames
    return words("engine.with_count", name=words(key) if words.known(key) else item.name, count=count)


def _set_name(name: str, words: Words) -> str:
    key = f"dataset.{name}"
    return words(key) if words.known(key) else name


def build_engine_tab(context: PageContext) -> None:
    """Fill the tab."""
    tab, labels = _EngineTab(context), context.labels
    words = context.words("en", "sweep")
    language = add_language(context)
    shown = gr.State("")
    now = gr.Markdown()
    precision = labels.add(gr.Radio(choices=[], visible=False), "sweep", label="engine.precision")
    sets = gr.Dataframe(
        headers=[words(f"engine.{name}") for name in _SET_COLUMNS],
        **_table("us-sets", (250, 150, 80, 80, 180, 160, 160, 160)),
    )
    labels.add(sets, "sweep", label="engine.sets")
    points = gr.Dataframe(
        headers=[words(f"engine.{name}") for name in _POINT_COLUMNS],
        **_table("us-points", (170, 330, 90, 90, 140, 160)),
    )
    labels.add(points, "sweep", label="engine.points")
    with gr.Row():
        with gr.Column(min_width=320):
            labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="engine.calibration")
            calibration = gr.LinePlot(x="score", y="right", color="set", height=300, elem_id="us-calibration")
        with gr.Column(min_width=320):
            labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="engine.froc")
            froc = gr.LinePlot(x="rate", y="found", color="set", height=300, elem_id="us-froc")
    method = gr.Markdown(elem_classes="us-told")
    with gr.Accordion(open=False) as whole:
        text = gr.Markdown(elem_id="us-card")
    labels.add(whole, "sweep", label="engine.card")
    inputs = [language, precision, shown]
    outputs = [shown, now, precision, sets, points, calibration, froc, method, text]
    precision.input(tab.update, inputs, outputs, **Quiet)
    refresh_while_seen("engine", tab.update, inputs, outputs)


def _table(elem_id: str, widths: tuple[int, ...]) -> dict[str, Any]:
    """Settings of a table; widths in px."""
    column_widths = [f"{width}px" for width in widths]
    return {
        "datatype": "str",
        "interactive": False,
        "wrap": True,
        "column_widths": column_widths,
        "elem_id": elem_id,
    }
