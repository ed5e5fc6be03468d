"""``usassist replay SESSION``: send recorded messages to window, page or video. No engine is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from usassist.app.runtime.child_process import ChildProcess, ChildTimeoutError
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.supervised_process import POLL_S, PollClock
from usassist.bus import Publisher
from usassist.common.clock import MonotonicClock
from usassist.errors import SessionError, UsageError
from usassist.session import open_session
from usassist.session.replay.sender import RecordedMessages, Replayed, SessionReplayOptions
from usassist.sinks.files import explain
from usassist.sinks.openigtlink import check_port
from usassist.sinks.panel import check_panel, page_options

__all__ = ["replay_session"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_LATE_S = 10.0
_FINISH_S = 120.0


def replay_session(
    options: SessionReplayOptions,
    stop: threading.Event,
    *,
    on_ready: Callable[[str], None] | None = None,
) -> Replayed:
    """Send a recorded session to its viewers.

    Parameters
    ----------
    options : what is sent, and to which viewers
    stop : set it to end
    on_ready : called with the address of the page, or with an empty text where there is none

    Raises
    ------
    UsAssistError
        If the session cannot be read, or a viewer cannot be started or fails.
    """
    if options.page is not None:
        check_panel(options.page)
    if options.openigtlink is not None:
        check_port(options.openigtlink)
    session = open_session(options.folder)
    if not session.frames:
        raise SessionError(f"the session in {options.folder} holds no frame; there is nothing to send")
    with ExitStack() as stack:
        children = {name: stack.enter_context(ChildProcess(name)) for name in _viewers(options)}
        bus = options.bus or stack.enter_context(private_bus())
        first = session.frames[0]
        x1, y1, x2, y2 = first.roi_xyxy_px
        clock = MonotonicClock()
        # Nothing here is live, so the publisher waits for the writer of the video.
        publisher = Publisher(bus, "us0", clock, lossless=True, frame_bytes=(y2 - y1) * (x2 - x1) * first.channels)
        stack.callback(publisher.close)
        url = _start_viewers(children, options, bus, stop, logger.warning)
        video = children.get("overlay_video")
        if video is not None and not publisher.wait_for_archives(1, _READY_S, lambda: video.alive):
            raise SessionError("the writer of the video did not connect; run usassist doctor")
        if on_ready is not None:
            on_ready(url)

        def viewers_gone() -> bool:
            return not options.bus and not any(child.alive for child in children.values())

        sent = RecordedMessages(session, options, publisher, clock, viewers_gone).run(stop)
        if video is not None:
            counts = video.wait_for("done", timeout_s=_FINISH_S)
            sent.video = str(options.overlay_video)
            sent.problems += [f"{n} {topic} messages did not reach the video" for topic, n in _lost(counts)]
    return sent


def _viewers(options: SessionReplayOptions) -> Iterator[str]:
    if options.overlay_video is not None:
        _check_new(options.overlay_video)
        yield "overlay_video"
    if options.page is not None:
        yield "panel"
    if options.window is not None:
        yield "overlay"
    if options.openigtlink is not None:
        yield "openigtlink"


def _check_new(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} exists already; name another file with --out, or move it away")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(explain(path.parent, error)) from error


def _start_viewers(
    children: dict[str, ChildProcess],
    options: SessionReplayOptions,
    bus: str,
    stop: threading.Event,
    tell: Callable[[str], None],
) -> str:
    """Start the viewers; gives the address of the page."""
    url = ""
    for name, child in children.items():
        more: dict[str, Any] = {}
        if name == "overlay_video":
            more = {"path": str(options.overlay_video)}
        elif name == "panel" and options.page is not None:
            more = page_options(bus, options.page)
        elif name == "overlay" and options.window is not None:
            more = {"overlay": dataclasses.asdict(options.window)}
        elif name == "openigtlink" and options.openigtlink is not None:
            more = {"openigtlink": dataclasses.asdict(options.openigtlink)}
        child.start({"address": bus, **more})
    for name, child in children.items():
        url = _ready(name, child, stop, tell).get("url", url)
    return url


def _ready(name: str, child: ChildProcess, stop: threading.Event, tell: Callable[[str], None]) -> dict[str, Any]:
    """Wait for a viewer as long as its start makes progress, and say so where that takes long.

    Raises
    ------
    UsAssistError
        If it fails, or its start stands still.
    KeyboardInterrupt
        If it is stopped meanwhile.
    """
    late_s = time.monotonic() + _LATE_S
    for elapsed_s in PollClock(stop):
        if reason := child.hang_reason(elapsed_s):
            child.kill()
            raise SessionError(f"the process {name} was killed: {reason}; run usassist doctor")
        if time.monotonic() > late_s:
            late_s = math.inf
            tell(f"the process {name} is still starting")
        with contextlib.suppress(ChildTimeoutError):
            return child.wait_for("ready", timeout_s=POLL_S)
    raise KeyboardInterrupt


def _lost(counts: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for topic, number in counts.get("gaps", {}).items():
        if number:
            yield topic, number
