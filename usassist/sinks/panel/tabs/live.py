"""The tab of the live frames: our canvas, fed by the WebSocket, and what belongs to the frame on it."""

from __future__ import annotations

import html
import json
from importlib import resources

import gradio as gr

from usassist.clinical import ALONE, DESCRIPTOR_TEXTS, DESCRIPTORS, SEVERAL, SYSTEMS
from usassist.sinks.panel.context import PageContext
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["STYLES", "build_live_tab"]

# One program, in this order.
_SCRIPTS = (
    "draw.js",
    "page.js",
    "side.js",
    "marks.js",
    "plane.js",
    "descriptors.js",
    "tirads.js",
    "scale.js",
    "link.js",
    "keys.js",
)
STYLES = ("page.css", "said.css")


def build_live_tab(context: PageContext) -> None:
    """Fill the tab."""
    modality = context.modality
    label = f"{modality}: live frame with outlines" if modality else "Live frame with outlines"
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    script = "\n".join(_text(name) for name in _SCRIPTS)
    for place, value in {"STATE_COLORS": colors, "DESCRIPTORS": _words(), "SYSTEMS": _systems()}.items():
        script = script.replace(f"@{place}@", json.dumps(value))
    gr.HTML(
        html_template=_text("page.html").replace("@MODALITY@", html.escape(label)),
        js_on_load=script,
        apply_default_css=False,
        elem_id="usassist",
    )


def _words() -> list[dict[str, object]]:
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


def _text(name: str) -> str:
    return resources.files("usassist.sinks.panel").joinpath(name).read_text(encoding="utf-8")
