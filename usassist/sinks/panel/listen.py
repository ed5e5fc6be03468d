"""The port of a page: taken, or said to be in use, before anything slow is imported or started."""

from __future__ import annotations

import errno
import socket

from usassist.config import PanelConfig
from usassist.errors import BusError, UsageError
from usassist.sinks.panel.access import check_access

__all__ = ["check_panel", "listen"]


def check_panel(config: PanelConfig) -> None:
    """Check, before any process is started, that a page can be served.

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If the host is invalid, the quality is out of range, or others than those who have the secret could see it.
    """
    if not 1 <= config.jpeg_quality <= 100:
        raise UsageError(f"jpeg_quality must lie in 1 to 100, got {config.jpeg_quality}; correct the table panel")
    listen(config.host, config.port).close()
    check_access(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If the host is invalid.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} is out of range; give a --port from 1 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise UsageError(f"host {host} is not an address of this machine; give --host 127.0.0.1") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusError(f"port {port} is in use; give another --port") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"host {host} is not an address of this machine; give --host 127.0.0.1") from error
        reason = (error.strerror or str(error)).lower()
        raise BusError(f"port {port} cannot be used: {reason}; give another --port") from error
