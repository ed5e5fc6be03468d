"""Reads the live page of usassist as a browser does, without a browser."""

from __future__ import annotations

import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin

from usassist.errors import MessageError
from usassist.sinks.panel.access import split_address
from usassist.sinks.panel.packet import unpack

__all__ = ["first_picture"]


def first_picture(url: str, timeout_s: float) -> bool:
    """Connect to a page that is ready, and wait for the first packet with a picture.

    Parameters
    ----------
    url : of the page, with its token
    timeout_s : longest wait

    Returns
    -------
    came : False where none came in time
    """
    until_s = time.monotonic() + timeout_s
    address, token = split_address(url)
    origin, login = address.rstrip("/"), {"Authorization": f"Bearer {token}"}
    while time.monotonic() < until_s:
        try:
            with connect(
                f"ws{origin.removeprefix('http')}/live", origin=Origin(origin), additional_headers=login, max_size=None
            ) as page:
                while time.monotonic() < until_s:
                    data = page.recv(timeout=max(0.1, until_s - time.monotonic()))
                    if isinstance(data, bytes) and unpack(data)[1]:
                        return True
                    page.send('{"type":"done"}')
        except (OSError, TimeoutError, WebSocketException, MessageError):
            time.sleep(0.1)
    return False
