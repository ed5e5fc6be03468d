"""The command ``usassist openigtlink``."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from usassist.app.commands.options import BusSetting, ConfigOption, read_settings

__all__ = ["openigtlink"]


def openigtlink(
    bus: BusSetting = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address that clients connect to; there is neither encryption nor a password."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that clients connect to.")] = None,
    config: ConfigOption = None,
) -> None:
    """Send images and outlines to 3D Slicer and other OpenIGTLink clients, of a stream that is running or will run."""
    from usassist.common.signals import stop_on_signal
    from usassist.sinks.openigtlink import serve_openigtlink

    settings = read_settings(config)
    before = settings.openigtlink
    where = dataclasses.replace(before, host=host or before.host, port=port or before.port)

    def ready(port: int) -> None:
        sys.stderr.write(f"usassist: OpenIGTLink clients connect to {where.host}, port {port} — Ctrl-C ends it\n")

    with stop_on_signal() as stop:
        serve_openigtlink(bus or settings.bus.address or "ipc", where, stop, on_ready=ready)
