"""The page: Gradio components and events, and the player as one component of our own.

Importing this module imports Gradio, which takes seconds and reads the environment; ``serve`` sets that up first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import gradio as gr

from usassist.app.demo.about import about_text
from usassist.app.demo.choices import points_of, precisions_of
from usassist.app.demo.desk import YOURS, Desk
from usassist.app.demo.events import PART, Parts, connect
from usassist.app.demo.limits import LIMITS
from usassist.app.demo.status import limits_text
from usassist.app.demo.studies.desk import StudyDesk
from usassist.app.demo.studies.events import connect_studies
from usassist.app.demo.studies.page import SLICES_CSS, build_study_tab
from usassist.engine import EngineSpec, list_engines
from usassist.modalities import Kind, Modality, list_modalities
from usassist.sinks.panel.context import FIRST_LANGUAGE, Labels
from usassist.sinks.panel.look import make_theme
from usassist.sinks.view import STATE_COLOR_RGB
from usassist.words import languages, load_words

__all__ = ["MOUNT", "build_demo"]

_PLAYER = ("player.js", "player_show.js", "player_controls.js")  # one program, in this order
_DRAWING = ("sizes.js", "draw.js")  # of the live page

# Of `launch` and of `mount_gradio_app` alike.
MOUNT: dict[str, Any] = {
    "footer_links": [],
    "run_history": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "pwa": False,
    "show_error": False,
    "max_file_size": LIMITS.file_bytes,
    "theme": make_theme(),
    "css": resources.files("usassist.app.demo").joinpath("player.css").read_text(encoding="utf-8") + SLICES_CSS,
}


def build_demo(desk: Desk, study_desks: Sequence[StudyDesk] = ()) -> gr.Blocks:
    """The page.

    Parameters
    ----------
    desk : does what the events ask for
    study_desks : the same for each tab of studies
    """
    labels = Labels()
    words = load_words(FIRST_LANGUAGE, PART)
    blocks = gr.Blocks(title=words("page.title"), analytics_enabled=False, fill_width=True, delete_cache=(300, 1800))
    with blocks:
        with gr.Row():
            with gr.Column(scale=5):
                labels.add(gr.HTML(elem_id="ud-head"), PART, value="page.head")
            names = [(load_words(code, PART)("language.name"), code) for code in languages()]
            with gr.Column(scale=1, min_width=150):
                language = gr.Dropdown(names, value=FIRST_LANGUAGE, elem_id="ud-language", container=False)
                labels.add(language, PART, label="page.language")
        with gr.Tabs():
            for modality in _modalities():
                with gr.Tab(modality.title):
                    parts = _build_modality(modality, desk, labels, language)
            studies = [(item, build_study_tab(item, labels, language)) for item in study_desks]
            with gr.Tab() as about:
                labels.add(about, PART, label="page.about")
                about_page = gr.Markdown(about_text(words))
        connect(blocks, desk, labels, parts, about_page)
        for study_desk, study_parts in studies:
            connect_studies(study_desk, study_parts)
    blocks.queue(max_size=30, default_concurrency_limit=8)
    return blocks


def _modalities() -> list[Modality]:
    """Those that this page can show: streams that can be run."""
    return [row for row in list_modalities().values() if row.is_available and row.kind is Kind.STREAM]


def _build_modality(modality: Modality, desk: Desk, labels: Labels, language: gr.Dropdown) -> Parts:
    words = load_words(FIRST_LANGUAGE, PART)
    engines = [spec for spec in list_engines() if spec.modality == modality.code]
    with gr.Row(elem_id="ud-main"):
        with gr.Column(scale=1, min_width=300):
            items = [(words(f"item.{name}"), name) for name in desk.items] + [(words("give.yours"), YOURS)]
            item = gr.Radio(items, value=next(iter(desk.items)), elem_id="ud-item")
            labels.add(item, PART, label="give.bundled")
            upload = gr.File(file_count="single", type="filepath", height=160, elem_id="ud-upload")
            labels.add(upload, PART, label="give.upload")
            limits = gr.Markdown(limits_text(words))
            with gr.Row():
                answer = labels.add(gr.Button(variant="primary", elem_id="ud-answer"), PART, value="button.answer")
                stop = labels.add(gr.Button(min_width=90, elem_id="ud-stop"), PART, value="button.stop")
            status = gr.Markdown(words("status.choose"), elem_id="ud-status", min_height=70)
            with gr.Accordion(open=False) as setup:
                labels.add(setup, PART, label="setup.heading")
                a = _build_choice(engines, desk, labels, "")
                compare = labels.add(gr.Checkbox(value=False), PART, label="setup.compare")
                with gr.Group(visible=False) as second:
                    b = _build_choice(engines, desk, labels, "_b")
        with gr.Column(scale=3, min_width=320):
            player = gr.HTML(
                value="",
                seek="",
                html_template=_text("player.html"),
                js_on_load=_player_script(),
                apply_default_css=False,
                elem_id="ud-player",
            )
    with gr.Row():
        downloads = [_build_download(name, labels) for name in ("csv", "report", "csv_b", "report_b")]
    note = gr.Markdown(elem_id="ud-note")
    with gr.Tabs():
        tables = {name: _build_table(name, labels) for name in ("nodules", "frames", "differences")}
    return Parts(
        language=language,
        item=item,
        upload=upload,
        limits=limits,
        a=a,
        compare=compare,
        second=second,
        b=b,
        answer=answer,
        stop=stop,
        status=status,
        player=player,
        downloads=tuple(downloads),
        note=note,
        nodules=tables["nodules"][1],
        frames=tables["frames"][1],
        differences_tab=tables["differences"][0],
        differences=tables["differences"][1],
    )


def _build_choice(
    engines: list[EngineSpec], desk: Desk, labels: Labels, suffix: str
) -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """Engine, precision and operating point."""
    chosen = desk.shelf.choice
    names = [f"{spec.name}@{spec.version}" for spec in engines]
    value = chosen.engine if chosen.engine in names else names[0]
    engine = gr.Dropdown(names, value=value)
    precision = gr.Dropdown(precisions_of(value), value=chosen.precision)
    point = gr.Dropdown(points_of(value), value=chosen.point)
    for component, key in ((engine, "engine"), (precision, "precision"), (point, "point")):
        labels.add(component, PART, label=f"setup.{key}{suffix}")
    return engine, precision, point


def _build_download(name: str, labels: Labels) -> gr.Button:
    button = gr.Button(size="sm", interactive=False, visible=not name.endswith("_b"), link_target="_blank")
    labels.add(button, PART, value=f"button.{name}")
    return button


def _build_table(name: str, labels: Labels) -> tuple[gr.Tab, gr.Dataframe]:
    with gr.Tab(visible=name != "differences") as tab:
        labels.add(tab, PART, label=f"table.{name}")
        table = gr.Dataframe(interactive=False, max_height=420, elem_id=f"ud-{name}", show_label=False)
    return tab, table


def _player_script() -> str:
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    live = resources.files("usassist.sinks.panel").joinpath("live")
    drawing = "\n".join(live.joinpath(name).read_text(encoding="utf-8") for name in _DRAWING)
    player = "\n".join(_text(name) for name in _PLAYER)
    return player.replace("@STATE_COLORS@", json.dumps(colors)).replace("@DRAWING@", drawing)


def _text(name: str) -> str:
    return resources.files("usassist.app.demo").joinpath(name).read_text(encoding="utf-8")
