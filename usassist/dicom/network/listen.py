"""Receive studies by C-STORE (PS3.4 annex B) into a :class:`StudyStore`: the server, its rules, and its end."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from usassist.dicom.network.association import RETIRED_ULTRASOUND, load_pynetdicom
from usassist.dicom.network.listen_receiver import SUCCESS, ListenOptions, Receiver
from usassist.dicom.network.listen_server import MAX_PDU_BYTES, guard_tls, make_server
from usassist.dicom.network.store import StudyStore
from usassist.errors import UsageError

__all__ = ["ListenOptions", "Receiver", "receiving"]

_DEFLATED = "1.2.840.10008.1.2.1.99"
_TICK_S = 0.1
_HELLO_S = 10.0  # that a connection gets to ask for an association


@contextlib.contextmanager
def receiving(
    store: StudyStore, options: ListenOptions, tell: Callable[[str], None], on_study: Callable[[Path, int], None]
) -> Iterator[Receiver]:
    """Listen until the block ends; the block calls :meth:`Receiver.tick`. What has ended by then is completed.

    Raises
    ------
    UsageError
        If the address cannot be listened on, or a certificate cannot be read.
    UsAssistError
        If pynetdicom is not installed.
    """
    load_pynetdicom()
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote the header
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

    receiver = Receiver(store, options, tell, on_study)
    entity = AE(ae_title=options.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(options.allow)
    entity.maximum_pdu_size = MAX_PDU_BYTES
    entity.network_timeout = entity.dimse_timeout = options.timeout_s
    entity.acse_timeout = min(options.timeout_s, _HELLO_S)
    syntaxes = [syntax for syntax in ALL_TRANSFER_SYNTAXES if syntax != _DEFLATED]
    for sop_class in [
        *(str(context.abstract_syntax) for context in AllStoragePresentationContexts),
        *RETIRED_ULTRASOUND,
    ]:
        entity.add_supported_context(sop_class, syntaxes)
    entity.add_supported_context("1.2.840.10008.1.1")  # Verification
    handlers = [
        (evt.EVT_C_STORE, receiver.take),
        (evt.EVT_C_ECHO, lambda _: SUCCESS),
        (evt.EVT_PDU_RECV, receiver.count),
        (evt.EVT_DIMSE_RECV, receiver.whole),
        (evt.EVT_REJECTED, receiver.reject),
    ]
    try:
        server = make_server(entity, (options.host, options.port), _tls_context(options), handlers)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"port {options.port} of {options.host} cannot be listened on: {reason}; name another with --port"
        ) from error
    receiver.address = server.server_address[:2]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _TICK_S}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        for sender in server.active_associations:
            sender.abort()
        server.shutdown()
        receiver.close()


def _tls_context(options: ListenOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None or options.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # PS3.15 annex B.9: BCP 195
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise UsageError(
            f"{options.tls_cert} and {options.tls_key} are no certificate with its key; give two PEM files that belong "
            "together, the key without a password"
        ) from error
    if options.tls_ca is not None:
        try:
            context.load_verify_locations(options.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{options.tls_ca} has no certificates that can be read; give a PEM file") from error
        context.verify_mode = ssl.CERT_REQUIRED
    guard_tls(context)
    return context
