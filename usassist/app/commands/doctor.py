"""Look whether everything that usassist needs is here, and say what to do where it is not."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.commands.speed_report import processor_words, speed_words
from usassist.calibrate import load_score_calibration
from usassist.common.missing_library import explain_import_error
from usassist.common.process_tuning import usable_cpus
from usassist.config import has_display, resource_dir, runtime_dir
from usassist.engine import EngineSpec
from usassist.errors import UsAssistError

__all__ = ["Finding", "examine", "print_findings"]

_LIBRARIES = {
    "cv2": "opencv-python",
    "numpy": "numpy",
    "av": "av",
    "zmq": "pyzmq",
    "msgspec": "msgspec",
    "gradio": "gradio",
}
_CODECS = ("magicyuv", "ffv1", "mpeg4")
_MIN_FREE_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : its name
    ok : it is as it should be
    detail : what was found, or what to do
    needed : the main job needs it
    """

    what: str
    ok: bool
    detail: str
    needed: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self)


def examine() -> list[Finding]:
    """Look at everything; nothing here raises."""
    findings = [Finding(what="python", ok=True, detail=f"{platform.python_version()} on {platform.machine()}")]
    findings += [_library(module, package) for module, package in _LIBRARIES.items()]
    for what, look, needed in (
        ("codecs", _codecs, True),
        ("socket folder", _sockets, True),
        ("demo clip", _demo_clip, True),
        ("free disk", _free_disk, True),
        ("processor", _processor, True),
        ("display", _display, False),
    ):
        findings.append(_guarded(what, look, needed))
    try:
        findings += _engines()
    except (UsAssistError, ImportError) as error:
        findings.append(Finding(what="engines", ok=False, detail=str(error)))
    return findings


def print_findings(findings: list[Finding]) -> None:
    """Show them as a table."""
    table = Table("", "what", "found", title="usassist doctor", title_justify="left")
    for item in findings:
        mark = "[green]ok[/]" if item.ok else "[red]no[/]" if item.needed else "[yellow]--[/]"
        table.add_row(mark, escape(item.what), escape(item.detail))
    Console().print(table)


def _library(module: str, package: str) -> Finding:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Finding(what=package, ok=False, detail=explain_import_error(error))
    return Finding(what=package, ok=True, detail=metadata.version(package))


def _guarded(what: str, look: Callable[[], tuple[bool, str]], needed: bool) -> Finding:
    try:
        ok, detail = look()
    except (UsAssistError, OSError, ImportError) as error:
        ok, detail = False, str(error)
    return Finding(what=what, ok=ok, detail=detail, needed=needed)


def _codecs() -> tuple[bool, str]:
    from usassist.common.pyav import av

    missing = [name for name in _CODECS if name not in av.codecs_available]
    if missing:
        return False, f"this build of PyAV lacks {', '.join(missing)}; run: pip install --force-reinstall av"
    return True, ", ".join(_CODECS)


def _sockets() -> tuple[bool, str]:
    return True, str(runtime_dir())


def _demo_clip() -> tuple[bool, str]:
    clip = resource_dir("demo") / "clip.mkv"
    return clip.is_file(), str(clip) if clip.is_file() else f"{clip} is missing; install usassist again"


def _free_disk() -> tuple[bool, str]:
    free = shutil.disk_usage(Path.cwd()).free
    return free > _MIN_FREE_BYTES, f"{free / 2**30:.1f} GiB in this folder; the bundled clip records 0.3 GiB a minute"


def _processor() -> tuple[bool, str]:
    usable = usable_cpus()
    return usable >= 2, f"{usable} usable of {processor_words()}; at least 2 are needed for 30 frames a second"


def _display() -> tuple[bool, str]:
    if has_display():
        return True, "there is one; usassist overlay can open a window"
    return False, "none; use --overlay-video, or the panel in a browser"


def _engines() -> list[Finding]:
    """Open every engine with every back end, in every precision that `auto` would take there."""
    from usassist.engine import candidates, list_backends, list_engines, why_not

    specs = list_engines()
    if not specs:
        return [Finding(what="engines", ok=False, detail="there is none; install usassist again")]
    findings: list[Finding] = []
    missing: dict[str, list[str]] = {}
    for backend in list_backends():
        reason = why_not(backend)
        if reason is not None:
            missing.setdefault(reason, []).append(backend)
        elif backend != "null":
            findings += [_answer(spec, *pair) for spec in specs for pair in candidates(spec, backend)]
    findings += [_order(spec) for spec in specs]
    for reason, names in missing.items():
        what = f"back end{'s' if len(names) > 1 else ''} {', '.join(names)}"
        findings.append(Finding(what=what, ok=False, detail=reason, needed=False))
    return findings + [_scores(spec.engine_id) for spec in specs]


def _order(spec: EngineSpec) -> Finding:
    """Which back end `auto` takes on this processor: measured now where no order is kept."""
    from usassist.engine.speed import load_speeds, measure_speeds

    what = f"order for {spec.name}"
    try:
        speeds = load_speeds(spec) or measure_speeds(spec)
    except UsAssistError as error:
        return Finding(what=what, ok=False, detail=str(error), needed=False)
    return Finding(what=what, ok=speeds.rows[0].rejected is None, detail=speed_words(speeds), needed=False)


def _answer(spec: EngineSpec, backend: str, precision: str) -> Finding:
    """Whether an engine answers its golden input; where its INT8 does not, its parent still runs.

    What comes with the package is needed; what came beside it is not.
    """
    from usassist.engine.opening import open_checked

    parent = precision == spec.precision
    needed = parent and backend in ("openvino", "onnxruntime")
    what = f"back end {backend}" if parent else f"back end {backend} {precision}"
    try:
        with open_checked(spec, backend, 0, precision) as engine:
            detail = f"{spec.engine_id} meets its golden output within {engine.verify():.2g}"
    except UsAssistError as error:
        return Finding(what=what, ok=False, detail=str(error), needed=needed)
    return Finding(what=what, ok=True, detail=detail if parent else f"{detail} on average")


def _scores(engine_id: str) -> Finding:
    """Whether the scores of an engine are calibrated; it runs without, but not with a broken file."""
    name = engine_id.partition("+")[0]
    try:
        scores = load_score_calibration(engine_id)
    except UsAssistError as error:
        return Finding(what=f"scores of {name}", ok=False, detail=str(error))
    if scores is None:
        return Finding(what=f"scores of {name}", ok=False, detail="not calibrated; shown as they are", needed=False)
    points = ", ".join(scores.points)
    return Finding(what=f"scores of {name}", ok=True, detail=f"{scores.calibration_id}; operating points {points}")
