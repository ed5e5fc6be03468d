"""From the descriptors that a clinician confirmed to the category of a system."""

from __future__ import annotations

from dataclasses import dataclass

from usassist.clinical.points import Points
from usassist.clinical.systems import SYSTEMS
from usassist.clinical.vocabulary import DESCRIPTORS, Confirmed, check_words
from usassist.errors import UsageError

__all__ = ["Category", "Incomplete", "categorise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What a system says of a nodule. It is a lookup in a published table, and no advice for a patient.

    Attributes
    ----------
    system_id, edition : of the system; levels of different editions do not compare
    level : as the system calls it: ``TR4``, ``K-TIRADS 4``, ``EU-TIRADS 4``
    meaning : of the level, in the words of the system
    points : total; None where the system has no points
    risk_text : risk of malignancy as the source gives it
    fna_mm, follow_up_mm : largest diameter, mm, from or above which (:attr:`fna_text` has the sign) the system
        recommends fine-needle aspiration, or follow-up; None = it gives no size
    fna_text, follow_up_text : the same in words
    pattern : which pattern of the system the nodule has; empty = the system has points, or several would lead there
    note : what has to be said with it; empty = nothing
    """

    system_id: str
    edition: str
    level: str
    meaning: str
    points: int | None
    risk_text: str
    fna_mm: float | None
    follow_up_mm: float | None
    fna_text: str
    follow_up_text: str
    pattern: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """There is no category yet.

    Attributes
    ----------
    missing : names of the descriptors that are not confirmed, or have to be confirmed in another way
    reason : why, in words; empty = they are not confirmed
    """

    missing: tuple[str, ...]
    reason: str = ""


def categorise(system_id: str, descriptors: Confirmed) -> Category | Incomplete:
    """Look up the category of one nodule.

    **Only for what a clinician confirmed.** A category needs all five descriptors, and one that an engine estimates
    would count in it as if a person had seen it. So estimates must not be passed, not even for one of the five: the
    argument has a type of its own, which only the words of a confirmed mark are wrapped in, and a value that is no
    tuple of words of the vocabulary is refused.

    Parameters
    ----------
    system_id : a key of :data:`SYSTEMS`
    descriptors : descriptor → its words, from a mark of the kind ``descriptors``

    Raises
    ------
    UsageError
        If the system, a descriptor or a word is unknown, or words exclude each other.
    """
    system = SYSTEMS.get(system_id)
    if system is None:
        raise UsageError(f"unknown system {system_id!r}; known: {', '.join(SYSTEMS)}")
    check_words(descriptors)
    missing = tuple(name for name in DESCRIPTORS if not descriptors.get(name))
    if missing:
        return Incomplete(missing=missing)
    words = {name: descriptors[name] for name in DESCRIPTORS}
    points, pattern, note = None, "", ""
    if isinstance(system.rule, Points):
        points = system.rule.total(words)
        name, note = system.rule.level_of[points], system.rule.notes.get(points, "")
    else:
        found = system.rule.find(words)
        if not isinstance(found, tuple):
            return Incomplete(missing=found.missing, reason=found.text)
        name, pattern = found
    level = next(level for level in system.levels if level.level == name)
    return Category(
        system_id=system.id,
        edition=system.edition,
        level=level.level,
        meaning=level.meaning,
        points=points,
        risk_text=level.risk_text,
        fna_mm=level.fna_mm,
        follow_up_mm=level.follow_up_mm,
        fna_text=level.fna_text,
        follow_up_text=level.follow_up_text,
        pattern=pattern,
        note=note,
    )
