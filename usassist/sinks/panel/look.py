"""Colours and fonts of Gradio's components, the same as those of the live view (``live/live.css``)."""

from __future__ import annotations

import gradio as gr

__all__ = ["make_theme"]


def make_theme() -> gr.themes.Base:
    """The theme. System fonts only: the default ones would be loaded from another host."""
    paper, plate, ink, soft, line, edge = "#f3f5f7", "#ffffff", "#12171c", "#4c5864", "#cfd6dc", "#76828e"
    dark_paper, dark_plate, dark_ink, dark_soft, dark_line, dark_edge = (
        "#0a0c0f",
        "#12161b",
        "#e3e8ed",
        "#9aa7b3",
        "#232a32",
        "#5b6774",
    )
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_background_fill=paper,
        body_background_fill_dark=dark_paper,
        body_text_color=ink,
        body_text_color_dark=dark_ink,
        body_text_color_subdued=soft,
        body_text_color_subdued_dark=dark_soft,
        block_background_fill=plate,
        block_background_fill_dark=dark_plate,
        block_border_color=line,
        block_border_color_dark=dark_line,
        block_label_text_color=soft,
        block_label_text_color_dark=dark_soft,
        block_title_text_color=ink,
        block_title_text_color_dark=dark_ink,
        block_info_text_color=soft,
        block_info_text_color_dark=dark_soft,
        border_color_primary=line,
        border_color_primary_dark=dark_line,
        input_background_fill=plate,
        input_background_fill_dark=dark_paper,
        input_border_color=edge,
        input_border_color_dark=dark_edge,
        input_placeholder_color=soft,
        input_placeholder_color_dark=dark_soft,
        table_text_color=ink,
        table_text_color_dark=dark_ink,
    )
