from __future__ import annotations

from typing import Any

import pytest

from usassist.bus import TOPICS, ControlAction, ControlBody, ControlState
from usassist.bus.codec import decode, encode
from usassist.errors import MessageError


def make_request(**fields: Any) -> ControlBody:
    usual: dict[str, Any] = {
        "request_id": "r1",
        "action": ControlAction.POINT,
        "value": "quiet",
        "t_control_ns": 9,
        "state": ControlState.ASKED,
    }
    return ControlBody(**(usual | fields))


@pytest.mark.parametrize("action", list(ControlAction))
def test_a_request_travels_as_it_was_made(action: ControlAction) -> None:
    request = make_request(action=action, value="on", sender="page")
    assert decode(bytes(encode(TOPICS["control"], "us0", 1, 2, request, {}))).body == request


@pytest.mark.parametrize(
    "fields",
    [
        {"request_id": ""},
        {"request_id": "x" * 65},
        {"value": ""},
        {"value": "x" * 201},
        {"value": "quiet\n"},
        {"reason": "two\nlines"},
        {"sender": "x" * 41},
        {"action": ControlAction.RECORD, "value": "perhaps"},
    ],
)
def test_a_request_that_makes_no_sense_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be one line|needs a request_id|on or off"):
        make_request(**fields)


def test_such_a_message_is_malformed() -> None:
    data = bytes(encode(TOPICS["control"], "us0", 1, 2, make_request(action=ControlAction.RECORD, value="on"), {}))
    with pytest.raises(MessageError):
        decode(data.replace(b'"on"', b'"no"'))
    with pytest.raises(MessageError):
        decode(data.replace(b'"record"', b'"gamble"'))
