"""The live page: what feeds it, and the server that shows it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cv2
from starlette.types import ASGIApp

from usassist.bus import Inbox
from usassist.bus.address import endpoint
from usassist.common.clock import MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.config import PanelConfig
from usassist.sinks.covering import FindText
from usassist.sinks.panel.access import RunSecrets, make_secrets
from usassist.sinks.panel.card import ReadCard
from usassist.sinks.panel.control import Choices, ControlIntake
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.listen import check_panel
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import Metrics
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import ScaleIntake
from usassist.sinks.panel.serve import run_server
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewers

__all__ = ["page_options", "run_panel"]


def run_panel(
    address: str,
    config: PanelConfig,
    *,
    modality: str = "",
    choices: Choices | None = None,
    find_text: FindText | None = None,
    read_card: ReadCard | None = None,
    secrets: RunSecrets | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    heartbeat: Heartbeat | None = None,
) -> None:
    """Serve the page until SIGINT, SIGTERM or `stop`.

    Parameters
    ----------
    address : of the stream, see ``bus.address.endpoint``; it need not run yet
    config : where to listen (port 0 = any free port), who may see the page, JPEG quality, and whether text is covered
    modality : title of what the page shows, from the table of modalities; empty = not named
    choices : what may be changed while the stream runs; None = nothing
    find_text : finds burnt-in text, see ``frames.burnt_text.find_text_boxes``; required where text is covered
    read_card : reads the card of an engine, see ``card.ReadCard``; None = the page has none
    secrets : of this run, from the process that supervises this one; None = new ones
    on_ready : called once with the URL of the page, with the token in it
    stop : set it to end
    heartbeat : beats when both the server's loop and the thread that reads the bus have iterated

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If the bus address or the host is invalid, the quality is out of range, or others than those who have the
        secret could see the page.
    """
    endpoint(address, "frame", "view")
    check_panel(config)
    cv2.setNumThreads(1)  # at this image size a second thread costs more than it saves, and the engine needs the core
    clock = MonotonicClock()
    with Inbox(address) as inbox:
        viewers, shown, said = Viewers(), ShownFrames(clock), Said()
        controls = ControlIntake(inbox, clock, choices)
        feed = PanelFeed(
            address,
            viewers,
            shown=shown,
            said=said,
            controls=controls,
            inbox=inbox,
            jpeg_quality=config.jpeg_quality,
            find_text=find_text if config.cover_text else None,
            clock=clock,
        )
        marks, scales = MarkIntake(inbox, shown, clock), ScaleIntake(inbox, shown, clock)

        def make_app() -> ASGIApp:
            from usassist.sinks.panel.context import PageContext  # both import Gradio, which is slow
            from usassist.sinks.panel.page import build_app

            return build_app(
                PageContext(
                    feed=feed,
                    viewers=viewers,
                    shown=shown,
                    said=said,
                    marks=marks,
                    scales=scales,
                    controls=controls,
                    metrics=Metrics(lambda: feed.figures),
                    config=config,
                    modality=modality,
                    read_card=read_card,
                )
            )

        run_server(
            make_app,
            config,
            secrets=secrets,
            around=_running(feed, controls),
            on_ready=on_ready,
            stop=stop,
            heartbeat=heartbeat,
            progress=lambda: feed.iterations,
        )


def page_options(address: str, config: PanelConfig) -> dict[str, Any]:
    """Options of page processes of one run, as plain values. They have its secrets: a page that is restarted with the
    same options knows the visitors of the one before.

    Parameters
    ----------
    address : of the stream
    config : settings of the page

    Raises
    ------
    UsageError
        If the token file cannot be read or made.
    """
    secrets = dataclasses.asdict(make_secrets(config))
    return {"address": address, "panel": dataclasses.asdict(config), "secrets": secrets}


@contextlib.contextmanager
def _running(feed: PanelFeed, controls: ControlIntake) -> Iterator[None]:
    feed.start()
    try:
        yield
    finally:
        controls.close()
        feed.close()
