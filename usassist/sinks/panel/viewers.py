"""The browsers that watch: each gets the newest packet that it can take, and none holds up another.

A browser says of every packet when it is done with it, drawn or not, and at most :data:`PACKETS_IN_FLIGHT` packets
are under way to it. Without that bound the buffers of a slow connection would fill with old pictures, and its viewer
would see the past as if it were live. Per browser one packet waits here; a newer one takes its place. A browser that
has been silent for two seconds counts as asleep: no picture is encoded for those alone who sleep.
"""

from __future__ import annotations

import asyncio
import threading
import time

__all__ = ["MAX_VIEWERS", "PACKETS_IN_FLIGHT", "Viewer", "Viewers"]

PACKETS_IN_FLIGHT = 3
MAX_VIEWERS = 64
_ASLEEP_S = 2.0


class Viewer:
    """One browser. Offered to from any thread; everything else happens in the event loop it was made in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.skipped = 0
        self._loop = loop
        self._lock = threading.Lock()
        self._packet: bytes | None = None
        self._in_flight = 0
        self._heard_s = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def awake(self) -> bool:
        """It can take a packet now, or has lately been done with one."""
        return self._in_flight < PACKETS_IN_FLIGHT or time.monotonic() - self._heard_s < _ASLEEP_S

    def offer(self, packet: bytes) -> None:
        """Put a packet in the one place there is."""
        with self._lock:
            if self._packet is not None:
                self.skipped += 1
                self._packet = packet
                return  # the loop has been woken for the packet before, and has not come round to it
            self._packet = packet
        self._loop.call_soon_threadsafe(self._changed.set)

    def forget(self) -> None:
        """Take back the packet that waits: it is old."""
        with self._lock:
            self._packet = None

    async def take(self) -> bytes:
        """The newest packet, as soon as there is one that may be sent."""
        while True:
            self._changed.clear()
            if self._in_flight < PACKETS_IN_FLIGHT:
                with self._lock:
                    packet, self._packet = self._packet, None
                if packet is not None:
                    self._in_flight += 1
                    return packet
            await self._changed.wait()

    def confirm(self) -> None:
        """The browser is done with one of the packets under way."""
        self._in_flight = max(0, self._in_flight - 1)
        self._heard_s = time.monotonic()
        self._changed.set()


class Viewers:
    """All browsers that watch now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: tuple[Viewer, ...] = ()
        self._some = threading.Event()

    def __len__(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody watches; False when nobody came in time."""
        return self._some.wait(timeout_s)

    def join(self) -> Viewer | None:
        """A new browser, to be called in its event loop; None where there are too many already."""
        viewer = Viewer(asyncio.get_running_loop())
        with self._lock:
            if len(self._viewers) >= MAX_VIEWERS:
                return None
            self._viewers = (*self._viewers, viewer)
            self._some.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """This browser has gone."""
        with self._lock:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)
            if not self._viewers:
                self._some.clear()

    def awake(self) -> bool:
        """There is somebody to encode a picture for. Where all sleep, what waits for them is taken back."""
        viewers = self._viewers
        if any(viewer.awake for viewer in viewers):
            return True
        for viewer in viewers:
            viewer.forget()
        return False

    def offer(self, packet: bytes) -> None:
        """Offer a packet to all; never waits."""
        with self._lock:  # who leaves waits, so that nothing is offered into a loop that has been closed
            for viewer in self._viewers:
                viewer.offer(packet)
