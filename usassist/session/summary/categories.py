"""Descriptors of a nodule with their origin, and categories from those that a clinician confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from usassist.clinical import (
    DESCRIPTORS,
    SYSTEMS,
    Category,
    Confirmed,
    Incomplete,
    System,
    categorise,
)
from usassist.errors import UsageError
from usassist.session.lines import MarkLine
from usassist.session.summary.parts import (
    ApT,
    CategoryOfNodule,
    DescriptorOfNodule,
    Quantity,
    Section,
    ThresholdOfNodule,
)

__all__ = ["confirmed_words", "describe_categories", "describe_nodule"]

State = Literal["reached", "not_reached", "within", "cut", "no_scale"]


def confirmed_words(marks: Sequence[MarkLine], track_id: int) -> MarkLine | None:
    """The last ``descriptors`` mark of a nodule: it replaces those before."""
    found = [mark for mark in marks if mark.kind == "descriptors" and mark.track_id == track_id]
    return found[-1] if found else None


def describe_nodule(
    confirmed: MarkLine | None,
    estimated: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Mapping[str, int]],
    ap_t: ApT | None,
) -> tuple[DescriptorOfNodule, ...]:
    """All five descriptors: confirmed, or measured, or estimated, or left to the clinician.

    Parameters
    ----------
    confirmed : from :func:`confirmed_words`
    estimated : descriptors that the engine gave on the best plane
    counts : name → value → frames on which the engine gave it
    ap_t : AP over transverse extent in a plane that was marked as transverse
    """
    said = {} if confirmed is None else confirmed.descriptors
    by_name = {item["name"]: item for item in estimated}
    names = [*DESCRIPTORS, *sorted((set(by_name) | set(said)) - set(DESCRIPTORS))]
    found = []
    for name in names:
        if said.get(name):
            frame_id = None if confirmed is None else confirmed.frame_id
            found.append(DescriptorOfNodule(name=name, basis="confirmed", words=said[name], frame_id=frame_id))
        elif name == "shape" and ap_t is not None and ap_t.verdict in ("taller", "wider", "uncertain"):
            found.append(DescriptorOfNodule(name=name, basis="measured", words=(ap_t.verdict,)))
        elif name in by_name:
            found.append(_estimated(by_name[name], counts.get(name, {})))
        else:
            found.append(DescriptorOfNodule(name=name, basis="needs_clinician", words=()))
    return tuple(found)


def _estimated(item: Mapping[str, Any], counts: Mapping[str, int]) -> DescriptorOfNodule:
    described = sum(counts.values())
    return DescriptorOfNodule(
        name=item["name"],
        basis="estimated",
        words=(item["value"],),
        probability=item.get("probability"),
        same_in_frames=round(counts.get(item["value"], 0) / described, 3) if described else None,
        described_frames=described,
        agreement=item.get("agreement"),
    )


def describe_categories(confirmed: MarkLine | None, longest: Section) -> tuple[CategoryOfNodule, ...]:
    """The category of every system; empty where nothing was confirmed.

    Parameters
    ----------
    confirmed : from :func:`confirmed_words`
    longest : the section whose longest diameter is compared with the sizes of the systems
    """
    if confirmed is None:
        return ()
    words = Confirmed(confirmed.descriptors)
    found = []
    for system in SYSTEMS.values():
        try:
            answer = categorise(system.id, words)
        except UsageError as error:  # a word that this version does not have
            answer = Incomplete(missing=(), reason=str(error))
        found.append(_category(system, answer, longest))
    return tuple(found)


def _category(system: System, answer: Category | Incomplete, longest: Section) -> CategoryOfNodule:
    size = longest.sizes["longest_diameter"]
    known = size is not None and size.mm is not None and size.u95_mm is not None and not longest.cut
    compared = Quantity(value=size.mm, u95=size.u95_mm) if known else None  # type: ignore[union-attr, arg-type]
    missing_state: State = "cut" if longest.cut else "no_scale"
    category = answer if isinstance(answer, Category) else None
    incomplete = answer if isinstance(answer, Incomplete) else None
    thresholds: list[ThresholdOfNodule] = []
    if category is not None:
        for kind, limit in (("fna", category.fna_mm), ("follow_up", category.follow_up_mm)):
            if limit is not None:
                state = missing_state if compared is None else _compare(compared, limit, system.size_sign)
                thresholds.append(ThresholdOfNodule(kind=kind, threshold_mm=limit, state=state))  # type: ignore[arg-type]
    return CategoryOfNodule(
        system_id=system.id,
        name=system.name,
        edition=system.edition,
        source=system.source,
        level=None if category is None else category.level,
        meaning="" if category is None else category.meaning,
        points=None if category is None else category.points,
        risk_text="" if category is None else category.risk_text,
        note="" if category is None else category.note,
        missing=() if incomplete is None else incomplete.missing,
        reason="" if incomplete is None else incomplete.reason,
        size_sign=system.size_sign,  # type: ignore[arg-type]
        compared_mm=compared,
        thresholds=tuple(thresholds),
    )


def _compare(size: Quantity, limit_mm: float, sign: str) -> State:
    """Where a threshold lies: below the whole interval of a size, above it, or within."""
    low, high = size.value - size.u95, size.value + size.u95
    if low >= limit_mm if sign == "≥" else low > limit_mm:
        return "reached"
    if high < limit_mm if sign == "≥" else high <= limit_mm:
        return "not_reached"
    return "within"
