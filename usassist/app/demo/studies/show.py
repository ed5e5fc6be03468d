"""What shows a study: the values of the components, in the words of a language."""

from __future__ import annotations

import json
import re
from typing import Any

import gradio as gr

from usassist.app.demo.studies.answering import StudyReport
from usassist.app.demo.studies.bundle import read_overview
from usassist.app.demo.studies.desk import YOURS, StudyDesk, StudyOutcome
from usassist.app.demo.studies.findings import Line
from usassist.app.demo.studies.limits import STUDY_LIMITS, StudyLimits
from usassist.app.demo.studies.opened import SeriesLine
from usassist.app.demo.studies.routes import FILES
from usassist.app.demo.studies.table import Module, StudyTab, missing_libraries
from usassist.errors import UsAssistError
from usassist.words import Words

__all__ = [
    "button_key",
    "failure_reason",
    "opened_text",
    "progress_share",
    "progress_text",
    "rows_of",
    "series_choices",
    "show",
    "study_limits_text",
    "tab_note",
    "word_of",
]

_UNITS = {
    "mL": "ml",
    "cm2": "cm²",
    "cm2/m2": "cm²/m²",
    "[hnsf'U]": "HU",
    "1": "",
    "m2": "m²",
    "mm2": "mm²",
    "kg/m2": "kg/m²",
}
"""UCUM code → as people write it."""


def show(desk: StudyDesk, found: StudyOutcome, words: Words) -> list[Any]:
    """Viewer, table, its note, and downloads, in the order of ``StudyParts.shown``."""
    rows = rows_of(found.document.lines if found.document is not None and not found.failed else [], words)
    headers = [words(f"table.{name}") for name in ("measurement", "of", "value", "interval", "note")]
    return [
        gr.update(value=_viewer_value(desk, found, words)),
        gr.update(value={"headers": headers, "data": rows}, visible=bool(rows)),
        _note(found, words, bool(rows)),
        *_downloads(desk, found),
    ]


def rows_of(lines: list[Line], words: Words) -> list[list[str]]:
    """One row per measurement: name, label, value with its unit, 95 % interval, reason for what is missing."""
    return [
        [
            word_of(words, "measure", line.name),
            word_of(words, "label", line.label) if line.label else words("format.none"),
            words("table.none") if line.value is None else _with_unit(line.value, line, words),
            _interval(line, words),
            line.reason,
        ]
        for line in lines
    ]


def word_of(words: Words, group: str, name: str) -> str:
    """The word of a name that an engine or a task gives; the name itself where there is none."""
    key = f"{group}.{name}"
    return words(key) if words.known(key) else name.replace("_", " ")


def button_key(name: str) -> str:
    """Of the word on the button of a file."""
    return "button." + name.replace(".", "_")


def series_choices(series: list[SeriesLine], words: Words) -> list[tuple[str, int]]:
    """What can be chosen of a file with several series."""
    return [
        (words("give.series_line", number=line.number, modality=line.modality, **_size(line, words)), line.number)
        for line in series
    ]


def opened_text(line: SeriesLine, words: Words) -> str:
    """What a study is, and what is unusual about it."""
    text = words("status.opened", **_size(line, words))
    return f"{text} {words('status.problems', problems='; '.join(line.problems))}" if line.problems else text


def study_limits_text(words: Words, limits: StudyLimits = STUDY_LIMITS) -> str:
    """What is taken."""
    return words(
        "give.limits",
        mib=limits.file_bytes // 2**20,
        unpacked=limits.unpacked_bytes // 2**20,
        voxels=limits.voxels // 10**6,
    )


def tab_note(tab: StudyTab, words: Words) -> str:
    """What is not available here, in one line; empty where everything is."""
    if reason := tab.missing:
        told = [words("status.not_here", reason=_plain(reason))]
    else:
        told = [
            words("status.module_not_here", module=words(f"module.{module.name}"), reason=_plain(reason))
            for module in tab.modules
            if (reason := module.missing)
        ]
    if reason := missing_libraries():
        told.append(words("status.libraries", reason=reason))
    return " ".join(told)


def progress_text(report: StudyReport, words: Words) -> str:
    """How far it is."""
    percent = round(100 * report.share)
    if report.stage == "stage":
        return words("status.stage", stage=word_of(words, "stage", report.name), percent=percent)
    if report.stage == "writing":
        return words("status.writing", percent=percent)
    return words(f"status.{report.stage}")


def progress_share(report: StudyReport) -> float:
    """How far it is, 0 to 1; the planes for the viewer take the last tenth."""
    if report.stage == "stage":
        return 0.02 + 0.88 * min(1.0, report.share)
    if report.stage == "writing":
        return 0.9 + 0.1 * report.share
    return report.share if report.stage in ("opening", "making") else 0.01


def failure_reason(error: UsAssistError) -> str:
    """In one line."""
    return " ".join(str(error).split())


def _size(line: SeriesLine, words: Words) -> dict[str, Any]:
    depth, rows, columns = line.shape_zyx
    z, y, x = (words.number(value, 2) for value in line.spacing_zyx_mm)
    spacing = words("give.spacing", z=z, y=y, x=x) if line.is_placed else words("give.spacing_unknown")
    return {"planes": depth, "columns": columns, "rows": rows, "spacing": spacing}


def _with_unit(value: float, line: Line, words: Words) -> str:
    return f"{words.number(value, _digits(line))} {_UNITS.get(line.unit, line.unit)}".rstrip()


def _interval(line: Line, words: Words) -> str:
    if line.value is None or line.u95 is None:
        return words("format.none")
    least = max(0.0, line.value - line.u95) if line.value >= 0 and line.unit != "[hnsf'U]" else line.value - line.u95
    return words.range(least, line.value + line.u95, _digits(line))


def _digits(line: Line) -> int:
    if line.value is None:
        return 0
    return 2 if line.unit == "1" or abs(line.value) < 10 else 1 if abs(line.value) < 100 else 0


def _note(found: StudyOutcome, words: Words, has_rows: bool) -> str:
    if found.reason:
        return words("table.no_result", reason=_plain(found.reason))
    if found.document is None:
        return words("table.not_analysed")
    notes = [] if has_rows else [words("table.empty")]
    return "\n".join(f"- {_plain(line)}" for line in notes + found.document.notes)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~-])", r"\\\1", text)


def _downloads(desk: StudyDesk, found: StudyOutcome) -> list[Any]:
    files = [] if found.failed else found.files
    address = desk.address(found.folder) if files else ""
    return [
        gr.update(link=f"{address}/{name}" if name in files else "", interactive=name in files, visible=name in files)
        for name in FILES
    ]


def _viewer_value(desk: StudyDesk, found: StudyOutcome, words: Words) -> str:
    overview = read_overview(found.folder)
    module = None if found.choice is None else desk.tab.module(found.choice.module)
    title = words("give.yours") if found.item == YOURS else words(f"item.{found.item}")
    return json.dumps(
        {
            "path": desk.address(found.folder),
            "key": found.opened.folder.name,  # of the study, whatever was asked of it
            "title": title if module is None else f"{title} · {words(f'module.{module.name}')}",
            "simulated": found.opened.is_simulated,
            "code": found.state,
            "state": _state(found, module is not None and module.is_measuring, words),
            "detail": _detail(found, module, words),
            "marks_text": "" if module is None else words(f"marks.{module.name}", planes="{planes}", count="{count}"),
            "window": _first_window(found, desk.tab, module),
            "labels": [word_of(words, "label", label.name) for label in overview.labels],
            "presets": [word_of(words, "window", preset.name) for preset in overview.presets],
            "curves": [word_of(words, "label", curve.name) for curve in overview.curves],
            "words": {key: text for key, text in words.texts.items() if key.startswith(("slices.", "format."))},
        }
    )


def _first_window(found: StudyOutcome, tab: StudyTab, module: Module | None) -> int:
    """Number of the window that a study is first seen in."""
    meant = tab.simulated.get(found.item)
    chosen = module or (tab.module(meant) if meant else None)
    names = [preset.name for preset in tab.presets]
    return names.index(chosen.preset) if chosen is not None and chosen.preset in names else 0


def _state(found: StudyOutcome, is_measuring: bool, words: Words) -> str:
    """What a module measures is always there, so it is neither found nor missed."""
    return words("state.measured" if is_measuring and found.state == "finding" else f"state.{found.state}")


def _detail(found: StudyOutcome, module: Module | None, words: Words) -> str:
    if found.state == "no_result":
        return words("detail.no_result", reason=found.reason)
    if found.state in ("none", "no_finding"):
        return words(f"detail.{found.state}")
    lines = [] if module is None or found.document is None else found.document.lines
    line = next((line for line in lines if line.name == (module and module.headline)), None)
    if line is None or line.value is None:
        return ""
    name, value = word_of(words, "measure", line.name), _with_unit(line.value, line, words)
    if line.u95 is None:
        return words("detail.value", name=name, value=value)
    return words("detail.value_interval", name=name, value=value, interval=_interval(line, words))
