"""Renews what a tab shows once a second, and only while a person can see that tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components.base import Component

from usassist.sinks.panel.context import PageContext

__all__ = ["OnlyNews", "Quiet", "add_language", "refresh_while_seen"]

# The events of a page's own components: no part of what a program may call, no sign of progress, no queue.
Quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}

_PERIOD_S = 1.0

# A tab that is not selected has no size or is not there at all, and a browser tab in the background is hidden.
_IS_SEEN = """(_, ...values) => [
  !document.getElementById('@ID@')?.getClientRects().length ? '' : document.hidden ? 'hidden' : 'seen', ...values]"""


_BEGIN = "if (element.getClientRects().length) trigger('focus');"


class OnlyNews:
    """Sends a value only where it differs from what that page was sent last; the browser draws nothing twice.

    Parameters
    ----------
    sent : what the page was sent last, by name; kept in a ``gr.State`` of the page
    """

    def __init__(self, sent: dict[str, Any] | None) -> None:
        self.sent = dict(sent or {})

    def __call__(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """The value, or a sign that it stays.

        Parameters
        ----------
        name : of the component
        key : two equal keys stand for equal values
        make : makes the value
        """
        if self.sent.get(name) == key:
            return gr.skip()
        self.sent[name] = key
        return make()


def add_language(context: PageContext) -> gr.Textbox:
    """A hidden component whose value is the language that the page is in, for events that write texts."""
    language: gr.Textbox = context.labels.add(gr.Textbox(visible="hidden", container=False), "sweep", value="code")
    return language


def refresh_while_seen(
    name: str, update: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component]
) -> None:
    """Call `update` at once when the tab is selected, and then once a second until it is not. To be called inside it.

    The first tab of a page is selected from the beginning; there it begins as soon as the page is there.

    Parameters
    ----------
    name : for the id of a component that tells whether the tab is seen
    update : takes the values of the inputs and returns those of the outputs, a list
    inputs, outputs : components of this tab
    """
    elem_id = f"us-seen-{name}"
    timer = gr.Timer(_PERIOD_S, active=False)
    place = gr.HTML("<i></i>", js_on_load=_BEGIN, elem_id=elem_id, elem_classes="us-seen")

    def begin(*values: Any) -> list[Any]:
        return [gr.Timer(active=True), *update(*values)]

    def renew(seen: str, *values: Any) -> list[Any]:
        if seen == "seen":
            return [gr.skip(), *update(*values)]
        return [gr.skip() if seen else gr.Timer(active=False), *[gr.skip()] * len(outputs)]

    place.focus(begin, list(inputs), [timer, *outputs], **Quiet)
    _tab_of(place).select(begin, list(inputs), [timer, *outputs], **Quiet)
    timer.tick(
        renew,
        [place, *inputs],
        [timer, *outputs],
        js=_IS_SEEN.replace("@ID@", elem_id),
        trigger_mode="once",
        **Quiet,
    )


def _tab_of(component: Any) -> gr.Tab:
    while not isinstance(component, gr.Tab):
        component = component.parent
    return component
