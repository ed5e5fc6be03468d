"""The connected browsers: each gets the newest packet that it can take, and none delays another.

Back-pressure: a browser acknowledges every packet, drawn or not, and at most :data:`PACKETS_IN_FLIGHT` packets are in
flight to it. Without that bound the buffers of a slow connection would fill with old frames, and its user would see the
past as if it were live. One packet per browser is queued here, and a newer one replaces it. A browser that has not
acknowledged for two seconds is inactive: no frame is encoded for inactive browsers alone.
"""

from __future__ import annotations

import asyncio
import threading
import time

__all__ = ["MAX_VIEWERS", "PACKETS_IN_FLIGHT", "Viewer", "Viewers"]

PACKETS_IN_FLIGHT = 3
MAX_VIEWERS = 64
_INACTIVE_S = 2.0


class Viewer:
    """One browser. ``offer`` may be called from any thread; everything else runs in the event loop that made it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.skipped = 0
        self._loop = loop
        self._lock = threading.Lock()
        self._packet: bytes | None = None
        self._in_flight = 0
        self._acknowledged_s = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def active(self) -> bool:
        """It can take a packet now, or has recently acknowledged one."""
        return self._in_flight < PACKETS_IN_FLIGHT or time.monotonic() - self._acknowledged_s < _INACTIVE_S

    def offer(self, packet: bytes) -> None:
        """Queue a packet, in place of one that is still queued."""
        with self._lock:
            if self._packet is not None:
                self.skipped += 1
                self._packet = packet
                return  # the loop is already scheduled for the packet before
            self._packet = packet
        self._loop.call_soon_threadsafe(self._changed.set)

    def discard(self) -> None:
        """Remove the queued packet, because it is old."""
        with self._lock:
            self._packet = None

    async def take(self) -> bytes:
        """Wait for the newest packet that may be sent."""
        while True:
            self._changed.clear()
            if self._in_flight < PACKETS_IN_FLIGHT:
                with self._lock:
                    packet, self._packet = self._packet, None
                if packet is not None:
                    self._in_flight += 1
                    return packet
            await self._changed.wait()

    def acknowledge(self) -> None:
        """The browser has acknowledged one of the packets in flight."""
        self._in_flight = max(0, self._in_flight - 1)
        self._acknowledged_s = time.monotonic()
        self._changed.set()


class Viewers:
    """All connected browsers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: tuple[Viewer, ...] = ()
        self._some = threading.Event()

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._viewers)

    def wait(self, timeout_s: float) -> bool:
        """Wait until a browser is connected; False on timeout."""
        return self._some.wait(timeout_s)

    def join(self) -> Viewer | None:
        """Add a browser, called in its event loop; None when :data:`MAX_VIEWERS` are connected."""
        viewer = Viewer(asyncio.get_running_loop())
        with self._lock:
            if len(self._viewers) >= MAX_VIEWERS:
                return None
            self._viewers = (*self._viewers, viewer)
            self._some.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Remove a browser."""
        with self._lock:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)
            if not self._viewers:
                self._some.clear()

    def active(self) -> bool:
        """True when there is a browser to encode for. Where all are inactive, their queued packets are discarded."""
        viewers = self._viewers
        if any(viewer.active for viewer in viewers):
            return True
        for viewer in viewers:
            viewer.discard()
        return False

    def offer(self, packet: bytes) -> None:
        """Offer a packet to all; never blocks on a browser."""
        with self._lock:  # `leave` waits for this, so that nothing is offered to a closed loop
            for viewer in self._viewers:
                viewer.offer(packet)
