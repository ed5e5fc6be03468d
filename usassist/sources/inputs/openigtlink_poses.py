"""Poses of OpenIGTLink for images, matched by the sender's time stamps. The last value is never taken for another time.

PLUS sends the transforms of a frame right before or after its image, with the same stamp. A tracker of its own has
stamps of its own; the nearest counts, up to 20 ms away, which is 2 mm for a probe that moves at 100 mm/s.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from usassist.common.openigtlink.content import read_transform
from usassist.common.openigtlink.header import DEVICE_BYTES
from usassist.common.openigtlink.reader import Message
from usassist.records import Pose, PoseStatus
from usassist.records.poses import Matrix3x4

__all__ = ["PoseMatcher"]

_SAME_NS = 2_000  # a stamp has 0.2 ns, and PLUS computes it as a double: 0.2 us
_NEAR_NS = 20_000_000
_KEPT = 64  # of each name
_SILENT_NS = 1_000_000_000  # a name that was not heard for so long is not waited for


@dataclass(frozen=True, slots=True)
class _Stated:
    stamp_ns: int
    matrix_mm: Matrix3x4 | None  # None where the sender says that it is not valid


class PoseMatcher:
    """Keeps the newest transforms of the names that are asked for.

    Parameters
    ----------
    names : of the transforms, as the sender names its devices; it cuts them to 20 characters
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._stated: dict[str, deque[_Stated]] = {name[:DEVICE_BYTES]: deque(maxlen=_KEPT) for name in names}
        self._heard_ns = dict.fromkeys(self._stated, time.monotonic_ns())  # at first every name is waited for

    def take(self, message: Message) -> None:
        """Take a TRANSFORM; of another name it is ignored.

        Raises
        ------
        ProtocolError
            If its content cannot be read.
        """
        stated = self._stated.get(message.header.device)
        if stated is None:
            return
        matrix = read_transform(message.content)
        self._heard_ns[message.header.device] = message.t_arrived_ns
        if message.header.stamp_ns is not None:
            is_valid = message.metadata.get("TransformStatus", "OK") == "OK"  # of PLUS, with headers of version 2
            values = cast(Matrix3x4, tuple(matrix[:3].ravel().tolist()))
            stated.append(_Stated(message.header.stamp_ns, values if is_valid else None))

    def is_complete(self, stamp_ns: int | None, now_ns: int) -> bool:
        """Every transform of an image has arrived that can be expected.

        Parameters
        ----------
        stamp_ns : of the image
        now_ns : monotonic ns
        """
        if stamp_ns is None:
            return True
        for name, stated in self._stated.items():
            if now_ns - self._heard_ns[name] >= _SILENT_NS:
                continue
            if not any(abs(item.stamp_ns - stamp_ns) <= _SAME_NS or item.stamp_ns > stamp_ns for item in stated):
                return False
        return True

    def match(self, stamp_ns: int | None) -> tuple[Pose, ...]:
        """The poses at the time of an image, one for each name."""
        return tuple(self._match(name, stamp_ns) for name in self.names)

    def _match(self, name: str, stamp_ns: int | None) -> Pose:
        stated = self._stated[name[:DEVICE_BYTES]]
        if stamp_ns is None or not stated:
            return Pose(name=name, status=PoseStatus.MISSING)
        nearest = min(stated, key=lambda item: abs(item.stamp_ns - stamp_ns))
        if abs(nearest.stamp_ns - stamp_ns) > _NEAR_NS:
            return Pose(name=name, status=PoseStatus.STALE, sender_stamp_ns=nearest.stamp_ns)
        if nearest.matrix_mm is None:
            return Pose(name=name, status=PoseStatus.INVALID, sender_stamp_ns=nearest.stamp_ns)
        return Pose(
            name=name,
            status=PoseStatus.VALID,
            matrix_mm=nearest.matrix_mm,
            sender_stamp_ns=nearest.stamp_ns,
        )
