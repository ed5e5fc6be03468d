"""Fetching a study over DIMSE: C-GET, or C-MOVE to a listener of our own (PS3.4 annex C.4.2, C.4.3)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset

from usassist.common.private_files import create_private, sync_folder
from usassist.dicom.network.association import associated, load_pynetdicom, lost
from usassist.dicom.network.find import find_matches
from usassist.dicom.network.nodes import Match, Node, Query
from usassist.dicom.network.status import find_failure
from usassist.errors import ArchiveDownError, ArchiveError, DicomError, UsageError

__all__ = ["fetch_study"]

_GET, _MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"  # Study Root
_PENDING = (0xFF00, 0xFF01)
_UID = re.compile(r"[0-9.]{1,64}")
_MAX_CONTEXTS = 128
_PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
# Compressed transfer syntaxes that ultrasound, CT and MR objects come in; PS3.6 table A-1.
_COMPRESSED = [
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.70",  # JPEG lossless
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.102",  # MPEG-4
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.1.99",  # deflated
]


def fetch_study(node: Node, study_uid: str, folder: Path) -> int:
    """Fetch all objects of a study; see :meth:`usassist.dicom.network.nodes.Archive.fetch`.

    The archive is first asked for the objects that the study has; fewer than these are an error.
    """
    expected = _objects(node, study_uid)
    if not expected:
        raise ArchiveError(f"{node.name} has no such study; look for it with: usassist pacs find {node.name}")
    receiver = _Receiver(study_uid, folder)
    try:
        if node.move_port:
            _move(node, study_uid, receiver)
        else:
            _get(node, study_uid, receiver, sorted({match.sop_class_uid for match in expected}))
    except ArchiveError:
        receiver.check_own()  # the archive only knows that we did not take something
        raise
    receiver.check(node)
    missing = {match.sop_instance_uid for match in expected} - receiver.uids
    if missing:
        raise ArchiveError(
            f"{node.name} sent {len(receiver.uids)} of the {len(expected)} objects of the study; "
            "nothing was kept, try again"
        )
    sync_folder(folder)
    return len(receiver.uids)


def _objects(node: Node, study_uid: str) -> list[Match]:
    series = find_matches(node, Query(level="SERIES", study_instance_uid=study_uid))
    queries = [
        Query(level="IMAGE", study_instance_uid=study_uid, series_instance_uid=match.series_instance_uid)
        for match in series
    ]
    return [match for query in queries for match in find_matches(node, query)]


class _Receiver:
    """Writes what arrives by C-STORE into a folder: objects of one study, each once."""

    def __init__(self, study_uid: str, folder: Path) -> None:
        self.uids: set[str] = set()
        self._study_uid, self._folder = study_uid, folder
        self._error: DicomError | None = None
        self._lock = threading.Lock()

    def store(self, event: Any) -> int:
        """Handler of pynetdicom's EVT_C_STORE. Returns the status of PS3.4 table B.2-1."""
        uid = str(event.request.AffectedSOPInstanceUID)
        if not _UID.fullmatch(uid):
            return 0xC000
        try:
            if str(event.dataset.get("StudyInstanceUID", "")) != self._study_uid:
                return 0xC001  # nobody asked for it
        except Exception:  # noqa: BLE001 - whatever pydicom raises on it, it is not taken
            return 0xC002
        with self._lock:
            if uid in self.uids:
                return 0x0000
            try:
                with create_private(self._folder / f"{uid}.dcm") as file:
                    file.write(event.encoded_dataset())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                said = "the disk is full" if full else (error.strerror or "error").lower()
                self._error = DicomError(f"the study was not kept: {said}; name another folder with --out")
                return 0xA700
            self.uids.add(uid)
        return 0x0000

    def check_own(self) -> None:
        """Raise what went wrong here while the archive was sending."""
        if self._error is not None:
            raise self._error

    def check(self, node: Node) -> None:
        """Raise where nothing has arrived, or something went wrong here."""
        self.check_own()
        if not self.uids:
            raise ArchiveError(f"{node.name} sent no object of the study; nothing was kept, try again")


def _identifier(study_uid: str) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.StudyInstanceUID = study_uid
    return dataset


def _get(node: Node, study_uid: str, receiver: _Receiver, classes: list[str]) -> None:
    """C-GET: the objects come back on the association of the request."""
    load_pynetdicom()
    from pynetdicom import build_role, evt
    from pynetdicom.presentation import build_context

    contexts = [build_context(_GET)] + [build_context(item, _PLAIN) for item in classes]
    # One context for each compressed transfer syntax: of several in one, the archive would choose a single one.
    more = [build_context(item, [syntax]) for syntax in _COMPRESSED for item in classes]
    contexts += more[: _MAX_CONTEXTS - len(contexts)]
    if len(contexts) > _MAX_CONTEXTS:
        raise ArchiveError(f"the study has objects of {len(classes)} kinds, more than a C-GET can name; set move_port")
    roles = [build_role(item, scp_role=True) for item in classes]
    handlers = [(evt.EVT_C_STORE, receiver.store)]
    with associated(node, contexts, roles=roles, handlers=handlers) as association:
        offered = {str(item.abstract_syntax) for item in association.accepted_contexts}
        if _GET not in offered:
            raise ArchiveError(f"{node.name} has no C-GET; set move_port, and add our AE title and this host there")
        for status, _ in association.send_c_get(_identifier(study_uid), _GET):
            _check_status(node, association, status, "a C-GET")


def _move(node: Node, study_uid: str, receiver: _Receiver) -> None:
    """C-MOVE: the archive makes an association of its own to our listener."""
    load_pynetdicom()
    from pynetdicom.presentation import build_context

    with _listening(node, receiver), associated(node, [build_context(_MOVE)]) as association:
        for status, _ in association.send_c_move(_identifier(study_uid), node.own_ae_title, _MOVE):
            _check_status(node, association, status, "a C-MOVE")


@contextlib.contextmanager
def _listening(node: Node, receiver: _Receiver) -> Iterator[None]:
    from pynetdicom import AE, AllStoragePresentationContexts, evt

    entity = AE(ae_title=node.own_ae_title)
    entity.require_called_aet = True
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.timeout_s
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), [*_PLAIN, *_COMPRESSED])
    try:
        server = entity.start_server(
            ("", node.move_port),
            block=False,
            ssl_context=_server_context(node),
            evt_handlers=[(evt.EVT_C_STORE, receiver.store)],
        )
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise UsageError(f"port {node.move_port} of move_port cannot be listened on: {reason}; name another") from error
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _server_context(node: Node) -> ssl.SSLContext | None:
    """Over TLS, the archive has to show a certificate that `tls_ca` signed, as it has when we connect to it."""
    if not node.tls_ca:
        return None
    if not node.tls_cert:
        raise UsageError(f"{node.name}: a C-MOVE over TLS needs tls_cert and tls_key, which the archive connects to")
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=None if node.tls_ca == "system" else node.tls_ca
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(node.tls_cert, node.tls_key)
    return context


def _check_status(node: Node, association: Any, status: Dataset, doing: str) -> None:
    if "Status" not in status:
        raise lost(node, association, doing)
    code = int(status.Status)
    if code == 0xA702 or code & 0xFF00 == 0xA700:
        raise ArchiveDownError(f"{node.name} did not send the study: {find_failure(code)}; nothing was kept")
    if code and code not in _PENDING:
        raise ArchiveError(f"{node.name} did not send the study: {find_failure(code)}; nothing was kept")
