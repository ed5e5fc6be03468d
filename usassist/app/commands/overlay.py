"""The command ``usassist overlay``."""

from __future__ import annotations

import dataclasses

from usassist.app.commands.options import BusSetting, ConfigOption, FullScreenOption, read_settings

__all__ = ["overlay"]


def overlay(bus: BusSetting = None, full_screen: FullScreenOption = False, config: ConfigOption = None) -> None:
    """Show the overlay window for a stream that is running or will run; the key H shows its keys."""
    from usassist.common.signals import stop_on_signal
    from usassist.sinks.overlay.window import run_window

    settings = read_settings(config)
    window = dataclasses.replace(settings.overlay, full_screen=full_screen or settings.overlay.full_screen)
    with stop_on_signal() as stop:
        run_window(bus or settings.bus.address or "ipc", stop, settings=window)
