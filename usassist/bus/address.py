"""Where a stream's sockets are.

A stream publishes on four endpoints: two lanes (pixels, and everything else) for two kinds of reader (viewers, which
get the newest, and archives, which get all). On a fifth, the inbox, it receives what other processes ask it to publish.
All five follow from one address; the inbox is named ``desk`` there.

======================= ==========================================================================================
``ipc``                 a private folder of this user
``ipc:///FOLDER``       another folder
``tcp://HOST:PORT``     five ports from PORT; a HOST that is not this machine's loopback is used with keys alone
``ADDRESS?keys``        with keys also where they are not needed, see ``bus.keys``
``ADDRESS?keys=NAME``   likewise; a reader expects the stream whose key was allowed here under that name
======================= ==========================================================================================
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from usassist.bus.topics import Lane
from usassist.config import runtime_dir
from usassist.errors import UsageError

__all__ = ["Service", "endpoint", "expected_stream", "inbox_endpoint", "private_address", "uses_keys"]

Service = Literal["view", "archive"]

_PORT_OFFSETS = {"frame-view": 0, "event-view": 1, "frame-archive": 2, "event-archive": 3, "desk": 4}
_KEYS = re.compile(r"keys(?:=([a-z0-9_-]+))?")


def endpoint(address: str, lane: Lane, service: Service) -> str:
    """The ZeroMQ endpoint of one lane for one kind of reader.

    Parameters
    ----------
    address : see the table above

    Raises
    ------
    UsageError
        If the address has another form.
    """
    return _place(address, f"{lane}-{service}")


def inbox_endpoint(address: str) -> str:
    """The ZeroMQ endpoint of the stream's inbox.

    Raises
    ------
    UsageError
        If the address has another form than the table above.
    """
    return _place(address, "desk")


def uses_keys(address: str) -> bool:
    """True when both ends of the address need keys: it asks for them, or other machines can reach it.

    Raises
    ------
    UsageError
        If the address has another form than the table above.
    """
    place = _place(address, "desk")
    if "?" in address or not place.startswith("tcp://"):
        return "?" in address
    host = place.removeprefix("tcp://").rpartition(":")[0]
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: where it leads is not known here
        return True


def expected_stream(address: str) -> str | None:
    """The name behind ``?keys=``, or None."""
    return address.partition("?keys=")[2] or None


def private_address(folder: Path) -> str:
    """An address inside a folder that is private to one run."""
    return f"ipc://{folder}"


def _place(address: str, name: str) -> str:
    base, mark, query = address.partition("?")
    if not mark or _KEYS.fullmatch(query):
        if base == "ipc":
            return f"ipc://{runtime_dir()}/{name}"
        parts = urlsplit(base)
        if parts.scheme == "ipc" and parts.path:
            return f"ipc://{parts.netloc}{parts.path}/{name}"
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme == "tcp" and parts.hostname and ":" not in parts.hostname and port:
            return f"tcp://{parts.hostname}:{port + _PORT_OFFSETS[name]}"
    raise UsageError(
        f"bus address {address!r} is not understood; give ipc, ipc:///FOLDER, tcp://127.0.0.1:PORT, or "
        "tcp://HOST:PORT with keys (usassist keys --help)"
    )
