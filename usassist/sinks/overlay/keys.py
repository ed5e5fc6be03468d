"""The keys of the window. One table, from which the help and the meaning of a key follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from usassist.words import Words

__all__ = ["Action", "action_of", "help_of"]


class Action(StrEnum):
    """What a key does; also the key of its text in the tables of words."""

    HELP = "help"
    FREEZE = "freeze"
    OUTLINES = "outlines"
    CALIPERS = "calipers"
    THICKER = "thicker"
    THINNER = "thinner"
    BOOKMARK = "bookmark"
    WRONG = "wrong"
    MISSED = "missed"
    TRANSVERSE = "transverse"
    LONGITUDINAL = "longitudinal"
    RIGHT = "right"
    LEFT = "left"
    ISTHMUS = "isthmus"
    SNAPSHOT = "snapshot"
    RECORD = "record"
    POINT = "point"
    FULL_SCREEN = "full_screen"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    codes: tuple[int, ...]


_ENTER, _ESCAPE = 13, 27

_KEYS: dict[Action, _Key] = {
    Action.HELP: _Key("H", (ord("h"), ord("?"))),
    Action.FREEZE: _Key("F", (ord("f"), ord(" "))),
    Action.OUTLINES: _Key("O", (ord("o"),)),
    Action.CALIPERS: _Key("C", (ord("c"),)),
    Action.THICKER: _Key("+", (ord("+"), ord("="))),
    Action.THINNER: _Key("-", (ord("-"),)),
    Action.BOOKMARK: _Key("B", (ord("b"),)),
    Action.WRONG: _Key("W", (ord("w"),)),
    Action.MISSED: _Key("M", (ord("m"),)),
    Action.TRANSVERSE: _Key("T", (ord("t"),)),
    Action.LONGITUDINAL: _Key("G", (ord("g"),)),
    Action.RIGHT: _Key("R", (ord("r"),)),
    Action.LEFT: _Key("L", (ord("l"),)),
    Action.ISTHMUS: _Key("I", (ord("i"),)),
    Action.SNAPSHOT: _Key("P", (ord("p"),)),
    Action.RECORD: _Key("V", (ord("v"),)),
    Action.POINT: _Key("N", (ord("n"),)),
    Action.FULL_SCREEN: _Key("Enter", (_ENTER,)),
    Action.CLOSE: _Key("Q", (ord("q"), _ESCAPE)),
}

_ACTION_BY_CODE = {code: action for action, key in _KEYS.items() for code in key.codes}


def help_of(words: Words) -> dict[str, str]:
    """Name of each key → what it does.

    Parameters
    ----------
    words : of the part ``window``
    """
    return {key.name: words(f"keys.{action.value}") for action, key in _KEYS.items()}


def action_of(code: int) -> Action | None:
    """What a key code of ``cv2.waitKey`` does; None = nothing. Capital letters are as small ones."""
    if code < 0:
        return None
    code &= 0xFF
    return _ACTION_BY_CODE.get(code | 0x20 if chr(code).isalpha() else code)
