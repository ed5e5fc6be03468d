"""The head of the page, above all tabs: source and recording, the keys, and the settings of this browser."""

from __future__ import annotations

from typing import Any

import gradio as gr

from usassist.sinks.panel.context import FIRST_LANGUAGE, PageContext
from usassist.sinks.panel.tabs.live import live_text, press
from usassist.words import languages

__all__ = ["build_settings", "build_top"]

# The program of the live view may be a moment later than Gradio's event of loading.
_WAIT = "while (!window.usassist?.settings) await new Promise((done) => setTimeout(done, 20));"


def build_top(context: PageContext) -> None:
    """Build it."""
    with gr.Row(elem_id="us-top"):
        gr.HTML(html_template=live_text("top.html"), js_on_load="", apply_default_css=False, elem_id="us-head")
        press(context, "help")
        press(context, "menu")


def build_settings(context: PageContext, page: gr.Blocks) -> None:
    """Build the settings; they are kept by the browser, and a page that is loaded again begins with them.

    Call it last: with the language, the texts of all components that were built before change.
    """
    add, choices = context.labels.add, context.labels.add_choices
    with gr.Row(elem_id="us-settings"):
        names = [(context.words(code)("language.name"), code) for code in languages()]
        language = gr.Dropdown(names, value=FIRST_LANGUAGE, elem_id="us-language", min_width=150)
        theme = gr.Radio(elem_id="us-theme", value="dark", min_width=200)
        line = gr.Slider(1, 6, value=2, step=0.5, elem_id="us-line", min_width=200)
    add(language, "page", label="settings.language")
    add(theme, "page", label="settings.theme")
    choices(theme, "page", {"dark": "settings.dark", "light": "settings.light", "system": "settings.system"})
    add(line, "page", label="settings.line")
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    language.change(
        context.labels.updates,
        inputs=language,
        outputs=context.labels.components,
        js="(code) => window.usassist.set('language', code)",
        **quiet,
    )
    theme.change(None, inputs=theme, js="(name) => { window.usassist.set('theme', name) }", **quiet)
    line.change(None, inputs=line, js="(px) => { window.usassist.set('line', px) }", **quiet)
    kept = f"async () => {{ {_WAIT} return usassist.settings(); }}"
    page.load(None, outputs=[language, theme, line], js=kept, **quiet)
