"""The tab about usassist: what it is for, and what it is not."""

from __future__ import annotations

import gradio as gr

from usassist.sinks.panel.context import PageContext

__all__ = ["build_about_tab"]


def build_about_tab(context: PageContext) -> None:
    """Fill the tab."""
    context.labels.add(gr.Markdown(), "page", value="about.text")
