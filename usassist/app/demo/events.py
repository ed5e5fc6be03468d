"""The events of the page: which component calls what, and what is shown then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from usassist.app.demo.about import about_text
from usassist.app.demo.answering import Answered, Choice, Report
from usassist.app.demo.choices import points_of, precisions_of
from usassist.app.demo.desk import YOURS, Desk, Outcome, Wish
from usassist.app.demo.status import failure_text, file_text, limits_text, progress_share, progress_text
from usassist.app.demo.tables import (
    compare,
    difference_rows,
    frame_rows,
    nodule_rows,
    read_summary,
)
from usassist.errors import UsAssistError
from usassist.sinks.panel.context import FIRST_LANGUAGE, Labels
from usassist.words import Words, load_words

__all__ = ["PART", "Parts", "connect"]

PART = "demo"
_POLL_S = 0.3
_OF_PLAYER = ("player.", "state.", "format.decimal", "size.", "label.")
_NODULES = ("nodule", "seen_frames", "seen", "size", "score", "best")
_FRAMES = ("frame", "time", "state", "count", "score", "longest")
_DIFFERENCES = ("frame", "time", "state_a", "count_a", "score_a", "state_b", "count_b", "score_b", "overlap")
_BEST_COLUMN = _NODULES.index("best")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components that events read and write."""

    language: gr.Dropdown
    item: gr.Radio
    upload: gr.File
    limits: gr.Markdown
    a: tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]
    compare: gr.Checkbox
    second: gr.Group
    b: tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]
    answer: gr.Button
    stop: gr.Button
    status: gr.Markdown
    player: gr.HTML
    downloads: tuple[gr.Button, ...]
    note: gr.Markdown
    nodules: gr.Dataframe
    frames: gr.Dataframe
    differences_tab: gr.Tab
    differences: gr.Dataframe

    @property
    def shown(self) -> list[Any]:
        """What shows an outcome, in the order of :func:`_show`."""
        tables = [self.nodules, self.frames, self.differences, self.differences_tab]
        return [self.player, *tables, self.note, *self.downloads]


def connect(blocks: gr.Blocks, desk: Desk, labels: Labels, parts: Parts, about: gr.Markdown) -> None:
    """Connect the components with what is done. Called inside the Blocks.

    Parameters
    ----------
    blocks : the page
    desk : does it
    labels : texts of components
    parts : components
    about : text of the tab about the demo
    """
    outcome = gr.State(None)
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet = private | {"show_progress": "hidden"}

    async def begin(language: str) -> AsyncIterator[list[Any]]:
        """Show the first clip as soon as it has been answered."""
        words, name = load_words(language, PART), next(iter(desk.items))
        while (known := desk.shelf.get(name, desk.shelf.choice)) is None:
            if name in desk.shelf.failed:
                text = words("status.failed", reason=desk.shelf.failed[name])
                yield [text, None, *(gr.skip() for _ in parts.shown)]
                return
            text = words("status.preparing", progress=progress_text(desk.shelf.report, words))
            yield [text, None, *(gr.skip() for _ in parts.shown)]
            await asyncio.sleep(_POLL_S)
        found = Outcome(text=words("status.choose"), answers=(known,), simulated=desk.items[name].simulated)
        yield [found.text, found, *_show(desk, found, words)]

    def take(path: str, language: str, request: gr.Request) -> list[Any]:
        words = load_words(language, PART)
        try:
            found = desk.take_upload(_visitor(request), str(path))
        except UsAssistError as error:
            text = words("status.refused", reason=" ".join(str(error).split()))
            return [text, gr.update(value=None), gr.skip()]
        return [file_text(found, words), gr.skip(), YOURS]

    def drop(request: gr.Request) -> None:
        desk.drop_upload(_visitor(request))

    def choose(name: str, language: str, compared: bool, *choice: str) -> list[Any]:
        """A clip that has been answered with these settings is shown at once."""
        words = load_words(language, PART)
        known = None if compared or name == YOURS else desk.shelf.get(name, _choice(*choice[:3]))
        if known is None:
            return [words("status.choose"), gr.skip(), *(gr.skip() for _ in parts.shown)]
        found = Outcome(text="", answers=(known,), simulated=desk.items[name].simulated)
        return [words("status.choose"), found, *_show(desk, found, words)]

    def run(
        name: str,
        language: str,
        compared: bool,
        engine_a: str,
        precision_a: str,
        point_a: str,
        engine_b: str,
        precision_b: str,
        point_b: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio asks for it
    ) -> list[Any]:
        words = load_words(language, PART)

        def report(now: Report, letter: str) -> None:
            text = progress_text(now, words)
            progress(progress_share(now), desc=f"{letter}: {text}" if letter else text)

        wish = Wish(
            item=name,
            a=_choice(engine_a, precision_a, point_a),
            b=_choice(engine_b, precision_b, point_b) if compared else None,
        )
        found = desk.answer(_visitor(request), wish, words, report)
        if not found.answers:
            return [found.text, gr.skip(), *(gr.skip() for _ in parts.shown)]
        return [found.text, found, *_show(desk, found, words)]

    def answer_file(file: str, engine: str, precision: str, point: str, request: gr.Request) -> dict[str, Any]:
        """Answer one file, and give the results of all frames as JSON; nothing of it is kept."""
        try:
            return desk.answer_document(_visitor(request), str(file), _choice(engine, precision, point))
        except UsAssistError as error:
            raise gr.Error(failure_text(error, load_words(FIRST_LANGUAGE, PART)), print_exception=False) from None

    def speak(language: str, found: Outcome | None) -> list[Any]:
        words = load_words(language, PART)
        items = [(words(f"item.{name}"), name) for name in desk.items] + [(words("give.yours"), YOURS)]
        shown = [gr.skip() for _ in parts.shown] if found is None else _show(desk, found, words)
        updates = labels.updates(language)
        return [
            *updates,
            gr.update(choices=items),
            limits_text(words),
            about_text(words),
            words("status.choose"),
            *shown,
        ]

    def stop(request: gr.Request) -> None:
        desk.stop(_visitor(request))

    def leave(request: gr.Request) -> None:
        desk.end(_visitor(request))

    chosen = [parts.item, parts.language, parts.compare, *parts.a, *parts.b]
    shown = [parts.status, outcome, *parts.shown]
    blocks.load(begin, [parts.language], shown, concurrency_limit=None, **quiet)
    parts.upload.upload(
        take,
        [parts.upload, parts.language],
        [parts.status, parts.upload, parts.item],
        show_progress_on=parts.status,
        concurrency_limit=2,
        **private,
    )
    parts.upload.clear(drop, None, None, **quiet)
    parts.item.input(choose, chosen, shown, **quiet)
    parts.answer.click(None, None, parts.status, js="() => ''", queue=False, **quiet)  # the progress stands there now
    parts.answer.click(
        run,
        chosen,
        shown,
        show_progress_on=parts.status,
        concurrency_limit=1,
        concurrency_id="answer",
        trigger_mode="once",
        **private,
    )
    parts.stop.click(stop, None, None, **quiet)
    parts.compare.change(lambda on: gr.update(visible=on), parts.compare, parts.second, **quiet)
    for engine, precision, point in (parts.a, parts.b):
        engine.input(_renew, engine, [precision, point], **quiet)
    spoken = [*labels.components, parts.item, parts.limits, about, parts.status, *parts.shown]
    parts.language.input(speak, [parts.language, outcome], spoken, **quiet)
    parts.nodules.select(_go_to_best, outcome, parts.player, **quiet)
    parts.frames.select(_go_to_row, None, parts.player, **quiet)
    parts.differences.select(_go_to_difference, outcome, parts.player, **quiet)
    _offer_to_programs(answer_file, parts)
    blocks.unload(leave)


def _offer_to_programs(answer_file: Any, parts: Parts) -> None:
    """The endpoint ``/answer`` for ``gradio_client``."""
    file, document = gr.File(visible=False, type="filepath"), gr.JSON(visible=False)
    texts = [
        gr.Textbox(visible=False, value=part.value, label=name)
        for part, name in zip(parts.a, ("engine", "precision", "point"), strict=True)
    ]
    gr.Button(visible=False).click(
        answer_file,
        [file, *texts],
        document,
        api_name="answer",
        concurrency_limit=1,
        concurrency_id="answer",
    )


def _visitor(request: gr.Request) -> str:
    """Gradio's name of the session; of a call without one, of the call."""
    return str(request.session_hash)


def _choice(engine: str, precision: str, point: str) -> Choice:
    return Choice(engine=engine, precision=precision, point=point)


def _renew(engine: str) -> list[Any]:
    """Precisions and points of an engine that was chosen."""
    return [gr.update(choices=precisions_of(engine), value="auto"), gr.update(choices=points_of(engine), value="auto")]


def _show(desk: Desk, found: Outcome, words: Words) -> list[Any]:
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


def _go_to_row(event: gr.SelectData) -> Any:
    return _seek(event.index[0], event)


def _go_to_best(found: Outcome, event: gr.SelectData) -> Any:
    return _go_to_frame(found, int(event.row_value[_BEST_COLUMN]), event)


def _go_to_difference(found: Outcome, event: gr.SelectData) -> Any:
    return _go_to_frame(found, int(event.row_value[0]), event)


def _go_to_frame(found: Outcome, frame_id: int, event: gr.SelectData) -> Any:
    for index, line in enumerate(found.answers[0].overview.frames):
        if line.frame_id == frame_id:
            return _seek(index, event)
    return gr.skip()


def _seek(index: int, event: gr.SelectData) -> Any:
    """The player goes there also where it was sent there before."""
    return gr.update(seek=f"{index}:{id(event)}")
