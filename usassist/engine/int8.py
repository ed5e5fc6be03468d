"""The calibration file of an INT8 artifact, ``calibration/int8/<name>_<version>.toml``; without it INT8 is not used.

The file is data, written once by ``usassist engine quantize`` and never edited. Its keys::

    schema = 1
    calibration_id = "tiny_1.2.3_int8_20261121"
    engine_id = "tiny@1.2.3+0123456789ab"   # the FP32 parent that was quantised
    int8_sha256 = "…"                       # the artifact
    measured_on = "2026-11-21"              # date
    measured_by = "engineer"                # a role, never a name
    method = "how the ranges were set, and how the gate was measured"

    [settings]                              # of the quantiser, texts
    tool = "nncf 3.4.0"

    [gate]                                  # three numbers for each figure of merit
    dice_fp32 = 0.80
    dice_int8 = 0.79
    dice_limit = 0.01                       # it may fall by no more than this

    [[frames]]                              # one table for each set of frames
    set = "which data set and part"
    chosen = "by which rule"
    sha256 = ["…"]                          # of the pixels as they entered the letterbox, row by row, one byte each
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.engine.spec import INT8_ARTIFACT, EngineSpec
from usassist.engine.table import Table
from usassist.errors import EngineSpecError

__all__ = ["FrameSet", "GateFigure", "Int8Calibration", "calibration_path", "calibration_text", "load_calibration"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("calibration_id", "engine_id", "int8_sha256", "measured_on", "measured_by", "method")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFigure:
    """One figure of merit in both precisions.

    Attributes
    ----------
    fp32, int8 : the figure, 0 to 1, more is better
    limit : by how much it may fall
    """

    fp32: float
    int8: float
    limit: float

    @property
    def holds(self) -> bool:
        """True when it falls by no more than the limit; the figures are compared as they are written, to 4 digits."""
        return round(self.fp32, 4) - round(self.int8, 4) <= self.limit + 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSet:
    """Frames that set the ranges.

    Attributes
    ----------
    name : data set and part
    chosen : by which rule
    sha256 : of each frame's pixels, hexadecimal digits
    """

    name: str
    chosen: str
    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Calibration:
    """One calibration file; its keys are at the top of this module."""

    calibration_id: str
    engine_id: str
    int8_sha256: str
    measured_on: str
    measured_by: str
    method: str
    settings: Mapping[str, str]
    gate: Mapping[str, GateFigure]
    frames: tuple[FrameSet, ...]


def calibration_path(spec: EngineSpec) -> Path:
    """Path of the file of an engine: the folders ``engines`` and ``calibration`` are siblings."""
    return spec.folder.parents[2] / "calibration" / "int8" / f"{spec.name}_{spec.version}.toml"


def load_calibration(spec: EngineSpec) -> Int8Calibration:
    """Read the file of an engine's INT8 artifact, and check that it is about this parent and this artifact.

    Raises
    ------
    EngineSpecError
        If it is missing or malformed, belongs to other weights, or its gate does not hold.
    """
    path = calibration_path(spec)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EngineSpecError(
            f"INT8 calibration {path} cannot be read: {error}; install the engine again, or use --precision fp32"
        ) from error
    table = Table(document, str(path))
    if table.take("schema", int) != 1:
        raise EngineSpecError(f"{path} has another schema than 1; update usassist")
    settings, gate = table.take_table("settings"), table.take_table("gate")
    calibration = Int8Calibration(
        **{key: table.take(key, str) for key in _TEXTS},
        settings={key: settings.take(key, str) for key in settings.unread()},
        gate={name: _figure(gate, name) for name in _names(gate, path)},
        frames=tuple(_frames(item, path) for item in table.take("frames", list)),
    )
    for rest in (gate, table):
        rest.finish()
    if calibration.engine_id != spec.engine_id or calibration.int8_sha256 != spec.artifacts[INT8_ARTIFACT][1]:
        raise EngineSpecError(
            f"INT8 calibration {path} is about {calibration.engine_id} and other weights than {spec.engine_id}; "
            "make the INT8 again: usassist engine quantize"
        )
    for name, figure in calibration.gate.items():
        if not figure.holds:
            raise EngineSpecError(
                f"INT8 calibration {path}: {name} falls from {figure.fp32:.4f} to {figure.int8:.4f}, allowed is "
                f"{figure.limit:g}; use --precision fp32"
            )
    return calibration


def calibration_text(calibration: Int8Calibration) -> str:
    """The file's content; the same calibration gives the same bytes."""
    lines = ["schema = 1", *(f"{key} = {_text(getattr(calibration, key))}" for key in _TEXTS), "", "[settings]"]
    lines += [f"{key} = {_text(value)}" for key, value in calibration.settings.items()]
    lines += ["", "[gate]"]
    for name, figure in calibration.gate.items():
        lines += [f"{name}_fp32 = {figure.fp32:.4f}", f"{name}_int8 = {figure.int8:.4f}"]
        lines += [f"{name}_limit = {float(figure.limit)}"]
    for frames in calibration.frames:
        lines += ["", "[[frames]]", f"set = {_text(frames.name)}", f"chosen = {_text(frames.chosen)}", "sha256 = ["]
        lines += [f'  "{digest}",' for digest in frames.sha256]
        lines += ["]"]
    return "\n".join(lines) + "\n"


def _names(gate: Table, path: Path) -> list[str]:
    names = [key.removesuffix("_limit") for key in gate.unread() if key.endswith("_limit")]
    if not names:
        raise EngineSpecError(f"INT8 calibration {path}: gate names no figure; make it again: usassist engine quantize")
    return names


def _figure(gate: Table, name: str) -> GateFigure:
    fp32, int8, limit = (gate.take(f"{name}_{part}", float) for part in ("fp32", "int8", "limit"))
    return GateFigure(fp32=fp32, int8=int8, limit=limit)


def _frames(item: Any, path: Path) -> FrameSet:
    entry = Table(item, f"{path}, frames")
    digests = entry.take("sha256", list)
    frames = FrameSet(name=entry.take("set", str), chosen=entry.take("chosen", str), sha256=tuple(digests))
    entry.finish()
    if not digests or not all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in digests):
        raise EngineSpecError(f"{path}, frames: sha256 must list 64 hexadecimal digits for each frame; make it again")
    return frames


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string
