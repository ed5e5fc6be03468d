"""Statuses of a C-STORE response: PS3.4 table B.2-1, PS3.7 annex C."""

from __future__ import annotations

from pathlib import Path

import pytest

from usassist.dicom.network.nodes import Instance
from usassist.dicom.network.status import store_outcome

INSTANCE = Instance(
    path=Path("x"),
    size_bytes=1,
    sop_class_uid="1",
    sop_instance_uid="1.2",
    study_instance_uid="1.3",
    series_instance_uid="1.4",
    transfer_syntax_uid="1.5",
)


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (0x0000, "stored", ""),
        (0x0111, "stored", "there already"),
        (0xB000, "stored", "changed attributes"),
        (0xB006, "stored", "left attributes out"),
        (0xB007, "stored", "does not fit"),
        (0xB123, "stored", "warning"),
        (0xA700, "later", "out of resources"),
        (0xA7FF, "later", "out of resources"),
        (0x0110, "later", "failed while"),
        (0x0213, "later", "no resources"),
        (0x7777, "later", "unknown failure"),
        (0xA900, "refused", "does not fit"),
        (0xC000, "refused", "cannot understand"),
        (0xC123, "refused", "cannot understand"),
        (0x0122, "refused", "objects of this kind"),
        (0x0124, "refused", "may not store"),
        (0x0117, "refused", "invalid SOP instance"),
    ],
)
def test_what_may_be_taken_later_and_what_never_are_told_apart(status: int, state: str, said: str) -> None:
    outcome = store_outcome(INSTANCE, status)
    assert (outcome.state, outcome.instance) == (state, INSTANCE)
    assert said in outcome.detail
    assert not outcome.detail or f"{status:04X}" in outcome.detail
