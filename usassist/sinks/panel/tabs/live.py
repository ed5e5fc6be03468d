"""The tab of the live frames: our canvas, fed by the WebSocket, and Gradio's buttons for its frame."""

from __future__ import annotations

import html
import json
from importlib import resources

import gradio as gr

from usassist.clinical import ALONE, DESCRIPTOR_TEXTS, DESCRIPTORS, SEVERAL, SYSTEMS
from usassist.sinks.panel.context import PageContext
from usassist.sinks.view import STATE_COLOR_RGB
from usassist.words import languages, load_words

__all__ = ["STYLES", "build_live_tab", "live_text", "press"]

# One program, in this order.
_SCRIPTS = (
    "words.js",
    "sizes.js",
    "draw.js",
    "page.js",
    "zoom.js",
    "side.js",
    "marks.js",
    "plane.js",
    "descriptors.js",
    "tirads.js",
    "scale.js",
    "link.js",
    "snapshot.js",
    "keys.js",
)
STYLES = ("live.css",)
_ROWS = (
    ("outline", "calipers", "box", "freeze", "scale", "snapshot", "full", "zoom_out", "zoom_in", "zoom_fit"),
    ("bookmark", "wrong", "missed", "transverse", "longitudinal", "right", "isthmus", "left"),
)
"""Buttons below the frame; each does the action of its name in ``live/keys.js``."""


def build_live_tab(context: PageContext) -> None:
    """Fill the tab."""
    title = f"{context.modality}: live frame with outlines" if context.modality else "Live frame with outlines"
    values = {
        "WORDS": {code: context.words(code).texts | _clinical_words(code) for code in languages()},
        "STATE_COLORS": {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()},
        "DESCRIPTORS": _descriptors(),
        "SYSTEMS": _systems(),
    }
    script = "\n".join(live_text(name) for name in _SCRIPTS)
    for place, value in values.items():
        script = script.replace(f"@{place}@", json.dumps(value))
    with (
        gr.HTML(
            html_template=live_text("live.html").replace("@MODALITY@", html.escape(title)),
            js_on_load=script,
            apply_default_css=False,
            elem_id="usassist",
        ),
        gr.Column(elem_id="us-actions"),
    ):
        for names in _ROWS:
            with gr.Row():
                for name in names:
                    press(context, name)


def press(context: PageContext, name: str) -> gr.Button:
    """A button for an action about the frame on the canvas, which only the browser knows: no event reaches the server.

    Parameters
    ----------
    context : keeps its text for other languages
    name : of the action in ``live/keys.js``, and of the text ``button.NAME``
    """
    button = gr.Button(elem_id=f"us-{name}", size="sm", min_width=0)
    context.labels.add(button, "page", value=f"button.{name}")
    button.click(fn=None, js=f"() => window.usassist.press('{name}')", queue=False, show_progress="hidden")
    return button


def live_text(name: str) -> str:
    """Text of a file of the live view."""
    return resources.files("usassist.sinks.panel").joinpath("live", name).read_text(encoding="utf-8")


def _clinical_words(language: str) -> dict[str, str]:
    """Names of descriptors, their words, and what categories mean, as in the report."""
    texts = load_words(language, "report").texts
    return {key: text for key, text in texts.items() if key.startswith(("descriptor.", "word.", "meaning."))}


def _descriptors() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "text": DESCRIPTOR_TEXTS[name],
            "several": name in SEVERAL,
            "alone": [word for word in words if (name, word) in ALONE],
            "words": dict(words),
        }
        for name, words in DESCRIPTORS.items()
    ]


def _systems() -> list[dict[str, str]]:
    return [
        {"id": system.id, "name": system.name, "edition": system.edition, "source": system.source}
        for system in SYSTEMS.values()
    ]
