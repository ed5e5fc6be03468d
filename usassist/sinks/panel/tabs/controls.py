"""Controls of the running session: recording, source, engine, precision, operating point."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.events import api

from usassist.bus import ControlAction
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.control import Answer, ControlIntake, Outcome, state_document
from usassist.sinks.panel.tabs.refresh import Quiet, refresh_while_seen
from usassist.sinks.reports import Recording, RecordingState
from usassist.words import Words

__all__ = ["build_controls"]

_PART = "controls"
_CHOSEN = (ControlAction.SOURCE, ControlAction.ENGINE, ControlAction.PRECISION, ControlAction.POINT)
_PAGE_WAIT_S = 25.0  # a proxy gives a request up after a minute; what runs is shown in any case
_RECORDED = (RecordingState.RUNNING, RecordingState.SILENT)


def build_controls(context: PageContext) -> None:
    """Fill the tab, and name the same actions for ``gradio_client``."""
    tab = _Controls(context)
    tab.build()
    _build_endpoints(context.controls)


class _Controls:
    def __init__(self, context: PageContext) -> None:
        self._context, self._controls = context, context.controls

    def build(self) -> None:
        """Place the components and their events."""
        labels = self._context.labels
        language = labels.add(gr.Textbox(visible="hidden", container=False), _PART, value="code")
        shown = gr.State(None)
        with gr.Column(elem_id="us-controls"):
            with gr.Row(equal_height=True):
                record = gr.Button(scale=0, min_width=240, elem_id="us-record")
                with gr.Column(min_width=300):
                    recording = gr.Markdown(container=True, elem_id="us-recording")
            with gr.Row():
                choices = {
                    action: labels.add(
                        gr.Dropdown(choices=[], filterable=False, elem_id=f"us-{action}"),
                        _PART,
                        label=f"label.{action}",
                    )
                    for action in _CHOSEN
                }
            outcome = gr.Markdown(container=True, elem_id="us-outcome")
            labels.add(gr.Markdown(container=True), _PART, value="info.change")
        outputs = [shown, record, recording, *choices.values()]
        refresh_while_seen("controls", self._update, [language, shown], outputs)

        record.click(self._asked_record, language, [outcome, record], **Quiet).then(
            self._record, language, outcome, **Quiet
        ).then(self._update_all, language, outputs, **Quiet)
        for action, dropdown in choices.items():

            def asked(value: str, code: str, action: ControlAction = action) -> str:
                return self._words(code)("outcome.asked", what=_what(self._words(code), action, value))

            def change(value: str, code: str, action: ControlAction = action) -> str:
                return self._request(action, value, code)

            dropdown.input(asked, [dropdown, language], outcome, **Quiet).then(
                change, [dropdown, language], outcome, **Quiet
            ).then(self._update_all, language, outputs, **Quiet)

    def _words(self, code: str) -> Words:
        return self._context.words(code or "en", _PART)

    @property
    def _recording(self) -> Recording:
        return self._context.feed.latest.recording

    def _asked_record(self, code: str) -> tuple[str, Any]:
        words = self._words(code)
        what = words("what.record_off" if self._recording.state in _RECORDED else "what.record_on")
        return words("outcome.asked", what=what), gr.Button(value=words("record.wait"), interactive=False)

    def _record(self, code: str) -> str:
        return self._request(ControlAction.RECORD, "off" if self._recording.state in _RECORDED else "on", code)

    def _request(self, action: ControlAction, value: str, code: str) -> str:
        result = self._controls.request(action, value, timeout_s=_PAGE_WAIT_S)
        return _told(self._words(code), _what(self._words(code), action, value), result)

    def _update_all(self, code: str) -> list[Any]:
        return self._update(code, None)

    def _update(self, code: str, shown: Any) -> list[Any]:
        """What has changed since it was shown; an open list is not closed by an update that changes nothing."""
        words, controls = self._words(code), self._controls
        is_fixed = controls.choices is None
        now: list[Any] = [
            (code, self._recording.state in _RECORDED, is_fixed),
            _recording_words(words, self._recording),
            *((code, list(controls.offered(action)), controls.chosen(action)) for action in _CHOSEN),
        ]
        before = shown if isinstance(shown, list) and len(shown) == len(now) else [None] * len(now)
        updates: list[Any] = [now]
        for number, (value, old) in enumerate(zip(now, before, strict=True)):
            if value == old:
                updates.append(gr.skip())
            elif number == 0:
                records = self._recording.state in _RECORDED
                updates.append(
                    gr.Button(
                        value=words("record.stop" if records else "record.start"),
                        variant="stop" if records else "secondary",
                        interactive=not is_fixed,
                    )
                )
            elif number == 1:
                updates.append(value)
            else:
                _, offered, chosen = value
                known = [*offered, *([chosen] if chosen and chosen not in offered else [])]
                updates.append(
                    gr.Dropdown(choices=known, value=chosen or None, interactive=not is_fixed and len(known) > 1)
                )
        return updates


def _what(words: Words, action: ControlAction, value: str) -> str:
    return words(f"what.record_{value}") if action is ControlAction.RECORD else words(f"what.{action}", value=value)


def _told(words: Words, what: str, outcome: Outcome) -> str:
    if outcome.answer is Answer.DONE:
        return words("outcome.done_note" if outcome.reason else "outcome.done", what=what, reason=outcome.reason)
    return words(f"outcome.{outcome.answer}", what=what, reason=outcome.reason)


def _recording_words(words: Words, recording: Recording) -> str:
    minutes, seconds = divmod(int(recording.elapsed_s or 0.0), 60)
    text = words(
        f"recording.{recording.state}",
        reason=recording.reason,
        time=f"{minutes:d}:{seconds:02d}",
        size=words.number((recording.recorded_bytes or 0) / 1e6),
        free=words.number((recording.free_bytes or 0) / 1e9),
    )
    if recording.state not in (RecordingState.UNKNOWN, RecordingState.NONE):
        lost = recording.missed
        text += " " + (words("recording.lost", count=lost) if lost else words("recording.lost_none"))
    return text


def _build_endpoints(controls: ControlIntake) -> None:
    """What ``gradio_client`` may call; every answer says what came of it, and never only that it was asked."""

    def ask(action: ControlAction, value: str) -> dict[str, str]:
        outcome = controls.request(action, value)
        return {"answer": str(outcome.answer), "reason": outcome.reason}

    def record(on: bool) -> dict[str, str]:
        """Begin or close a recording."""
        return ask(ControlAction.RECORD, "on" if on else "off")

    def set_point(name: str) -> dict[str, str]:
        """Choose an operating point of the engine."""
        return ask(ControlAction.POINT, name)

    def set_engine(name: str) -> dict[str, str]:
        """Choose an engine, ``name@version``."""
        return ask(ControlAction.ENGINE, name)

    def set_precision(name: str) -> dict[str, str]:
        """Choose a precision."""
        return ask(ControlAction.PRECISION, name)

    def set_source(name: str) -> dict[str, str]:
        """Choose one of the offered sources."""
        return ask(ControlAction.SOURCE, name)

    def choices() -> dict[str, Any]:
        """What runs now, and what may be chosen."""
        return state_document(controls)

    for endpoint in (record, set_point, set_engine, set_precision, set_source, choices):
        api(endpoint, api_name=endpoint.__name__, queue=False)
