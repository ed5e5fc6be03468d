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

# A tab that is not selected has no size, and a browser tab in the background is hidden.
_WATCH = """
let seen = null;
const tell = () => {
  const now = !document.hidden && element.getClientRects().length > 0;
  if (now !== seen) { seen = now; trigger(now ? 'focus' : 'blur'); }
};
new IntersectionObserver(tell).observe(element);
document.addEventListener('visibilitychange', tell);
"""


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


def refresh_while_seen(update: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component]) -> None:
    """Call `update` at once when the tab is seen, and then once a second until it is not.

    Parameters
    ----------
    update : takes the values of the inputs and returns those of the outputs, a list
    inputs, outputs : components of this tab
    """
    timer = gr.Timer(_PERIOD_S, active=False)
    watch = gr.HTML("<i></i>", js_on_load=_WATCH, elem_classes="us-seen")

    def begin(*values: Any) -> list[Any]:
        return [gr.Timer(active=True), *update(*values)]

    watch.focus(begin, list(inputs), [timer, *outputs], **Quiet)
    watch.blur(lambda: gr.Timer(active=False), None, timer, **Quiet)
    timer.tick(update, list(inputs), list(outputs), trigger_mode="once", **Quiet)
