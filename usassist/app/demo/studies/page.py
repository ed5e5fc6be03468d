"""A tab for studies: Gradio's components, and the viewer of slices as one component of our own."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import gradio as gr

from usassist.app.demo.studies.desk import YOURS, StudyDesk
from usassist.app.demo.studies.events import PART, StudyParts, choice_labels
from usassist.app.demo.studies.routes import FILES
from usassist.app.demo.studies.show import button_key, study_limits_text, tab_note
from usassist.app.demo.studies.table import Option
from usassist.sinks.panel.context import FIRST_LANGUAGE, Labels
from usassist.sinks.view import STATE_COLOR_RGB
from usassist.words import Words, load_words

__all__ = ["SLICES_CSS", "build_study_tab", "viewer_script"]

_WIDTHS: list[str | int] = ["19%", "14%", "11%", "14%", "42%"]  # of the table of measurements
_VIEWER = ("slices.js", "slices_place.js", "slices_draw.js", "slices_controls.js")  # one program, in this order


def _text(name: str) -> str:
    return resources.files("usassist.app.demo").joinpath(name).read_text(encoding="utf-8")


SLICES_CSS = _text("slices.css")


def build_study_tab(desk: StudyDesk, labels: Labels, language: gr.Dropdown) -> StudyParts:
    """The tab of one modality. Called inside the tabs of the page."""
    words, tab, code = load_words(FIRST_LANGUAGE, PART), desk.tab, desk.tab.code.lower()
    with gr.Tab(tab.title, elem_id=f"ud-{code}") as opened:
        note = gr.Markdown(tab_note(tab, words), elem_id=f"ud-{code}-note")
        with gr.Row(elem_classes="ud-study-main"):
            with gr.Column(scale=1, min_width=300):
                items = [(words(f"item.{name}"), name) for name in tab.simulated] + [(words("give.yours"), YOURS)]
                item = gr.Radio(items, value=next(iter(tab.simulated)), elem_id=f"ud-{code}-item")
                labels.add(item, PART, label="give.simulated")
                upload = gr.File(file_count="single", type="filepath", height=190, elem_id=f"ud-{code}-upload")
                labels.add(upload, PART, label="give.upload")
                limits = gr.Markdown(study_limits_text(words))
                series = gr.Dropdown([], visible=False, elem_id=f"ud-{code}-series")
                labels.add(series, PART, label="give.series")
                modules = [(words(f"module.{module.name}"), module.name) for module in tab.modules]
                module = gr.Radio(modules, value=tab.modules[0].name, elem_id=f"ud-{code}-module")
                labels.add(module, PART, label="setup.module")
                shown = {option.name for option in tab.modules[0].options}
                options = {
                    option.name: _build_option(option, labels, words, code, visible=option.name in shown)
                    for option in tab.options
                }
                with gr.Row():
                    answer = gr.Button(
                        variant="primary", elem_id=f"ud-{code}-answer", interactive=not tab.modules[0].missing
                    )
                    labels.add(answer, PART, value="button.answer")
                    stop = labels.add(gr.Button(min_width=90, elem_id=f"ud-{code}-stop"), PART, value="button.stop")
                status = gr.Markdown(words("status.choose"), elem_id=f"ud-{code}-status", min_height=70)
            with gr.Column(scale=3, min_width=320):
                viewer = gr.HTML(
                    value="",
                    html_template=_text("slices.html"),
                    js_on_load=viewer_script(),
                    apply_default_css=False,
                    elem_id=f"ud-{code}-viewer",
                )
        with gr.Row():
            downloads = tuple(_build_download(name, labels) for name in FILES)
        heading = gr.Markdown(elem_classes="ud-study-heading")
        labels.add(heading, PART, value="table.heading_md")
        table_note = gr.Markdown(elem_id=f"ud-{code}-table-note")
        table = gr.Dataframe(
            interactive=False,
            visible=False,
            max_height=480,
            wrap=True,
            column_widths=_WIDTHS,
            elem_id=f"ud-{code}-table",
            show_label=False,
        )
    return StudyParts(
        language=language,
        tab=opened,
        note=note,
        item=item,
        upload=upload,
        series=series,
        limits=limits,
        module=module,
        options=options,
        answer=answer,
        stop=stop,
        status=status,
        viewer=viewer,
        table=table,
        table_note=table_note,
        downloads=downloads,
    )


def _build_option(option: Option, labels: Labels, words: Words, code: str, *, visible: bool) -> Any:
    name = f"ud-{code}-{option.name}"
    component: Any
    if option.choices:
        choices = choice_labels(option, words)
        component = gr.Dropdown(choices, value=option.default, visible=visible, elem_id=name)
    else:
        component = gr.Textbox("", visible=visible, max_length=8, placeholder="…", elem_id=name)
    return labels.add(component, PART, label=f"setup.{option.name}")


def _build_download(name: str, labels: Labels) -> gr.Button:
    button = gr.Button(size="sm", interactive=False, visible=False, link_target="_blank")
    labels.add(button, PART, value=button_key(name))
    return button


def viewer_script() -> str:
    """The program of the viewer; it reads ``element``, ``props`` and ``watch`` of the component around it."""
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    return "\n".join(_text(name) for name in _VIEWER).replace("@STATE_COLORS@", json.dumps(colors))
