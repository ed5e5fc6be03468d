"""What becomes of the objects that senders bring by C-STORE (PS3.4 annex B): kept, refused, and studies completed.

"Success" is answered when the object is on the disk. A study is complete when every sender of it has released its
association and nothing has come for a while: DICOM has no other end of a study, and many scanners open an association
for each image. What a sender left in the middle stays under ``incoming/`` until one sends the study again.
"""

from __future__ import annotations

import io
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.filereader import read_dataset

from usassist.dicom.network.store import StudyStore
from usassist.errors import DifferentObjectError, StoreError, StoreFullError
from usassist.sources.dicom.header import PYDICOM_ERRORS

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["SUCCESS", "ListenOptions", "Receiver"]

SUCCESS, _OUT_OF_RESOURCES, _FAILED, _MISMATCH = 0x0000, 0xA700, 0x0110, 0xA900  # PS3.4 table B.2-1, PS3.7 annex C
_CANNOT_UNDERSTAND, _TOO_LARGE, _DIFFERENT = 0xC000, 0xC001, 0xC002
_UID_TAGS = (0x00080018, 0x0020000D, 0x0020000E)  # SOP, Study and Series Instance UID
_GOODBYE_S = 5.0  # that senders get to be gone at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """How studies are received.

    Attributes
    ----------
    ae_title : ours; who calls another one is refused
    host, port : where to listen; port 0 = one that is free
    allow : AE titles that may send; empty = all
    quiet_s : a study is complete when its senders have released and nothing has come for so long
    max_bytes : of one object
    timeout_s : a sender that is silent for so long is cut off
    tls_cert, tls_key : our certificate and key, PEM; None = no TLS
    tls_ca : senders have to show a certificate that these (PEM) signed; None = any sender
    """

    ae_title: str = "USASSIST"
    host: str = "127.0.0.1"
    port: int = 11112
    allow: tuple[str, ...] = ()
    quiet_s: float = 10.0
    max_bytes: int = 2 << 30
    timeout_s: float = 60.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None


@dataclass(slots=True)
class _Study:
    """A study that is being received: objects that were confirmed, and how many of them were not here before."""

    kept: int = 0
    new: int = 0
    senders: set[Association] = field(default_factory=set)
    is_cut: bool = False
    newest_s: float = 0.0


class Receiver:
    """Takes objects from senders and completes studies.

    Parameters
    ----------
    store : where they go
    options : how
    tell : called with each line for the user; no line holds what names a patient
    on_study : called with the folder of a study that is complete, and how many objects came

    Attributes
    ----------
    address : host and port that are listened on
    """

    def __init__(
        self,
        store: StudyStore,
        options: ListenOptions,
        tell: Callable[[str], None],
        on_study: Callable[[Path, int], None],
    ) -> None:
        self.address = (options.host, options.port)
        self._store, self._options, self._tell, self._on_study = store, options, tell, on_study
        self._lock = threading.Lock()
        self._studies: dict[str, _Study] = {}
        self._lacking: dict[str, set[str]] = {}  # objects of a study that could not be kept, and will be sent again
        self._pending: dict[Association, int] = {}  # bytes of the object that is arriving
        self._told: set[tuple[object, str]] = set()

    def tick(self, *, quiet_s: float | None = None) -> None:
        """See who has gone, and complete what is complete; to be called again and again.

        Parameters
        ----------
        quiet_s : instead of that of the options
        """
        with self._lock:
            studies = list(self._studies.items())
            endless = [item for item, size in self._pending.items() if size > self._options.max_bytes]
            for sender in endless:
                self._say(sender, "it sends an object that is larger than --max-mb, and was cut off")
            self._pending = {item: size for item, size in self._pending.items() if item.is_alive()}
            self._told = {(who, what) for who, what in self._told if isinstance(who, str) or self._is_alive(who)}
        for sender in endless:
            sender.abort()  # waits for its thread, which takes the lock to count
        for uid, study in studies:
            self._look_at(uid, study, self._options.quiet_s if quiet_s is None else quiet_s)

    def close(self) -> None:
        """Wait for the senders to be gone, and complete what has ended."""
        with self._lock:
            senders = {sender for study in self._studies.values() for sender in study.senders}
        until = time.monotonic() + _GOODBYE_S
        for sender in senders:
            sender.join(max(0.0, until - time.monotonic()))
        self.tick(quiet_s=0.0)

    def take(self, event: Any) -> Dataset:
        """Handler of C-STORE. Returns the status."""
        request, sender = event.request, event.assoc
        data: bytes = request.DataSet.getvalue()
        if len(data) > self._options.max_bytes:
            return self._refuse(sender, _TOO_LARGE, "an object is larger than --max-mb")
        syntax = event.context.transfer_syntax
        try:
            study_uid, sop_uid = _uids_of(data, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian)
        except PYDICOM_ERRORS:
            return self._refuse(sender, _CANNOT_UNDERSTAND, "an object cannot be read")
        if not study_uid or not sop_uid:
            return self._refuse(sender, _CANNOT_UNDERSTAND, "an object has no Study, Series or SOP Instance UID")
        if sop_uid != str(request.AffectedSOPInstanceUID):
            return self._refuse(sender, _MISMATCH, "an object has another SOP Instance UID than its command")
        with self._lock:  # before it is kept, so that nobody completes the study meanwhile
            study = self._studies.setdefault(study_uid, _Study())
            study.senders.add(sender)
            study.is_cut = False
        try:
            is_new = self._keep(study_uid, sop_uid, event, data)
        except StoreFullError:
            self._lack(study_uid, sop_uid)
            return self._refuse(sender, _OUT_OF_RESOURCES, "the disk is full; free some space")
        except DifferentObjectError:
            return self._refuse(sender, _DIFFERENT, "an object is here already with other content, which stays")
        except StoreError as error:
            self._lack(study_uid, sop_uid)
            return self._refuse(sender, _FAILED, str(error))
        with self._lock:
            study.kept += 1
            study.new += is_new
            study.newest_s = time.monotonic()
            self._lacking.get(study_uid, set()).discard(sop_uid)
        return _status(SUCCESS)

    def whole(self, event: Any) -> None:
        """Handler of a message that has arrived to its end."""
        with self._lock:
            self._pending.pop(event.assoc, None)

    def count(self, event: Any) -> None:
        """Handler of what arrives: counts the bytes of an object, so that none is larger than memory."""
        if event.pdu.pdu_type == 0x04:  # P-DATA-TF
            with self._lock:
                self._pending[event.assoc] = self._pending.get(event.assoc, 0) + event.pdu.pdu_length

    def reject(self, event: Any) -> None:
        """Handler of an association that was refused: told once for each AE title."""
        called, calling = (
            "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in title.strip())
            for title in (event.assoc.requestor.primitive.called_ae_title, event.assoc.requestor.ae_title)
        )
        why = "it is not among --allow"
        if called != self._options.ae_title:
            why = f"it calls {called}, and this is {self._options.ae_title}"
        with self._lock:
            self._say(f"{calling}", f"refused: {why}")

    def _keep(self, study_uid: str, sop_uid: str, event: Any, data: bytes) -> bool:
        from pynetdicom.dsutils import encode_file_meta

        head = bytes(128) + b"DICM" + encode_file_meta(event.file_meta)
        return self._store.keep(study_uid, sop_uid, head, data)

    def _look_at(self, uid: str, study: _Study, quiet_s: float) -> None:
        with self._lock:
            gone = {sender for sender in study.senders if not sender.is_alive()}
            study.senders -= gone
            lacking = self._lacking.get(uid, set())
            if gone:
                study.is_cut = bool(lacking) or not all(sender.is_released for sender in gone)
                study.newest_s = time.monotonic()
            has_ended = bool(gone) and not study.senders
            is_over = not study.senders and (study.is_cut or time.monotonic() - study.newest_s >= quiet_s)
            if is_over:
                self._studies.pop(uid, None)
        try:
            if not study.kept:
                return
            if has_ended and study.is_cut:
                why = f"{len(lacking)} objects are missing" if lacking else "its sender was cut off"
                self._tell(
                    f"study {uid}: {why}; {study.kept} objects have come, and stay in incoming/ until the rest is sent"
                )
            elif is_over:
                self._on_study(self._store.complete(uid), study.new)
            elif has_ended:
                self._store.end(uid)
        except StoreError as error:
            with self._lock:
                self._say(uid, str(error))
                if is_over and not study.is_cut:
                    self._studies.setdefault(uid, study)  # tried again, with what may come meanwhile

    def _lack(self, study_uid: str, sop_uid: str) -> None:
        with self._lock:
            self._lacking.setdefault(study_uid, set()).add(sop_uid)

    def _refuse(self, sender: Association, code: int, why: str) -> Dataset:
        with self._lock:
            self._say(sender, f"refused ({code:04X}): {why}")
        return _status(code, why)

    def _say(self, who: Association | str, what: str) -> None:
        """Tell the user, once for each sender and reason."""
        if (who, what) in self._told:
            return
        self._told.add((who, what))
        title = who if isinstance(who, str) else who.requestor.ae_title.strip()
        self._tell(f"{title}: {what}")

    @staticmethod
    def _is_alive(who: Any) -> bool:
        return bool(who.is_alive())


def _uids_of(data: bytes, *, implicit: bool, little: bool) -> tuple[str, str]:
    """Study and SOP Instance UID of an encoded data set; the first is empty where it has no series either."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote the data set
        dataset = read_dataset(
            io.BytesIO(data),
            implicit,
            little,
            stop_when=lambda tag, *_: bool(tag > _UID_TAGS[-1]),
            specific_tags=list(_UID_TAGS),
        )
        sop, study, series = (
            str(dataset.get(keyword) or "").strip()
            for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        )
    return (study if series else ""), sop


def _status(code: int, comment: str = "") -> Dataset:
    status = Dataset()
    status.Status = code
    if comment:
        status.ErrorComment = comment[:64]  # LO, PS3.5 table 6.2-1
    return status
