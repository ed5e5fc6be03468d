"""The command ``usassist panel``."""

from __future__ import annotations

from usassist.app.commands.options import (
    BusSetting,
    ConfigOption,
    HostSetting,
    PortSetting,
    override_panel,
    print_page_address,
    read_settings,
)

__all__ = ["panel"]


def panel(
    bus: BusSetting = None,
    host: HostSetting = None,
    port: PortSetting = None,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser for a stream that is running or will run."""
    from usassist.app.runtime.cards import read_card
    from usassist.frames.burnt_text import find_text_boxes
    from usassist.modalities import stream_titles
    from usassist.sinks.panel import run_panel

    settings = read_settings(config)
    run_panel(
        bus or settings.bus.address or "ipc",
        override_panel(settings.panel, host, port),
        modality=stream_titles(),
        find_text=find_text_boxes,
        read_card=read_card,
        on_ready=print_page_address,
    )
