"""Run the server of a page, behind its gate, and shut it down cleanly: the live page, the demo page, the worklist."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp

from usassist.common.heartbeat import Heartbeat
from usassist.common.signals import set_on_signal
from usassist.config import PanelConfig
from usassist.sinks.panel.access import (
    LIVE_PATHS,
    Gate,
    Paths,
    Rules,
    RunSecrets,
    hosted_rules,
    make_rules,
    make_secrets,
)
from usassist.sinks.panel.gradio_import import import_gradio
from usassist.sinks.panel.listen import listen
from usassist.sinks.panel.ws_protocol import MAX_BYTES

__all__ = ["run_server"]

logger = logging.getLogger(__name__)

_PING_S = 5.0
_CLOSING_S = 20.0


def run_server(
    make_app: Callable[[], ASGIApp],
    config: PanelConfig,
    *,
    paths: Paths = LIVE_PATHS,
    secrets: RunSecrets | None = None,
    hosted: bool = False,
    with_gradio: bool = True,
    around: contextlib.AbstractContextManager[object] | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    heartbeat: Heartbeat | None = None,
    progress: Callable[[], int] | None = None,
) -> None:
    """Serve an application until SIGINT, SIGTERM or `stop`.

    Parameters
    ----------
    make_app : makes it, once the port is taken and the environment of Gradio is set; Gradio is slow to import, so it
        does that too
    config : where to listen (port 0 = any free port), and who may see the page
    paths : that are answered
    secrets : of this run, from the process that supervises this one; None = new ones
    hosted : anybody may see the page, and a service that hosts it stands before it; never for a live picture
    with_gradio : the application is made of Gradio, which is imported first
    around : entered before the first request, left after the last
    on_ready : called once with the URL of the page
    stop : set it to end
    heartbeat : beats when the server's loop has iterated and `progress` gives another number than before
    progress : counts what else has to go on; None = nothing

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If the host is invalid, or others than those who have the secret could see the page.
    """
    stop, heartbeat = stop or threading.Event(), heartbeat or Heartbeat()
    with listen(config.host, config.port) as listener, _private_environment():
        port = listener.getsockname()[1]
        rules = hosted_rules(paths) if hosted else make_rules(config, secrets or make_secrets(config), port, paths)
        if rules.secrets is None and not hosted:
            logger.warning("the page asks for no token: every user of this machine sees it")
        if with_gradio:
            import_gradio()
        app = make_app()
        gc.freeze()  # Gradio's many objects live to the end; collecting them would stall frames and the exit
        gate = Gate(app, rules)
        url = rules.address(config.host, port)
        with set_on_signal(stop), around or contextlib.nullcontext():
            _run(gate, rules, config, listener, url, on_ready, stop, heartbeat, progress)


def _run(
    gate: Gate,
    rules: Rules,
    config: PanelConfig,
    listener: socket.socket,
    url: str,
    on_ready: Callable[[str], None] | None,
    stop: threading.Event,
    heartbeat: Heartbeat,
    progress: Callable[[], int] | None,
) -> None:
    import uvicorn

    settings = uvicorn.Config(
        gate,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the gate judges them
        ssl_certfile=config.tls_cert if rules.tls else None,
        ssl_keyfile=config.tls_key if rules.tls else None,
        ws_per_message_deflate=False,  # JPEG does not compress further, and trying costs more than the encoding
        ws_max_size=2 * MAX_BYTES,
        ws_ping_interval=_PING_S,  # a page that vanished is dropped after twice this time
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=1,
    )
    # Browsers leave encrypted connections open that nobody uses; that these are cut at the end is no error.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "shutdown exceeded" not in record.getMessage())
    before = -1

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # run_server has set what signals do

        async def on_tick(self, counter: int) -> bool:
            nonlocal before
            now = before + 1 if progress is None else progress()
            if now != before:
                before = now
                heartbeat.beat()
            if stop.is_set():
                heartbeat.allow(_CLOSING_S)
                self.should_exit = True
            return await super().on_tick(counter)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and on_ready is not None:
                on_ready(url)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            gate.close()  # pages hold connections open, and the server waits for them first
            await super().shutdown(sockets)

    Server(settings).run(sockets=[listener])


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
