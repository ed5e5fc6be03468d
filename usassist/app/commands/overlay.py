"""The command ``usassist overlay``."""

from __future__ import annotations

from usassist.app.commands.options import BusSetting, ConfigOption, read_settings

__all__ = ["overlay"]


def overlay(bus: BusSetting = None, config: ConfigOption = None) -> None:
    """Show the overlay window for a stream that is running or will run."""
    from usassist.common.signals import stop_on_signal
    from usassist.sinks.overlay.window import run_window

    settings = read_settings(config)
    with stop_on_signal() as stop:
        run_window(bus or settings.bus.address or "ipc", stop)
