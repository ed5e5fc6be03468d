"""The results of a session, in the form that DICOM objects are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from usassist.dicom.objects.content import AnsweredFrame, FrameNodule, Point, Size
from usassist.session.opening import RecordedSession

__all__ = ["Answers", "read_answer"]

_SIZES = {
    "longest_diameter": ("major", ""),
    "across": ("minor", ""),
    "ap": ("ap", ""),
    "transverse": ("transverse", ""),
    "equivalent_diameter": ("equivalent", ""),
    "perimeter": ("perimeter", ""),
    "area": ("area", "2"),
}
"""Name in the content → name in the recording, and power of its unit."""


class Answers(Sequence[AnsweredFrame]):
    """The results of some frames, each read when it is asked for."""

    def __init__(self, session: RecordedSession, frame_ids: list[int]) -> None:
        self._session = session
        self._frame_ids = frame_ids

    def __len__(self) -> int:
        return len(self._frame_ids)

    def __iter__(self) -> Iterator[AnsweredFrame]:
        with self._session.result_reader() as read:
            for frame_id in self._frame_ids:
                yield read_answer(read(frame_id))

    @overload
    def __getitem__(self, index: int) -> AnsweredFrame: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AnsweredFrame]: ...

    def __getitem__(self, index: int | slice) -> AnsweredFrame | Sequence[AnsweredFrame]:
        if isinstance(index, slice):
            return Answers(self._session, self._frame_ids[index])
        with self._session.result_reader() as read:
            return read_answer(read(self._frame_ids[index]))


def read_answer(result: Mapping[str, Any] | None) -> AnsweredFrame:
    """The result of a frame, from its line of ``results.jsonl``; None = the recording has none."""
    if result is None:
        return AnsweredFrame(state="missing", cause="result_lost", reason="the recording has no result of this frame")
    return AnsweredFrame(
        state=result["state"],
        cause=result.get("cause") or "",
        reason=result.get("reason") or "",
        engine_id=result["engine_id"],
        backend=result["backend"],
        # What a late answer found is drawn nowhere, and counts nowhere.
        nodules=tuple(
            _frame_nodule(row, nodule)
            for row, nodule in enumerate(result["nodules"] if result["state"] == "finding" else ())
        ),
    )


def _frame_nodule(row: int, nodule: Mapping[str, Any]) -> FrameNodule:
    return FrameNodule(
        row=row,
        track_id=int(nodule.get("track_id", -1)),
        label=nodule.get("label"),
        score=nodule["score"],
        box_xyxy_px=tuple(nodule["xyxy_px"]),
        contour_xy_px=np.asarray(nodule["contour_xy_px"], np.float32).reshape(-1, 2),
        major_ends_xy_px=_ends(nodule.get("major_ends_xy_px")),
        minor_ends_xy_px=_ends(nodule.get("minor_ends_xy_px")),
        sizes={
            name: Size(
                px=nodule[f"{stem}_px{power}"],
                mm=nodule.get(f"{stem}_mm{power}"),
                u95_mm=nodule.get(f"{stem}_u95_mm{power}"),
            )
            for name, (stem, power) in _SIZES.items()
            if nodule.get(f"{stem}_px{power}") is not None
        },
        cut=nodule.get("cut"),
        ap_t=nodule.get("ap_t"),
        ap_t_low=nodule.get("ap_t_low"),
        ap_t_high=nodule.get("ap_t_high"),
        descriptors=tuple(nodule.get("descriptors") or ()),
    )


def _ends(points: Any) -> tuple[Point, Point] | None:
    if not points:
        return None
    (x1, y1), (x2, y2) = points
    return (x1, y1), (x2, y2)
