"""Where a stream's sockets are.

A stream publishes on four endpoints: two lanes (pixels, and everything else) for two kinds of reader (viewers, who
want the newest, and archives, who want all). All four follow from one address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from usassist.bus.topics import Lane
from usassist.config import runtime_dir
from usassist.errors import UsageError

__all__ = ["Service", "endpoint", "private_address"]

Service = Literal["view", "archive"]

_PORT_OFFSETS: dict[tuple[Lane, Service], int] = {
    ("frame", "view"): 0,
    ("event", "view"): 1,
    ("frame", "archive"): 2,
    ("event", "archive"): 3,
}


def endpoint(address: str, lane: Lane, service: Service) -> str:
    """The ZeroMQ endpoint of one lane for one kind of reader.

    Parameters
    ----------
    address : ``ipc`` (a private folder of this user), ``ipc://FOLDER``, or ``tcp://HOST:PORT`` (four ports from PORT)

    Raises
    ------
    UsageError
        If the address has another form.
    """
    if address == "ipc":
        return f"ipc://{runtime_dir()}/{lane}-{service}"
    parts = urlsplit(address)
    if parts.scheme == "ipc" and parts.path:
        return f"ipc://{parts.netloc}{parts.path}/{lane}-{service}"
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme == "tcp" and parts.hostname and port:
        return f"tcp://{parts.hostname}:{port + _PORT_OFFSETS[lane, service]}"
    raise UsageError(f"bus address {address!r} is not understood; give ipc, ipc:///FOLDER or tcp://127.0.0.1:PORT")


def private_address(folder: Path) -> str:
    """An address inside a folder that is private to one run."""
    return f"ipc://{folder}"
