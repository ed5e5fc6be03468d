"""What ``usassist doctor`` checks: whether everything that usassist needs is here, and what to do where it is not.

Nothing but this package is imported before it is checked, so that a broken installation is reported and not raised.
"""

from __future__ import annotations

import dataclasses
import importlib
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usassist.common.missing_library import explain_import_error
from usassist.common.process_tuning import usable_cpus
from usassist.config import has_display, resource_dir, runtime_dir
from usassist.errors import UsAssistError

if TYPE_CHECKING:
    from usassist.engine import EngineSpec

__all__ = ["Check", "run_self_check"]

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
_NEEDED_BACKENDS = ("openvino", "onnxruntime")  # they come with the package
_BROKEN = (UsAssistError, ImportError, OSError, RuntimeError, ValueError)  # what a broken installation raises


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of one check.

    Attributes
    ----------
    what : was checked
    ok : it is as it should be
    detail : what was found; what to do where that is not right
    needed : the main job needs it
    """

    what: str
    ok: bool
    detail: str
    needed: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self)


def run_self_check() -> list[Check]:
    """Check everything; what is broken is reported, not raised."""
    checks = [Check(what="python", ok=True, detail=f"{platform.python_version()} on {platform.machine()}")]
    checks += [_check_library(module, package) for module, package in _LIBRARIES.items()]
    for what, check, needed in (
        ("codecs", _check_codecs, True),
        ("socket folder", _check_sockets, True),
        ("demo clip", _check_demo_clip, True),
        ("free disk", _check_free_disk, True),
        ("processor", _check_processor, True),
        ("display", _check_display, False),
    ):
        checks.append(_guard(what, check, needed))
    try:
        checks += _check_engines()
    except _BROKEN as error:
        checks.append(Check(what="engines", ok=False, detail=_explain(error)))
    return checks


def _explain(error: Exception) -> str:
    return explain_import_error(error) if isinstance(error, ImportError) else str(error)


def _guard(what: str, check: Callable[[], tuple[bool, str]], needed: bool) -> Check:
    try:
        ok, detail = check()
    except _BROKEN as error:
        ok, detail = False, _explain(error)
    return Check(what=what, ok=ok, detail=detail, needed=needed)


def _check_library(module: str, package: str) -> Check:
    try:
        importlib.import_module(module)
        return Check(what=package, ok=True, detail=metadata.version(package))
    except ImportError as error:  # also where its metadata are missing
        return Check(what=package, ok=False, detail=explain_import_error(error))


def _check_codecs() -> tuple[bool, str]:
    from usassist.common.pyav import av

    missing = [name for name in _CODECS if name not in av.codecs_available]
    if missing:
        return False, f"this build of PyAV lacks {', '.join(missing)}; run: pip install --force-reinstall av"
    return True, ", ".join(_CODECS)


def _check_sockets() -> tuple[bool, str]:
    return True, str(runtime_dir())


def _check_demo_clip() -> tuple[bool, str]:
    from usassist.calibrate import load_geometry
    from usassist.sources import open_source

    clip = resource_dir("demo") / "clip.mkv"
    if not clip.is_file():
        return False, f"{clip} is missing; install usassist again"
    geometry = load_geometry("phantom_demo")
    with open_source(f"clip:{clip}", session_id="doctor", fast=True, count=1, geometry=geometry) as source:
        read = sum(1 for _ in source.frames())
    return bool(read), str(clip) if read else f"no frame of {clip} can be read; install usassist again"


def _check_free_disk() -> tuple[bool, str]:
    free_bytes = shutil.disk_usage(Path.cwd()).free
    detail = f"{free_bytes / 2**30:.1f} GiB in this folder; the bundled clip records 0.3 GiB a minute"
    if free_bytes > _MIN_FREE_BYTES:
        return True, detail
    return False, f"{detail}; free some space, or record to another disk with --out"


def _check_processor() -> tuple[bool, str]:
    from usassist.app.runtime.describe_speed import describe_processor

    usable = usable_cpus()
    detail = f"{usable} usable of {describe_processor()}; at least 2 are needed for 30 frames a second"
    return usable >= 2, detail if usable >= 2 else f"{detail}; give this machine, or this process, more processors"


def _check_display() -> tuple[bool, str]:
    if has_display():
        return True, "there is one; usassist overlay can open a window"
    return False, "none; use --overlay-video, or the panel in a browser"


def _check_engines() -> list[Check]:
    """Open every engine with every back end, in every precision that `auto` would take there."""
    from usassist.engine import candidates, list_backends, list_engines, why_not

    specs = list_engines()
    if not specs:
        return [Check(what="engines", ok=False, detail="there is none; install usassist again")]
    checks: list[Check] = []
    unavailable: dict[str, list[str]] = {}
    for backend in list_backends():
        reason = why_not(backend)
        if reason is not None and backend in _NEEDED_BACKENDS:
            checks.append(Check(what=f"back end {backend}", ok=False, detail=reason))
        elif reason is not None:
            unavailable.setdefault(reason, []).append(backend)
        elif backend != "null":
            checks += [_check_answer(spec, *pair) for spec in specs for pair in candidates(spec, backend)]
    checks += [_check_order(spec) for spec in specs]
    for reason, names in unavailable.items():
        what = f"back end{'s' if len(names) > 1 else ''} {', '.join(names)}"
        checks.append(Check(what=what, ok=False, detail=reason, needed=False))
    return checks + [_check_scores(spec.engine_id) for spec in specs]


def _check_answer(spec: EngineSpec, backend: str, precision: str) -> Check:
    """Whether an engine meets its golden output; without its INT8 it still runs in FP32.

    Back ends that come with the package are needed; others are not.
    """
    from usassist.engine.opening import open_checked

    parent = precision == spec.precision
    needed = parent and backend in _NEEDED_BACKENDS
    what = f"back end {backend}" if parent else f"back end {backend} {precision}"
    try:
        with open_checked(spec, backend, 0, precision) as engine:
            detail = f"{spec.engine_id} meets its golden output within {engine.verify():.2g}"
    except _BROKEN as error:
        return Check(what=what, ok=False, detail=_explain(error), needed=needed)
    return Check(what=what, ok=True, detail=detail if parent else f"{detail} on average")


def _check_order(spec: EngineSpec) -> Check:
    """Which back end `auto` takes on this processor: measured now where no order is kept."""
    from usassist.app.runtime.describe_speed import describe_speeds
    from usassist.engine.speed import load_speeds, measure_speeds

    what = f"order for {spec.name}"
    try:
        speeds = load_speeds(spec) or measure_speeds(spec)
    except _BROKEN as error:
        return Check(what=what, ok=False, detail=_explain(error), needed=False)
    return Check(what=what, ok=speeds.rows[0].rejected is None, detail=describe_speeds(speeds), needed=False)


def _check_scores(engine_id: str) -> Check:
    """Whether the scores of an engine are calibrated; it runs without, but not with a broken file."""
    from usassist.calibrate import load_score_calibration

    name = engine_id.partition("+")[0]
    try:
        scores = load_score_calibration(engine_id)
    except _BROKEN as error:
        return Check(what=f"scores of {name}", ok=False, detail=_explain(error))
    if scores is None:
        return Check(what=f"scores of {name}", ok=False, detail="not calibrated; shown as they are", needed=False)
    points = ", ".join(scores.points)
    return Check(what=f"scores of {name}", ok=True, detail=f"{scores.calibration_id}; operating points {points}")
