"""What people have said in this session: planes, and the descriptors of nodules with the categories that follow.

The pages get it as one JSON text, when they connect and after every change::

    {"said": {"session_id": "…",
              "planes": [{"frame_id": 120, "plane": "transverse", "side": "right"}, …],
              "nodules": [{"track_id": 4, "frame_id": 133, "words": {"composition": ["solid"], …},
                           "categories": {"acr_2017": {"level": "TR4", …}, …}}, …]}}

A plane holds from its frame on until the next of the list; one without plane and side ends it. Categories are looked up
here, because only here it is certain that their words come from a mark that the stream has published, and the page has
no tables.
"""

from __future__ import annotations

import logging
from bisect import insort

import msgspec

from usassist.bus import MarkBody, MarkKind
from usassist.clinical import SYSTEMS, Category, Confirmed, Incomplete, categorise, check_words
from usassist.errors import UsageError

__all__ = ["Said"]

logger = logging.getLogger(__name__)

_PLANES_KEPT = 64
_NODULES_KEPT = 64


class _Plane(msgspec.Struct, frozen=True, kw_only=True):
    """From which frame on which plane and side hold; neither = nothing is known."""

    frame_id: int
    plane: str | None = None
    side: str | None = None


class _Nodule(msgspec.Struct, frozen=True, kw_only=True):
    """The words confirmed last about one nodule, on which frame, and what each system says."""

    track_id: int
    frame_id: int
    words: dict[str, tuple[str, ...]]
    categories: dict[str, Category | Incomplete]


_encode = msgspec.json.Encoder().encode


class Said:
    """Keeps the last statements of one session, and their text for the pages.

    One thread adds; ``text`` may be read from any. A mark that cannot be read is left out and logged, never raised.

    Attributes
    ----------
    text : JSON for the pages, a new object after every change; empty until something was said
    """

    def __init__(self) -> None:
        self._session_id = ""
        self._planes: list[_Plane] = []
        self._nodules: dict[int, _Nodule] = {}
        self.text = ""

    def enter_session(self, session_id: str) -> None:
        """Forget everything for a new session; nothing changes where it is the present one."""
        if session_id != self._session_id:
            self._session_id = session_id
            self._planes.clear()
            self._nodules.clear()
            if self.text:
                self._renew()

    def add(self, body: MarkBody) -> None:
        """Take a mark that the stream has published; of another session or kind it is ignored."""
        if body.session_id != self._session_id:
            return
        if body.kind is MarkKind.PLANE:
            plane = None if body.plane is None else body.plane.value
            side = None if body.side is None else body.side.value
            self._put_plane(_Plane(frame_id=body.frame_id, plane=plane, side=side))
        elif body.kind is MarkKind.DESCRIPTORS:
            self._put_nodule(body)

    def end_plane(self, frame_id: int) -> None:
        """From this frame on no plane is known, because the image is another one."""
        before = [item for item in self._planes if item.frame_id <= frame_id]
        if before and (before[-1].plane or before[-1].side):
            self._put_plane(_Plane(frame_id=frame_id))

    def _put_plane(self, plane: _Plane) -> None:
        self._planes = [item for item in self._planes if item.frame_id != plane.frame_id]
        insort(self._planes, plane, key=lambda item: item.frame_id)
        del self._planes[:-_PLANES_KEPT]
        self._renew()

    def _put_nodule(self, body: MarkBody) -> None:
        words = Confirmed(body.descriptors)
        try:
            check_words(words)
        except UsageError as error:
            logger.warning("descriptors of nodule N%d are left out: %s", body.track_id, error)
            return
        self._nodules.pop(body.track_id, None)
        self._nodules[body.track_id] = _Nodule(
            track_id=body.track_id,
            frame_id=body.frame_id,
            words=body.descriptors,
            categories={system_id: categorise(system_id, words) for system_id in SYSTEMS},
        )
        while len(self._nodules) > _NODULES_KEPT:
            del self._nodules[next(iter(self._nodules))]
        self._renew()

    def _renew(self) -> None:
        said = {
            "session_id": self._session_id,
            "planes": self._planes,
            "nodules": sorted(self._nodules.values(), key=lambda item: item.track_id),
        }
        self.text = _encode({"said": said}).decode("utf-8")
