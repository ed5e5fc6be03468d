"""An archive of pynetdicom in this process, which can be made to misbehave, and counts what it is sent."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field
from typing import Any

import pytest
from pydicom import Dataset

from tests.clinic.certificates import Certificate

pytest.importorskip("pynetdicom", reason="needs the extra `dicom`: pip install 'usassist[dicom]'")

from pynetdicom import AE, evt

__all__ = ["FakeArchive", "running_scp"]

STORAGE = ["1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"]
FIND, ECHO = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.1"


@dataclass
class FakeArchive:
    """What it has taken, and how it behaves.

    Attributes
    ----------
    port : on 127.0.0.1; its AE title is FAKE
    received : how often each SOP instance UID has arrived, whether it was confirmed or not
    kept : data sets by SOP instance UID
    status : of its answer to a C-STORE, from the number of objects that arrived so far
    no_queries : it ends the connection at a query, as Orthanc does where it does not allow them
    before_answer : called with the association and that number when an object has arrived, before it is answered
    """

    port: int = 0
    received: Counter[str] = field(default_factory=Counter)
    kept: dict[str, Dataset] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    syntaxes: list[str] = field(default_factory=list)
    associations: int = 0
    status: Callable[[int], int] = lambda count: 0x0000
    before_answer: Callable[[Any, int], None] = lambda association, count: None
    no_queries: bool = False

    def forget(self) -> None:
        """Be as a new one, at the same port."""
        for name, item in self.__dataclass_fields__.items():
            if name != "port":
                setattr(self, name, item.default if item.default_factory is MISSING else item.default_factory())

    def store(self, event: Any) -> int:
        dataset = event.dataset
        uid = str(event.request.AffectedSOPInstanceUID)
        self.received[uid] += 1
        self.syntaxes.append(str(event.context.transfer_syntax))
        count = sum(self.received.values())
        status = self.status(count)
        if status == 0 or status & 0xF000 == 0xB000:
            self.kept[uid] = dataset
            self.raw[uid] = event.encoded_dataset(include_meta=False)
        self.before_answer(event.assoc, count)
        return status

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if self.no_queries:
            event.assoc.abort()
            return
        for uid, dataset in self.kept.items():
            if dataset.SeriesInstanceUID == event.identifier.SeriesInstanceUID:
                answer = Dataset()
                answer.QueryRetrieveLevel = "IMAGE"
                answer.SOPInstanceUID = uid
                yield 0xFF00, answer

    def accepted(self, event: Any) -> None:
        self.associations += 1


@contextlib.contextmanager
def running_scp(
    *,
    asked: bool = True,
    syntaxes: list[str] | None = None,
    only_from: str | None = None,
    called_aet: bool = False,
    certificate: Certificate | None = None,
    client_ca: Certificate | None = None,
) -> Iterator[FakeArchive]:
    """Run one until the block ends.

    Parameters
    ----------
    asked : it answers C-FIND
    syntaxes : transfer syntaxes that it takes
    only_from : the only AE title that it talks to
    called_aet : it talks only to those who call it by its name
    certificate : it speaks TLS
    client_ca : it asks for certificates of this authority
    """
    fake = FakeArchive()
    entity = AE(ae_title="FAKE")
    entity.require_called_aet = called_aet
    if only_from is not None:
        entity.require_calling_aet = [only_from]
    entity.maximum_associations = 20
    for item in STORAGE:
        entity.add_supported_context(item, syntaxes or ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
    entity.add_supported_context(ECHO)
    if asked:
        entity.add_supported_context(FIND)
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca.ca)
    connections: list[Any] = []

    def opened(event: Any) -> None:
        connections.append(event.assoc.dul.socket.socket)

    handlers = [
        (evt.EVT_CONN_OPEN, opened),
        (evt.EVT_C_STORE, fake.store),
        (evt.EVT_C_FIND, fake.find),
        (evt.EVT_ACCEPTED, fake.accepted),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    assert server is not None
    fake.port = server.server_address[1]
    try:
        yield fake
    finally:
        for thread in threading.enumerate():
            if thread.name.startswith("AcceptorThread"):
                with contextlib.suppress(Exception):
                    thread.abort(block=False)  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        for connection in connections:
            connection.close()  # pynetdicom does not, where the other end closed first
