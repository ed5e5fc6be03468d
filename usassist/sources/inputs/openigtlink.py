"""Images and poses from an OpenIGTLink server: PLUS, or a research scanner. This end is the client.

``openigtlink://HOST:PORT?device=NAME&pose=NAME,NAME&spacing_sd=0.02&flip=x&crc=none``; see ``docs/plus.md``. The
content of STRING and STATUS is not looked at: it may name a patient.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import numpy as np

from usassist.common.closeable import Closeable
from usassist.common.openigtlink.header import ProtocolError
from usassist.common.openigtlink.packing import pack
from usassist.common.openigtlink.reader import ClosedByPeer, Message, MessageReader
from usassist.errors import SourceError
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.openigtlink_address import LinkAddress, parse_address
from usassist.sources.inputs.openigtlink_image import EMBEDDED, ReceivedImage, read_image
from usassist.sources.inputs.openigtlink_poses import PoseMatcher
from usassist.sources.inputs.stream import Backlog
from usassist.sources.screen import Screen

__all__ = ["OpenIgtLinkGrabber", "open_grabber"]

_log = logging.getLogger(__name__)

_POSE_WAIT_NS = 15_000_000  # for the transforms of an image that has arrived
_MAX_DAMAGED = 5  # messages in a row
_MAX_OTHERS = 6  # devices that are named where the wanted one does not send
_RATE_IMAGES = 8  # from which the rate is measured
_NS = Fraction(1, 1_000_000_000)
_BROKEN = "the connection broke; check that the sender runs, and the network"


def open_grabber(address: str, options: GrabOptions) -> OpenIgtLinkGrabber:
    """Open ``openigtlink://HOST:PORT``.

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If nothing answers there.
    """
    settings = parse_address(address)
    try:
        connection = socket.create_connection((settings.host, settings.port), timeout=options.open_timeout_s)
    except socket.gaierror:
        raise SourceError("openigtlink: the host name cannot be resolved; check its spelling, or give its IP") from None
    except ConnectionRefusedError:
        raise SourceError("openigtlink: the sender refuses the connection; check that it runs, and the port") from None
    except OSError:
        raise SourceError(
            "openigtlink: nothing answers there; check that the sender runs, its address, and the firewall"
        ) from None
    return OpenIgtLinkGrabber(connection, settings, options.read_timeout_s)


class OpenIgtLinkGrabber(Closeable):
    """Delivers the images of one device; see :class:`usassist.sources.grab.Grabber`.

    Where poses are asked for, an image waits up to 15 ms for those with its stamp.

    Parameters
    ----------
    connection : connected; closed with the grabber
    settings : of the address
    silence_s : without an image for so long, the connection is given up
    """

    def __init__(self, connection: socket.socket, settings: LinkAddress, silence_s: float) -> None:
        self.description = "OpenIGTLink"
        self.warnings: tuple[str, ...] = ()
        self.rate_hz: float | None = None
        self._connection, self._settings, self._silence_s = connection, settings, silence_s
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wanted = ("IMAGE", "TRANSFORM") if settings.poses else ("IMAGE",)
        self._reader = MessageReader(connection, wanted, checks_crc=settings.checks_crc)
        self._poses = PoseMatcher([name for name in settings.poses if name != EMBEDDED])
        self._closing = threading.Event()
        self._device = settings.device
        self._others: set[str] = set()
        self._number = self._damaged_in_a_row = 0
        self._is_damaged = False
        self._arrivals_ns: list[int] = []

    def grabs(self) -> Iterator[Grab]:
        """Yield the images as they arrive.

        Raises
        ------
        SourceError
            If no image arrives in time, the connection ends, or what arrives is no OpenIGTLink or no image that can be
            used.
        """
        try:
            self._introduce()
            yield from self._grabs()
        except ProtocolError as error:
            raise SourceError(f"openigtlink: {error}; check the port and the sender") from None
        except ClosedByPeer as error:
            if not self._closing.is_set():
                when = f" {error}" if str(error) else ""
                raise SourceError(f"openigtlink: the sender has closed the connection{when}") from None
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            if not self._closing.is_set():
                raise SourceError(f"openigtlink: {_BROKEN}") from None
        finally:
            self._connection.close()

    def close(self) -> None:
        """End it at once, also a read in another thread."""
        self._closing.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _introduce(self) -> None:
        """Show a server that answers in the version it is asked in, as PLUS does, that this end reads version 2.

        Only that version says of a transform whether it is valid.
        """
        if self._poses.names:
            self._connection.send(b"".join(pack("GET_STATUS", "usassist", time.time_ns(), [], version=2)))

    def _grabs(self) -> Iterator[Grab]:
        backlog = Backlog(None)
        held: tuple[Message, ReceivedImage] | None = None
        last_ns = time.monotonic_ns()
        while not self._closing.is_set():
            now_ns = time.monotonic_ns()
            if held is not None:
                message, image = held
                due_ns = message.t_arrived_ns + _POSE_WAIT_NS
                if now_ns >= due_ns or self._poses.is_complete(message.header.stamp_ns, now_ns):
                    held = None
                    yield self._grab(message, image)
                    resumed_ns = time.monotonic_ns()
                    backlog.away(resumed_ns - now_ns, resumed_ns)
                    continue
            else:
                due_ns = last_ns + int(1e9 * self._silence_s)
                if now_ns >= due_ns:
                    raise SourceError(f"openigtlink: {self._silent()}")
            try:
                arrived = self._reader.read(max(0.0, (due_ns - now_ns) / 1e9))
            except (ProtocolError, OSError):
                if held is not None:  # it came before
                    yield self._grab(*held)
                raise
            if arrived is None or not self._is_intact(arrived):
                continue
            if arrived.header.type == "TRANSFORM":
                self._poses.take(arrived)
            elif not self._is_ours(arrived):
                if len(self._others) < _MAX_OTHERS:
                    self._others.add(f"{arrived.header.type} {arrived.header.device}".strip())
            else:
                last_ns = arrived.t_arrived_ns
                if held is not None:
                    yield self._grab(*held)  # the next image is here, so its transforms are not coming any more
                old = backlog.is_old(arrived.waited_ns)
                held = None if old else (arrived, read_image(arrived.content, self._settings.flip))
                self._number += old

    def _is_intact(self, message: Message) -> bool:
        if message.intact:
            self._damaged_in_a_row = 0
            return True
        self._is_damaged = True
        self._damaged_in_a_row += 1
        if self._damaged_in_a_row >= _MAX_DAMAGED:
            raise SourceError(
                "openigtlink: the checksums of the messages are wrong; where the sender writes none, add crc=none"
            )
        return False

    def _is_ours(self, message: Message) -> bool:
        """An image of the device that is asked for; of the first one, where none is."""
        if message.header.type != "IMAGE":
            return False
        self._device = self._device or message.header.device
        return message.header.device == self._device

    def _silent(self) -> str:
        """Why there is no image."""
        if not self._reader.is_between:
            return "a message does not arrive whole; check the network, and that the sender runs"
        if not self._others:
            return "no messages arrive; check that the sender is connected to its device"
        others = ", ".join(sorted(self._others))
        wanted = f"image of the device {self._device}" if self._device else "IMAGE"
        return f"no {wanted} arrives, only {others}; check what the sender sends, and device= in the address"

    def _grab(self, message: Message, received: ReceivedImage) -> Grab:
        stamp_ns = message.header.stamp_ns
        self._describe(message, received)
        image = received.image
        poses = {pose.name: pose for pose in self._poses.match(stamp_ns)}
        if EMBEDDED in self._settings.poses:
            poses[EMBEDDED] = received.embedded(stamp_ns)
        damaged, self._is_damaged = self._is_damaged, False
        number, self._number = self._number, self._number + 1
        rel_sd = self._settings.spacing_rel_sd
        spacing = None if rel_sd is None else received.spacing_rc_mm
        return Grab(
            number=number,
            screen=Screen(image if image.flags.c_contiguous else np.ascontiguousarray(image)),
            t_capture_ns=message.t_arrived_ns,
            t_decoded_ns=time.monotonic_ns(),
            stamp="arrival",
            pts=stamp_ns,
            time_base=None if stamp_ns is None else _NS,
            damaged=damaged,
            spacing_rc_mm=spacing,
            spacing_rel_sd=None if spacing is None else rel_sd,
            poses=tuple(poses[name] for name in self._settings.poses),
        )

    def _describe(self, message: Message, received: ReceivedImage) -> None:
        """Description, rate and warnings, as far as they are known by now."""
        if len(self._arrivals_ns) < _RATE_IMAGES:
            self._arrivals_ns.append(message.header.stamp_ns or message.t_arrived_ns)
            if len(self._arrivals_ns) == _RATE_IMAGES:
                period_ns = float(np.median(np.diff(self._arrivals_ns)))
                self.rate_hz = round(1e9 / period_ns, 1) if 4e6 < period_ns < 1e9 else None
        height, width = received.image.shape[:2]
        self.description = f"OpenIGTLink, {width} x {height} px"
        if message.header.stamp_ns is None and self._settings.poses:
            self._warn("the images have no time stamps, so that no pose can be matched")
        if self._settings.spacing_rel_sd is None:
            if received.spacing_rc_mm is not None:
                self._warn("the sender states a scale without an uncertainty, which is not used; see spacing_sd")
        elif received.spacing_rc_mm is None:
            self._warn("the sender states 1 mm per px, which is no calibration")

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings += (warning,)
            _log.warning("openigtlink: %s", warning)
