"""The events of a tab for studies: which component calls what, and what is shown then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from usassist.app.demo.answering import StoppedError
from usassist.app.demo.studies.answering import StudyChoice, StudyReport
from usassist.app.demo.studies.desk import YOURS, StudyDesk, StudyOutcome
from usassist.app.demo.studies.show import (
    failure_reason,
    opened_text,
    progress_share,
    progress_text,
    series_choices,
    show,
    study_limits_text,
    tab_note,
)
from usassist.app.demo.studies.table import Option
from usassist.errors import UsAssistError
from usassist.sinks.panel.context import FIRST_LANGUAGE
from usassist.words import Words, load_words

__all__ = ["PART", "StudyParts", "choice_labels", "connect_studies"]

PART = "study"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyParts:
    """The components that events read and write; `options` by the name of the option."""

    language: gr.Dropdown
    tab: gr.Tab
    note: gr.Markdown
    item: gr.Radio
    upload: gr.File
    series: gr.Dropdown
    limits: gr.Markdown
    module: gr.Radio
    options: dict[str, Any]
    answer: gr.Button
    stop: gr.Button
    status: gr.Markdown
    viewer: gr.HTML
    table: gr.Dataframe
    table_note: gr.Markdown
    downloads: tuple[gr.Button, ...]

    @property
    def shown(self) -> list[Any]:
        """What shows a study, in the order of :func:`show`."""
        return [self.viewer, self.table, self.table_note, *self.downloads]


def connect_studies(desk: StudyDesk, parts: StudyParts) -> None:
    """Connect the components of a tab with what is done. Called inside the Blocks."""
    outcome = gr.State(None)
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet = private | {"show_progress": "hidden", "queue": False}
    nothing: list[Any] = [gr.skip() for _ in parts.shown]

    def teller(words: Words, progress: gr.Progress) -> Any:
        def report(now: StudyReport) -> None:
            progress(progress_share(now), desc=progress_text(now, words))

        return report

    def opened(item: str, series: int | None, language: str, request: gr.Request, progress: gr.Progress) -> list[Any]:
        """Status, outcome, series, module, then what is shown."""
        words = load_words(language, PART)
        try:
            found = desk.open(_visitor(request), item, teller(words, progress), series)
        except StoppedError:
            return [words("status.stopped"), gr.skip(), gr.skip(), gr.skip(), *nothing]
        except UsAssistError as error:
            text = words("status.refused", reason=failure_reason(error))
            return [text, gr.skip(), gr.skip(), gr.skip(), *nothing]
        lines = found.opened.series
        choices = gr.update(choices=series_choices(lines, words), value=found.opened.chosen, visible=len(lines) > 1)
        module = desk.tab.simulated.get(item)
        shown_module = gr.skip() if module is None else gr.update(value=module)
        return [opened_text(found.opened.line, words), found, choices, shown_module, *show(desk, found, words)]

    def first(
        shown: StudyOutcome | None,
        item: str,
        language: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio asks for it
    ) -> list[Any]:
        """The first study, when the tab is opened for the first time."""
        if shown is not None:
            return [gr.skip(), gr.skip(), gr.skip(), gr.skip(), *nothing]
        return opened(item, None, language, request, progress)

    def choose(
        item: str,
        language: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        return opened(item, None, language, request, progress)

    def choose_series(
        item: str,
        series: int,
        language: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        return opened(item, int(series), language, request, progress)

    def take(
        path: str,
        language: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        words = load_words(language, PART)
        try:
            desk.take_upload(_visitor(request), str(path))
        except UsAssistError as error:
            text = words("status.refused", reason=failure_reason(error))
            return [text, gr.skip(), gr.skip(), gr.skip(), *nothing, gr.update(value=None), gr.skip()]
        found = opened(YOURS, None, language, request, progress)
        if not isinstance(found[1], StudyOutcome):
            desk.drop_upload(_visitor(request))
            return [*found, gr.update(value=None), gr.skip()]
        return [*found, gr.skip(), gr.update(value=YOURS)]

    def run(
        values: dict[Any, Any],
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        words = load_words(values[parts.language], PART)
        shown: StudyOutcome | None = values[outcome]
        if shown is None:
            return [words("status.choose"), gr.skip(), *nothing]
        plain = StudyOutcome(item=shown.item, opened=shown.opened, folder=shown.opened.folder)
        choice = StudyChoice(module=values[parts.module])
        try:
            asked = {name: values[component] for name, component in parts.options.items()}
            choice = desk.choice(values[parts.module], asked)
            found = desk.answer(_visitor(request), plain, choice, teller(words, progress))
        except StoppedError:
            return [words("status.stopped"), plain, *show(desk, plain, words)]
        except UsAssistError as error:
            reason = failure_reason(error)
            failed = StudyOutcome(
                item=shown.item, opened=shown.opened, folder=shown.opened.folder, choice=choice, failed=reason
            )
            return [words("status.failed", reason=reason), failed, *show(desk, failed, words)]
        if found.state == "no_result":
            return [words("status.failed", reason=found.reason), found, *show(desk, found, words)]
        seconds = 0.0 if found.document is None else found.document.seconds
        return [words("status.done", seconds=words.number(seconds, 1)), found, *show(desk, found, words)]

    def ask(module: str) -> list[Any]:
        """Only the options of the module that is chosen are seen."""
        known = {option.name for option in desk.tab.module(module).options}
        ready = not desk.tab.module(module).missing
        return [gr.update(interactive=ready), *(gr.update(visible=name in known) for name in parts.options)]

    def answer_file(file: str, module: str, options: dict[str, Any] | None, request: gr.Request) -> dict[str, Any]:
        """Answer one file, and give the result as JSON; nothing of it is kept."""
        words = load_words(FIRST_LANGUAGE, PART)
        try:
            return desk.answer_document(_visitor(request), str(file), desk.choice(module, options or {}))
        except UsAssistError as error:
            text = words("status.failed", reason=failure_reason(error))
            raise gr.Error(text, print_exception=False) from None

    def speak(language: str, found: StudyOutcome | None) -> list[Any]:
        words = load_words(language, PART)
        tab = desk.tab
        items = [(words(f"item.{name}"), name) for name in tab.simulated] + [(words("give.yours"), YOURS)]
        modules = [(words(f"module.{module.name}"), module.name) for module in tab.modules]
        series = gr.skip() if found is None else gr.update(choices=series_choices(found.opened.series, words))
        return [
            gr.update(choices=items),
            gr.update(choices=modules),
            series,
            *(
                gr.update(choices=choice_labels(option, words)) if option.choices else gr.skip()
                for option in tab.options
            ),
            study_limits_text(words),
            tab_note(tab, words),
            words("status.choose"),
            *(nothing if found is None else show(desk, found, words)),
        ]

    def stop(request: gr.Request) -> None:
        desk.stop(_visitor(request))

    def drop(request: gr.Request) -> None:
        desk.drop_upload(_visitor(request))

    changed = [parts.status, outcome, parts.series, parts.module, *parts.shown]
    # Opening waits for others only where a simulated study is being made; answering waits in its own queue.
    opening: dict[str, Any] = {"show_progress_on": parts.status, "concurrency_limit": 2, **private}
    parts.tab.select(first, [outcome, parts.item, parts.language], changed, **opening)
    parts.item.input(choose, [parts.item, parts.language], changed, **opening)
    parts.series.input(choose_series, [parts.item, parts.series, parts.language], changed, **opening)
    parts.upload.upload(take, [parts.upload, parts.language], [*changed, parts.upload, parts.item], **opening)
    parts.upload.clear(drop, None, None, **quiet)
    parts.module.change(ask, parts.module, [parts.answer, *parts.options.values()], **quiet)
    parts.answer.click(None, None, parts.status, js="() => ''", **quiet)  # the progress stands there now
    parts.answer.click(
        run,
        {outcome, parts.module, parts.language, *parts.options.values()},
        [parts.status, outcome, *parts.shown],
        show_progress_on=parts.status,
        concurrency_limit=1,
        concurrency_id=f"answer_{desk.tab.code}",
        trigger_mode="once",
        **private,
    )
    parts.stop.click(stop, None, None, **quiet)
    spoken = [parts.item, parts.module, parts.series, *parts.options.values(), parts.limits, parts.note, parts.status]
    parts.language.input(speak, [parts.language, outcome], [*spoken, *parts.shown], **quiet)
    _offer_to_programs(desk, answer_file)


def choice_labels(option: Option, words: Words) -> list[tuple[str, str]]:
    """What can be chosen of an option: label and value. Names of levels and of published sets are not translated."""

    def label(value: str) -> str:
        key = f"setup.{option.name}_{value}"
        return words(key) if words.known(key) else value

    return [(label(value), value) for value in option.choices]


def _offer_to_programs(desk: StudyDesk, answer_file: Any) -> None:
    """The endpoint for ``gradio_client``: file, module, and its options as a dictionary."""
    file, document = gr.File(visible=False, type="filepath"), gr.JSON(visible=False)
    module = gr.Textbox(visible=False, value=desk.tab.modules[0].name, label="module")
    options = gr.JSON(visible=False, value={}, label="options")
    gr.Button(visible=False).click(
        answer_file,
        [file, module, options],
        document,
        api_name=desk.tab.api_name,
        concurrency_limit=1,
        concurrency_id=f"answer_{desk.tab.code}",
    )


def _visitor(request: gr.Request) -> str:
    """Gradio's name of the session; of a call without one, of the call."""
    return str(request.session_hash)
