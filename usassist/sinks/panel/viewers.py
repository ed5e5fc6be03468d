"""The browsers that watch: each gets the newest packet that it can take, and none holds up another.

A browser confirms every packet it has received, and at most :data:`PACKETS_IN_FLIGHT` packets are under way to it.
Without that bound the buffers of a slow connection would fill with old pictures, and its viewer would see the past
as if it were live. Per browser one packet waits here; a newer one takes its place.
"""

from __future__ import annotations

import asyncio
import threading

__all__ = ["PACKETS_IN_FLIGHT", "Viewer", "Viewers"]

PACKETS_IN_FLIGHT = 3


class Viewer:
    """One browser. Offered to from any thread; everything else happens in the event loop it was made in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.skipped = 0
        self._loop = loop
        self._lock = threading.Lock()
        self._packet: bytes | None = None
        self._in_flight = 0
        self._changed = asyncio.Event()

    def offer(self, packet: bytes) -> None:
        """Put a packet in the one place there is."""
        with self._lock:
            if self._packet is not None:
                self.skipped += 1
                self._packet = packet
                return  # the loop has been woken for the packet before, and has not come round to it
            self._packet = packet
        self._loop.call_soon_threadsafe(self._changed.set)

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
        """The browser has received one of the packets under way."""
        self._in_flight = max(0, self._in_flight - 1)
        self._changed.set()


class Viewers:
    """All browsers that watch now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: tuple[Viewer, ...] = ()

    def __len__(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def join(self) -> Viewer:
        """A new browser, to be called in its event loop."""
        viewer = Viewer(asyncio.get_running_loop())
        with self._lock:
            self._viewers = (*self._viewers, viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """This browser has gone."""
        with self._lock:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)

    def offer(self, packet: bytes) -> None:
        """Offer a packet to all; never waits."""
        with self._lock:
            for viewer in self._viewers:
                viewer.offer(packet)
