"""What shows an outcome: the values of the components, in the words of a language."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from usassist.app.demo.answering import Answered
from usassist.app.demo.desk import Desk, Outcome
from usassist.app.demo.tables import compare, difference_rows, frame_rows, nodule_rows, read_summary
from usassist.words import Words, load_words

__all__ = ["BEST_COLUMN", "show"]

_OF_PLAYER = ("player.", "state.", "format.decimal", "size.", "label.")
_NODULES = ("nodule", "seen_frames", "seen", "size", "score", "best")
_FRAMES = ("frame", "time", "state", "count", "score", "longest")
_DIFFERENCES = ("frame", "time", "state_a", "count_a", "score_a", "state_b", "count_b", "score_b", "overlap")
BEST_COLUMN = _NODULES.index("best")
"""Of the table of nodules, the frame of the best plane."""


def show(desk: Desk, found: Outcome, words: Words) -> list[Any]:
    """What shows an outcome, in the order of ``Parts.shown``."""
    first = found.answers[0]
    second = found.answers[1] if len(found.answers) > 1 else None
    document = read_summary(first)
    rows = nodule_rows(document, first.overview, words)
    note = [words("table.go")] if rows else [words("table.none")]
    differences: Any = gr.skip()
    if second is not None:
        both = compare(first, second)
        note.insert(0, both.sentence(words))
        differences = _table(_DIFFERENCES, difference_rows(both, first.overview, second.overview, words), words)
    return [
        gr.update(value=_player_value(desk, found, words)),
        _table(_NODULES, rows, words),
        _table(_FRAMES, frame_rows(first.overview, words), words),
        differences,
        gr.update(visible=second is not None),
        "  \n".join(note),
        *_downloads(desk, first, second, words),
    ]


def _table(columns: tuple[str, ...], rows: list[list[Any]], words: Words) -> dict[str, Any]:
    return {"headers": [words(f"table.{name}") for name in columns], "data": rows}


def _downloads(desk: Desk, first: Answered, second: Answered | None, words: Words) -> list[Any]:
    report = f"report-{words.code}.html"
    updates = [gr.update(link=f"{desk.address(first)}/{name}", interactive=True) for name in ("results.csv", report)]
    for name in ("results.csv", report):
        link = "" if second is None else f"{desk.address(second)}/{name}"
        updates.append(gr.update(link=link, interactive=second is not None, visible=second is not None))
    return updates


def _player_value(desk: Desk, found: Outcome, words: Words) -> str:
    texts = load_words(words.code, "page").texts | words.texts  # the drawing has words of the live page
    texts = {key: text for key, text in texts.items() if key.startswith(_OF_PLAYER)}
    answers = [{"path": desk.address(item), "title": _title(item)} for item in found.answers]
    first = found.answers[0]
    best = max(first.overview.frames, key=lambda line: (line.score or 0.0, -line.frame_id))
    return json.dumps(
        {
            "language": words.code,
            "words": texts,
            "answers": answers,
            "simulated": found.simulated,
            "about": [
                {"short": f"{item.overview.engine_id.partition('+')[0]} · {_title(item)}", "long": item.overview.point}
                for item in found.answers
            ],
            "first": first.overview.frames.index(best),
        }
    )


def _title(answered: Answered) -> str:
    """With what it was answered: the back end that did with its precision, and the operating point."""
    backend, point = answered.overview.backend, answered.overview.point.partition(":")[0]
    return f"{backend if '-' in backend else f'{backend}-fp32'}, {point}"
