"""The events of the page: which component calls what, and what is shown then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from usassist.app.demo.about import about_text
from usassist.app.demo.answering import Choice, Report
from usassist.app.demo.choices import points_of, precisions_of
from usassist.app.demo.desk import YOURS, Desk, Outcome, Wish
from usassist.app.demo.show import BEST_COLUMN, show
from usassist.app.demo.status import failure_text, file_text, limits_text, progress_share, progress_text
from usassist.errors import UsAssistError
from usassist.sinks.panel.context import FIRST_LANGUAGE, Labels
from usassist.words import load_words

__all__ = ["PART", "Parts", "connect"]

PART = "demo"
_POLL_S = 0.3


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
        """What shows an outcome, in the order of :func:`show`."""
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
    # Short events do not wait in the queue. Gradio ends the stream of a queue's messages with its last event, and an
    # event that joins in that moment is never told how it ended.
    quiet = private | {"show_progress": "hidden", "queue": False}

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
        yield [found.text, found, *show(desk, found, words)]

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
        return [words("status.choose"), found, *show(desk, found, words)]

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
        return [found.text, found, *show(desk, found, words)]

    def answer_file(file: str, engine: str, precision: str, point: str, request: gr.Request) -> dict[str, Any]:
        """Answer one file, and give the results of all frames as JSON; nothing of it is kept."""
        try:
            return desk.answer_document(_visitor(request), str(file), _choice(engine, precision, point))
        except UsAssistError as error:
            raise gr.Error(failure_text(error, load_words(FIRST_LANGUAGE, PART)), print_exception=False) from None

    def speak(language: str, found: Outcome | None) -> list[Any]:
        words = load_words(language, PART)
        items = [(words(f"item.{name}"), name) for name in desk.items] + [(words("give.yours"), YOURS)]
        shown = [gr.skip() for _ in parts.shown] if found is None else show(desk, found, words)
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
    blocks.load(begin, [parts.language], shown, concurrency_limit=None, show_progress="hidden", **private)
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
    parts.answer.click(None, None, parts.status, js="() => ''", **quiet)  # the progress stands there now
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


def _go_to_row(event: gr.SelectData) -> Any:
    return _seek(event.index[0], event)


def _go_to_best(found: Outcome, event: gr.SelectData) -> Any:
    return _go_to_frame(found, int(event.row_value[BEST_COLUMN]), event)


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
