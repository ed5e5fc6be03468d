"""Bodies of DICOMweb requests and responses: multipart/related (RFC 2387), and the answer to a store request."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydicom.datadict import tag_for_keyword

from usassist.dicom.network.nodes import Instance, Outcome

__all__ = ["Item", "StoreBody", "UnknownAnswerError", "outcomes_of", "single_part", "text_of"]

Item = dict[str, Any]
"""A data set as DICOM JSON (PS3.18 annex F). pydicom would check its values, and quote wrong ones in warnings."""
_STORED, _FAILED, _SOP_INSTANCE = "ReferencedSOPSequence", "FailedSOPSequence", "ReferencedSOPInstanceUID"

_PIECE_BYTES = 1 << 20
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;,\s]+))', re.IGNORECASE)
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
# PS3.18 table I.2-2, PS3.4 table B.2-1 and PS3.7 annex C
_REASONS = {
    0x0110: "it failed while processing it",
    0x0122: "it takes no objects of this kind",
    0x0124: "it does not allow this",
    0xA900: "the object is not what it says",
    0xC000: "it cannot understand the object",
    0xC122: "it does not take this transfer syntax",
    0xC409: "the study belongs to another patient",
}
_TRY_AGAIN = frozenset({0x0110})  # a failure of the server, by its definition


class UnknownAnswerError(Exception):
    """The answer to a store request is not the data set that PS3.18 section 10.5.3 requires."""


class StoreBody:
    """The body of a store request, read from the files while it is sent.

    It knows its length, so that it needs no chunked encoding, which some servers do not take.

    Parameters
    ----------
    instances : what it holds
    begin : called right before the first byte of each
    """

    def __init__(self, instances: Sequence[Instance], begin: Callable[[Instance], None]) -> None:
        self._instances, self._begin = instances, begin
        boundary = secrets.token_hex(24)
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        parts = sum(len(self._head) + item.size_bytes + 2 for item in self._instances)
        return parts + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        for instance in self._instances:
            left = instance.size_bytes
            with instance.path.open("rb") as file:
                self._begin(instance)
                yield self._head
                while left and (piece := file.read(min(left, _PIECE_BYTES))):
                    left -= len(piece)
                    yield piece
            if left:  # the request is broken off: what was promised cannot be sent
                raise OSError(f"{instance.path.name} became shorter while it was sent; leave it alone, and send again")
            yield b"\r\n"
        yield self._tail


def outcomes_of(portion: Sequence[Instance], status: int, content: bytes) -> dict[str, Outcome]:
    """What a store response says of each object.

    Parameters
    ----------
    portion : what was sent
    status : of HTTP
    content : its body, DICOM JSON

    Returns
    -------
    outcomes : by SOP Instance UID; without those that it does not name

    Raises
    ------
    UnknownAnswerError
        If it is no such data set.
    """
    try:
        document: Any = json.loads(content)
        answer: Item = document[0] if isinstance(document, list) else document
        said = {}
        for state, sequence, reason in (("stored", _STORED, "WarningReason"), ("failed", _FAILED, "FailureReason")):
            for item in _values(answer, sequence):
                said[text_of(item, _SOP_INSTANCE)] = state, int(text_of(item, reason) or 0)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise UnknownAnswerError from None
    outcomes = {}
    for instance in portion:
        if instance.sop_instance_uid in said:
            outcomes[instance.sop_instance_uid] = _outcome(instance, *said[instance.sop_instance_uid])
    return outcomes


def text_of(item: Item, keyword: str) -> str:
    """Value of an element, several separated by commas; empty where there is none."""
    return ",".join(_word(value) for value in _values(item, keyword))


def _values(item: Item, keyword: str) -> list[Any]:
    element = item.get(f"{tag_for_keyword(keyword):08X}")
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _word(value: Any) -> str:
    if isinstance(value, dict):  # a name of a person, PS3.18 section F.2.2
        value = next((value[key] for key in ("Alphabetic", "Ideographic", "Phonetic") if value.get(key)), "")
    return "" if value is None else str(value)


def _outcome(instance: Instance, what: str, code: int) -> Outcome:
    if what == "stored":
        return Outcome(instance=instance, state="stored", detail=f"with warning {code:04X}" if code else "")
    if code in _OUT_OF_RESOURCES:
        return Outcome(instance=instance, state="later", detail=f"it is out of resources ({code:04X})")
    reason = _REASONS.get(code, "it gives no known reason")
    return Outcome(
        instance=instance, state="later" if code in _TRY_AGAIN else "refused", detail=f"{reason} ({code:04X})"
    )


def single_part(content_type: str, content: bytes) -> bytes | None:
    """The only part of a multipart response, or a response that is the part itself, as some servers send it.

    Returns
    -------
    part : its bytes; None where the response is cut off, or holds something else than one DICOM file
    """
    if content_type.lower().startswith("application/dicom") and "+" not in content_type.split(";")[0]:
        return content if _is_file(content) else None
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    mark = b"--" + (match[1] or match[2]).encode("latin-1")
    start = content.find(mark)
    head_end = content.find(b"\r\n\r\n", start)
    end = content.rfind(b"\r\n" + mark + b"--")
    if start < 0 or head_end < 0 or end < head_end:
        return None
    part = content[head_end + 4 : end]
    return part if _is_file(part) else None


def _is_file(part: bytes) -> bool:
    return part[128:132] == b"DICM"
