"""What the status of a DIMSE response means: it is done, it may be tried again, or it will never be taken."""

from __future__ import annotations

from usassist.dicom.network.nodes import Instance, Outcome

__all__ = ["find_failure", "store_outcome"]

_SUCCESS = 0x0000
_DUPLICATE = 0x0111  # PS3.7 C.5.2: the SOP instance is there already
# PS3.4 table B.2-1 and PS3.7 annex C.
_WARNINGS = {
    0xB000: "the archive changed attributes",
    0xB006: "the archive left attributes out",
    0xB007: "the archive says that the data set does not fit its SOP class",
    0x0107: "the archive names wrong attributes",
    0x0116: "the archive names values that are out of range",
}
_REFUSED = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class and instance do not go together",
    0x0120: "an attribute is missing",
    0x0121: "a value is missing",
    0x0122: "it does not take objects of this kind",
    0x0124: "we may not store there",
    0x0211: "it does not know this operation",
    0x0212: "it does not understand the request",
}
_LATER = {
    0x0110: "it failed while it stored the object",
    0x0210: "it is busy with this message",
    0x0213: "no resources",
}


def store_outcome(instance: Instance, status: int) -> Outcome:
    """The outcome of a C-STORE response.

    An archive that is out of resources (A7xx) or failed while it stored (0110) may take the object later. One that
    cannot understand it (Cxxx), or says that it does not fit its SOP class (A9xx), will say the same again. The Error
    Comment (0000,0902) is not shown: it may quote the object.

    Parameters
    ----------
    status : (0000,0900)
    """
    code = f"status {status:04X}"
    if status == _SUCCESS:
        return Outcome(instance=instance, state="stored")
    if status == _DUPLICATE:
        return Outcome(instance=instance, state="stored", detail=f"it was there already ({code})")
    if status in _WARNINGS:
        return Outcome(instance=instance, state="stored", detail=f"{_WARNINGS[status]} ({code})")
    if status & 0xF000 == 0xB000:
        return Outcome(instance=instance, state="stored", detail=f"stored with a warning ({code})")
    if status & 0xFF00 == 0xA700:
        return Outcome(instance=instance, state="later", detail=f"the archive is out of resources ({code})")
    if status & 0xFF00 == 0xA900:
        said = "the data set does not fit its SOP class"
        return Outcome(instance=instance, state="refused", detail=f"the archive says: {said} ({code})")
    if status & 0xF000 == 0xC000:
        return Outcome(instance=instance, state="refused", detail=f"the archive cannot understand it ({code})")
    if status in _REFUSED:
        return Outcome(instance=instance, state="refused", detail=f"the archive says: {_REFUSED[status]} ({code})")
    said = _LATER.get(status, "an unknown failure")
    return Outcome(instance=instance, state="later", detail=f"the archive says: {said} ({code})")


def find_failure(status: int) -> str:
    """What the status of a failed query or retrieval means, PS3.4 tables C.4-1, C.4-2, C.4-3 and K.4-2."""
    if status & 0xFF00 == 0xA700:
        said = {0xA701: "it is out of resources to count the matches", 0xA702: "it could not send all objects"}.get(
            status, "it is out of resources"
        )
    elif status == 0xA801:
        said = "it does not know our AE title as a destination; add it there, with this host and move_port"
    elif status & 0xFF00 == 0xA900:
        said = "the query does not fit its SOP class"
    elif status & 0xF000 == 0xC000:
        said = "it cannot process the query"
    elif status == 0xB000:
        said = "some objects could not be sent"
    elif status == 0xFE00:
        said = "it was cancelled"
    elif status in _REFUSED:
        said = _REFUSED[status]
    else:
        said = "an unknown failure"
    return f"{said} (status {status:04X})"
