"""The nodules of a sweep, from its summary, in the form that DICOM objects are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from usassist.dicom.objects.content import AnsweredFrame, Dimensions, NoduleSection, Quantity, SweepNodule
from usassist.session.summary.document import Untracked
from usassist.session.summary.parts import Nodule, Section

__all__ = ["is_shown", "sweep_nodule", "sweep_run"]


def is_shown(item: Nodule | Untracked, place: Mapping[int, int]) -> bool:
    """False where the pixels of all of its planes' frames are lost, so that no object can show it."""
    return item.best.frame_id in place


def sweep_nodule(item: Nodule, place: Mapping[int, int], answers: Sequence[AnsweredFrame]) -> SweepNodule:
    """A nodule of the sweep's summary.

    Parameters
    ----------
    item : of the summary, which :func:`is_shown`
    place : number of a frame → its index among those whose pixels are there
    answers : of these
    """
    dimensions = item.dimensions
    return SweepNodule(
        track_id=item.track_id,
        name=item.name,
        label=item.label,
        frames=item.frames,
        frames_cut=item.frames_cut,
        first_frame_index=_at_or_after(place, item.first_frame_id),
        last_frame_index=_at_or_before(place, item.last_frame_id),
        best=_section(item.best, place, answers),
        transverse=_section_where(item.transverse, place, answers),
        longitudinal=_section_where(item.longitudinal, place, answers),
        dimensions=None
        if dimensions is None
        else Dimensions(
            length_mm=_quantity(dimensions.length_mm),
            width_mm=_quantity(dimensions.width_mm),
            depth_mm=_quantity(dimensions.depth_mm),
            volume_ml=_quantity(dimensions.volume_ml),
        ),
        descriptors=tuple(msgspec.to_builtins(one) for one in item.descriptors),
        categories=tuple(msgspec.to_builtins(one) for one in item.categories),
    )


def sweep_run(item: Untracked, place: Mapping[int, int], answers: Sequence[AnsweredFrame]) -> SweepNodule:
    """A run of findings without identity, likewise."""
    best = _section(item.best, place, answers)
    return SweepNodule(
        track_id=-1,
        name="",
        label=answers[best.frame_index].nodules[best.row].label,
        frames=item.frames,
        frames_cut=0,
        first_frame_index=_at_or_after(place, item.first_frame_id),
        last_frame_index=_at_or_before(place, item.last_frame_id),
        best=best,
    )


def _section_where(
    section: Section | None, place: Mapping[int, int], answers: Sequence[AnsweredFrame]
) -> NoduleSection | None:
    return None if section is None or section.frame_id not in place else _section(section, place, answers)


def _section(section: Section, place: Mapping[int, int], answers: Sequence[AnsweredFrame]) -> NoduleSection:
    index = place[section.frame_id]
    rows = [nodule.row for nodule in answers[index].nodules if nodule.box_xyxy_px == section.box_xyxy_px]
    return NoduleSection(frame_index=index, row=rows[0], plane=section.plane, side=section.side)


def _at_or_after(place: Mapping[int, int], frame_id: int) -> int:
    return min(index for number, index in place.items() if number >= frame_id)


def _at_or_before(place: Mapping[int, int], frame_id: int) -> int:
    return max(index for number, index in place.items() if number <= frame_id)


def _quantity(quantity: Any) -> Quantity:
    return Quantity(value=quantity.value, u95=quantity.u95)
