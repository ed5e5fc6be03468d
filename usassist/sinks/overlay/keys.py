"""The keys of the window. One table, from which the help and the meaning of a key follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["HELP", "Action", "action_of"]


class Action(StrEnum):
    """What a key does."""

    HELP = "help"
    FREEZE = "freeze"
    OUTLINES = "outlines"
    BOOKMARK = "bookmark"
    WRONG = "wrong"
    MISSED = "missed"
    TRANSVERSE = "transverse"
    LONGITUDINAL = "longitudinal"
    RIGHT = "right"
    LEFT = "left"
    ISTHMUS = "isthmus"
    SNAPSHOT = "snapshot"
    FULL_SCREEN = "full screen"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    codes: tuple[int, ...]
    text: str


_ENTER, _ESCAPE = 13, 27

_KEYS: dict[Action, _Key] = {
    Action.HELP: _Key("H", (ord("h"), ord("?")), "these keys"),
    Action.FREEZE: _Key("F", (ord("f"), ord(" ")), "freeze and unfreeze the display"),
    Action.OUTLINES: _Key("O", (ord("o"),), "outlines on and off"),
    Action.BOOKMARK: _Key("B", (ord("b"),), "bookmark"),
    Action.WRONG: _Key("W", (ord("w"),), "mark: the answer is wrong"),
    Action.MISSED: _Key("M", (ord("m"),), "mark: a nodule was missed"),
    Action.TRANSVERSE: _Key("T", (ord("t"),), "transverse plane"),
    Action.LONGITUDINAL: _Key("G", (ord("g"),), "longitudinal plane"),
    Action.RIGHT: _Key("R", (ord("r"),), "right lobe"),
    Action.LEFT: _Key("L", (ord("l"),), "left lobe"),
    Action.ISTHMUS: _Key("I", (ord("i"),), "isthmus"),
    Action.SNAPSHOT: _Key("S", (ord("s"),), "save this display as a picture"),
    Action.FULL_SCREEN: _Key("Enter", (_ENTER,), "full screen"),
    Action.CLOSE: _Key("Q", (ord("q"), _ESCAPE), "close; Esc leaves the full screen first"),
}

HELP: dict[str, str] = {key.name: key.text for key in _KEYS.values()}
"""Name of each key → what it does."""

_ACTION_BY_CODE = {code: action for action, key in _KEYS.items() for code in key.codes}


def action_of(code: int) -> Action | None:
    """What a key code of ``cv2.waitKey`` does; None = nothing. Capital letters are as small ones."""
    if code < 0:
        return None
    code &= 0xFF
    return _ACTION_BY_CODE.get(code | 0x20 if chr(code).isalpha() else code)
