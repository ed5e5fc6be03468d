"""The fault plan: which faults the fault player shows, and when.

A fault file is TOML: ``schema = 1`` and one table ``[[fault]]`` per fault, with ``kind``, ``at_s``, ``for_s`` and the
settings of that kind. ``SETTINGS`` has the settings of each kind, with their defaults.

Faults may overlap if both can be true at once: a menu over a frozen image, damaged packets while the frame rate is
low. Two faults of one group exclude each other, and a lost signal excludes all faults of the screen.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

from usassist.errors import UsageError
from usassist.phantom.config import LAYOUTS

__all__ = ["GROUPS", "KINDS", "SETTINGS", "Fault", "FaultPlan", "load_faults"]

_SCHEMA = 1
_MAX_S = 7 * 86400.0

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "motion": ("freeze", "paused_probe"),  # motion of the scan image
        "layout": ("depth", "zoom", "layout", "dual", "resolution"),  # layout of the screen
        "cover": ("colour_box", "menu"),  # drawn over the image
        "signal": ("unplug", "black", "noise", "no_signal", "repeat"),  # the screen as a whole
        "stream": ("frame_rate", "corrupt"),  # transmission
        "frame": ("glitch",),  # one frame
    }
)
_GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
KINDS: tuple[str, ...] = tuple(_GROUP_OF)

# kind → setting → default; a tuple lists the choices of a string, the default first
SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "freeze": {"grabber_noise": True},  # False: a digital grabber, frozen frames are identical
        "paused_probe": {},
        "depth": {"depth_mm": 60.0},
        "zoom": {"factor": 1.6},
        "layout": {"layout": ("left_panel", *(name for name in LAYOUTS if name != "left_panel"))},
        "dual": {},
        "resolution": {"size_hw_px": [576, 720]},
        "colour_box": {},
        "menu": {},
        "unplug": {"how": ("silent", "closed")},  # closed: connections are closed too; UDP has none
        "black": {},
        "noise": {},
        "no_signal": {"text": "NO SIGNAL"},
        "repeat": {},
        # fewer: fewer frames are sent; repeated: the scanner draws fewer, and the grabber repeats each
        "frame_rate": {"rate_hz": 8.0, "how": ("fewer", "repeated")},
        "corrupt": {"share": 0.02},  # of the packets of the encoded stream; no effect without sockets
        "glitch": {"shows": ("torn", "black", "noise")},
    }
)
_RANGES = {"depth_mm": (15.0, 120.0), "factor": (1.05, 4.0), "rate_hz": (1.0, 120.0), "share": (0.0, 1.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind : one of ``KINDS``
    at_s : start, s from the first frame
    for_s : duration, s; None for ``glitch``, which is one frame
    settings : of this kind; defaults are filled in
    """

    kind: str
    at_s: float
    for_s: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all values and fill in the defaults."""
        if self.kind not in KINDS:
            raise UsageError(f"there is no fault of kind {self.kind!r}; choose one of {', '.join(KINDS)}")
        if not _is_number(self.at_s) or not 0 <= self.at_s <= _MAX_S:
            raise UsageError(f"fault {self.kind}: at_s must lie in 0 to {_MAX_S:g} seconds, got {self.at_s!r}")
        if self.kind == "glitch":
            if self.for_s is not None:
                raise UsageError("fault glitch is one frame long; leave out for_s")
        elif not _is_number(self.for_s) or not 0 < self.for_s <= _MAX_S:  # type: ignore[operator]
            raise UsageError(f"fault {self.kind}: for_s must be a number of seconds above 0, got {self.for_s!r}")
        object.__setattr__(self, "settings", MappingProxyType(_fill_defaults(self.kind, self.settings)))

    @property
    def group(self) -> str:
        """Its group, a key of ``GROUPS``."""
        return _GROUP_OF[self.kind]

    @property
    def until_s(self) -> float:
        """End, s; equal to `at_s` for a glitch."""
        return self.at_s + (self.for_s or 0.0)

    def numbers(self, rate_hz: float) -> range:
        """The numbers of the affected frames at a frame rate."""
        first = math.ceil(self.at_s * rate_hz - 1e-6)
        if self.for_s is None:
            return range(first, first + 1)
        return range(first, max(math.ceil(self.until_s * rate_hz - 1e-6), first + 1))

    def as_dict(self) -> dict[str, Any]:
        """Kind, times and settings, for a log."""
        times = {"at_s": self.at_s} if self.for_s is None else {"at_s": self.at_s, "for_s": self.for_s}
        return {"kind": self.kind, **times, **self.settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """The faults of one run, in order of their start.

    Raises
    ------
    UsageError
        If two faults overlap that exclude each other.
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        """Sort, and check for overlaps."""
        object.__setattr__(self, "faults", tuple(sorted(self.faults, key=lambda fault: fault.at_s)))
        for a, b in combinations(self.faults, 2):
            if _exclude_each_other(a, b):
                raise UsageError(
                    f"fault {a.kind} at {a.at_s:g} s and fault {b.kind} at {b.at_s:g} s exclude each other; "
                    f"start the second after {a.until_s:g} s"
                )

    @property
    def end_s(self) -> float:
        """End of the last fault, s."""
        return max((fault.until_s for fault in self.faults), default=0.0)

    @classmethod
    def all_kinds(cls, *, for_s: float = 3.0, gap_s: float = 4.0) -> FaultPlan:
        """Every kind in turn, with normal scanning before, between and after them.

        ``freeze``, ``unplug`` and ``frame_rate`` occur in both of their variants.
        """
        steps: list[tuple[str, dict[str, Any]]] = [(kind, {}) for kind in KINDS]
        steps += [
            ("freeze", {"grabber_noise": False}),
            ("unplug", {"how": "closed"}),
            ("frame_rate", {"how": "repeated"}),
        ]
        steps.sort(key=lambda step: KINDS.index(step[0]))
        at_s, faults = gap_s, []
        for kind, settings in steps:
            length_s = None if kind == "glitch" else for_s
            faults.append(Fault(kind=kind, at_s=at_s, for_s=length_s, settings=settings))
            at_s += (length_s or 0.0) + gap_s
        return cls(faults=tuple(faults))


def load_faults(path: str | Path) -> FaultPlan:
    """Read a fault file (see the module).

    Raises
    ------
    UsageError
        If the file cannot be read, has an unknown key or kind, a value out of range, or faults that exclude each other.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the fault file {path.name} cannot be read: {reason}; check the path and the file") from error
    if document.get("schema") != _SCHEMA:
        raise UsageError(
            f"fault file {path.name}: schema is {document.get('schema')!r}; write schema = {_SCHEMA} at the top"
        )
    unknown = sorted(document.keys() - {"schema", "fault"})
    if unknown:
        raise UsageError(f"fault file {path.name}: unknown key {unknown[0]}; known: schema, fault")
    tables = document.get("fault", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"fault file {path.name}: faults are tables; write [[fault]] above each of them")
    try:
        return FaultPlan(faults=tuple(_parse_fault(table) for table in tables))
    except UsageError as error:
        raise UsageError(f"fault file {path.name}: {error}") from error


def _parse_fault(table: dict[str, Any]) -> Fault:
    own = {key: value for key, value in table.items() if key not in ("kind", "at_s", "for_s")}
    missing = [key for key in ("kind", "at_s") if key not in table]
    if missing:
        raise UsageError(f"a fault has no {missing[0]}; every [[fault]] needs kind, at_s and for_s")
    return Fault(kind=table["kind"], at_s=table["at_s"], for_s=table.get("for_s"), settings=own)


def _fill_defaults(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings of one kind and fill in the defaults."""
    known = SETTINGS[kind]
    settings = {name: value[0] if isinstance(value, tuple) else value for name, value in known.items()}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"fault {kind}: unknown key {name}; known: {', '.join(('kind', 'at_s', 'for_s', *known))}")
        default = known[name]
        where = f"fault {kind}: {name}"
        if isinstance(default, tuple):
            if value not in default:
                raise UsageError(f"{where} must be one of {', '.join(default)}, got {value!r}")
        elif name == "size_hw_px":
            fits = isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value)
            if not fits or not (240 <= value[0] <= 4320 and 320 <= value[1] <= 7680) or value[0] % 2 or value[1] % 2:
                raise UsageError(f"{where} must be [height, width], even, 240 to 4320 by 320 to 7680 px, got {value!r}")
        elif name in _RANGES:
            low, high = _RANGES[name]
            if not _is_number(value) or not low <= value <= high:
                raise UsageError(f"{where} must lie in {low:g} to {high:g}, got {value!r}")
        elif type(value) is not type(default):
            raise UsageError(f"{where} must be {type(default).__name__}, got {value!r}")
        settings[name] = value
    return settings


def _exclude_each_other(a: Fault, b: Fault) -> bool:
    if not (a.at_s <= b.at_s < a.until_s or a.at_s == b.at_s):
        return False
    signal = "signal" in (a.group, b.group) and {a.group, b.group} != {"signal", "stream"}
    return signal or a.kind == b.kind or (a.group == b.group and a.group not in ("cover", "stream"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
