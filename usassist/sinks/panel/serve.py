"""Run the panel's server, and shut it down cleanly."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator

import cv2

from usassist.bus import Inbox
from usassist.bus.address import endpoint
from usassist.common.clock import MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.common.signals import set_on_signal
from usassist.config import PanelConfig
from usassist.errors import BusError, UsageError
from usassist.sinks.covering import FindText
from usassist.sinks.panel.card import ReadCard
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import Metrics
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import ScaleIntake
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewers
from usassist.sinks.panel.ws_protocol import MAX_BYTES

__all__ = ["check_panel", "run_panel"]

logger = logging.getLogger(__name__)

_PING_S = 5.0
_CLOSING_S = 20.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run_panel(
    address: str,
    config: PanelConfig,
    *,
    modality: str = "",
    find_text: FindText | None = None,
    read_card: ReadCard | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    heartbeat: Heartbeat | None = None,
) -> None:
    """Serve the page until SIGINT, SIGTERM or `stop`.

    Parameters
    ----------
    address : of the stream, see ``bus.address.endpoint``; it need not run yet
    config : where to listen (port 0 = any free port), JPEG quality, and whether text is covered
    modality : title of what the page shows, from the table of modalities; empty = not named
    find_text : finds burnt-in text, see ``frames.burnt_text.find_text_boxes``; required where text is covered
    read_card : reads the card of an engine, see ``card.Card``; None = the page has none
    on_ready : called once with the URL of the page
    stop : set it to end
    heartbeat : beats when both the server's loop and the thread that reads the bus have iterated

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If the bus address or the host is invalid, or the quality is out of range.
    """
    _check_quality(config)
    endpoint(address, "frame", "view")
    stop, heartbeat = stop or threading.Event(), heartbeat or Heartbeat()
    with _listen(config.host, config.port) as listener, _private_environment(), Inbox(address) as inbox:
        _serve(
            address,
            inbox,
            config,
            listener,
            modality,
            find_text if config.cover_text else None,
            read_card,
            on_ready,
            stop,
            heartbeat,
        )


def check_panel(config: PanelConfig) -> None:
    """Check, before any process is started, that a page can be served.

    Raises
    ------
    BusError, UsageError
        As :func:`run_panel`.
    """
    _check_quality(config)
    _listen(config.host, config.port).close()


def _check_quality(config: PanelConfig) -> None:
    if not 1 <= config.jpeg_quality <= 100:
        raise UsageError(f"jpeg_quality must lie in 1 to 100, got {config.jpeg_quality}; correct the table panel")


def _serve(
    address: str,
    inbox: Inbox,
    config: PanelConfig,
    listener: socket.socket,
    modality: str,
    find_text: FindText | None,
    read_card: ReadCard | None,
    on_ready: Callable[[str], None] | None,
    stop: threading.Event,
    heartbeat: Heartbeat,
) -> None:
    import uvicorn  # both are slow to import, and Gradio reads its environment at import

    from usassist.sinks.panel.context import PageContext
    from usassist.sinks.panel.guard import Guard
    from usassist.sinks.panel.page import build_app

    cv2.setNumThreads(1)  # at this image size a second thread costs more than it saves, and the engine needs the core
    clock = MonotonicClock()
    viewers, shown, said = Viewers(), ShownFrames(clock), Said()
    feed = PanelFeed(
        address,
        viewers,
        shown=shown,
        said=said,
        inbox=inbox,
        jpeg_quality=config.jpeg_quality,
        find_text=find_text,
        clock=clock,
    )
    marks, scales = MarkIntake(inbox, shown, clock), ScaleIntake(inbox, shown, clock)
    app = build_app(
        PageContext(
            feed=feed,
            viewers=viewers,
            shown=shown,
            said=said,
            marks=marks,
            scales=scales,
            metrics=Metrics(lambda: feed.figures),
            config=config,
            modality=modality,
            read_card=read_card,
        )
    )
    gc.freeze()  # Gradio's many objects live to the end; collecting them would stall frames and the exit
    settings = uvicorn.Config(
        Guard(app, config.host),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_per_message_deflate=False,  # JPEG does not compress further, and trying costs more than the encoding
        ws_max_size=2 * MAX_BYTES,
        ws_ping_interval=_PING_S,  # a page that vanished is dropped after twice this time
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=1,
    )

    iterations = -1

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # see set_on_signal below

        async def on_tick(self, counter: int) -> bool:
            nonlocal iterations
            if feed.iterations != iterations:
                iterations = feed.iterations
                heartbeat.beat()
            if stop.is_set():
                heartbeat.allow(_CLOSING_S)
                self.should_exit = True
            return await super().on_tick(counter)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and on_ready is not None:
                on_ready(_url(config.host, listener.getsockname()[1]))

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Gradio closes the connections held open by its pages only after everything else, and the server waits
            # for them first.
            for route in app.routes:
                ended = getattr(getattr(route, "app", None), "stop_event", None)
                if ended is not None:
                    ended.set()
            await super().shutdown(sockets)

    if config.host not in _LOOPBACK:
        logger.warning("the panel has no login: anyone who reaches %s sees the frames", config.host)
    with set_on_signal(stop):
        feed.start()
        try:
            Server(settings).run(sockets=[listener])
        finally:
            feed.close()


def _listen(host: str, port: int) -> socket.socket:
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


@contextlib.contextmanager
def _private_environment() -> Iterator[None]:
    """Environment for Gradio: no telemetry, no requests to other hosts, and a temporary folder of its own.

    No frame is written to that folder; it is private and short-lived all the same.
    """
    with tempfile.TemporaryDirectory(prefix="usassist-panel-") as folder:
        wanted = {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"
