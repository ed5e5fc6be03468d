"""An association with an archive (PS3.8): opened within its timeouts, and the reason in one line where it is not.

pynetdicom writes what it sends and receives to its log, names of patients too, and it swallows the errors of the
socket. So its log is silenced here, and where a connection fails, another one is made to see why.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from usassist.dicom.network.nodes import Node
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError, UsageError, UsAssistError

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

__all__ = ["RETIRED_ULTRASOUND", "NothingOfferedError", "associated", "load_pynetdicom", "lost", "tls_context"]

RETIRED_ULTRASOUND = {
    "1.2.840.10008.5.1.4.1.1.6": "RetiredUltrasoundImageStorage",
    "1.2.840.10008.5.1.4.1.1.3": "RetiredUltrasoundMultiFrameImageStorage",
}
"""SOP classes of older scanners (PS3.6 table A-1), which pynetdicom does not know, by a keyword for each."""
_ABORT_S = 3.0  # an archive that is aborted has so long to close the connection
_PROBE_S = 1.0  # a server that wants a certificate says so right after the handshake
_given_up: weakref.WeakSet[Association] = weakref.WeakSet()  # those that we aborted
_TIMEVAL = struct.Struct("@ll")  # a C struct timeval


class NothingOfferedError(ArchiveRefusedError):
    """The archive was there, and accepted none of the presentation contexts."""


def load_pynetdicom() -> None:
    """Make sure that pynetdicom is there, logs nothing, because its log names patients, and sends files as they are.

    Its module of options has an underscore in its name, and is documented as the place to set them.

    Raises
    ------
    UsAssistError
        If it is not installed.
    """
    try:
        import pynetdicom
        from pynetdicom import _config as options
        from pynetdicom.service_class import StorageServiceClass
    except ImportError as error:
        raise UsAssistError("pynetdicom is not installed; run: pip install 'usassist[dicom]'") from error
    logging.getLogger(pynetdicom.__name__).setLevel(logging.CRITICAL + 1)
    options.STORE_SEND_CHUNKED_DATASET = True  # the bytes of the file; else it is decoded and encoded, in memory
    options.LOG_HANDLER_LEVEL = "none"
    for sop_class, keyword in RETIRED_ULTRASOUND.items():  # else an association that stores one is aborted
        pynetdicom.register_uid(sop_class, keyword, StorageServiceClass)


def tls_context(node: Node) -> ssl.SSLContext | None:
    """How we connect over TLS; None = without.

    Raises
    ------
    UsageError
        If a file is missing, or has no certificate or key.
    """
    if not node.tls_ca:
        return None
    try:
        context = ssl.create_default_context(cafile=None if node.tls_ca == "system" else node.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{node.name}: tls_ca {node.tls_ca} has no certificates that can be read; name a PEM file"
        ) from (error)
    if node.tls_cert:
        try:
            context.load_cert_chain(node.tls_cert, node.tls_key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"{node.name}: tls_cert {node.tls_cert} and tls_key {node.tls_key} are no certificate with its key "
                "that can be read; name two PEM files, the key without a password"
            ) from error
    return context


@contextlib.contextmanager
def associated(
    node: Node,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[Any] = (),
    handlers: Sequence[tuple[Any, ...]] = (),
) -> Iterator[Association]:
    """An association until the block ends: released then, or aborted where the block raises.

    Parameters
    ----------
    node : to associate with
    contexts : to propose, 1 to 128
    roles : negotiation items, SCP/SCU role selection (PS3.7 D.3.3.4)
    handlers : of events of pynetdicom, pairs of event and function

    Raises
    ------
    ArchiveDownError, ArchiveRefusedError
        If there is none; see :class:`~usassist.dicom.network.nodes.Archive`.
    """
    load_pynetdicom()
    from pynetdicom import AE, evt
    from pynetdicom.pdu_primitives import A_ABORT

    def said(event: Any) -> None:
        if isinstance(event.primitive, A_ABORT):
            _given_up.add(event.assoc)

    connections: list[socket.socket] = []

    def opened(event: Any) -> None:
        connections.append(event.assoc.dul.socket.socket)
        _limit_silence(connections[0], node.timeout_s)

    entity = AE(ae_title=node.own_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = node.timeout_s
    entity.network_timeout = None  # the limits of single answers and of the socket hold; between answers we may pause
    context = tls_context(node)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # pynetdicom does not close what it could not connect
            association = entity.associate(
                node.host,
                node.port,
                contexts=list(contexts),
                ae_title=node.ae_title,
                ext_neg=list(roles),
                tls_args=None if context is None else (context, node.tls_name or node.host),
                evt_handlers=[(evt.EVT_CONN_OPEN, opened), (evt.EVT_ACSE_SENT, said), *handlers],
            )
        if not association.is_established:
            raise _why_not(node, association, bool(connections), context)
        association.acse_timeout = min(_ABORT_S, node.timeout_s)
        try:
            yield association
        except BaseException:
            if association.is_established:
                association.abort()
            raise
        if association.is_established:
            association.release()
    except socket.gaierror as error:
        raise ArchiveDownError(f"{node.name}: the host {node.host} is not known here; check its name") from error
    finally:
        for connection in connections:
            connection.close()  # pynetdicom does not, where the archive closed first


def lost(node: Node, association: Association, doing: str) -> ArchiveDownError:
    """The error of an archive that stopped to answer.

    Parameters
    ----------
    doing : what was going on, such as ``a query``
    """
    if association not in _given_up:
        return ArchiveDownError(
            f"{node.name} ended the connection in the middle of {doing}; it may be down, or not allow this to "
            f"{node.own_ae_title}"
        )
    return ArchiveDownError(f"{node.name} was silent for {node.timeout_s:g} s in the middle of {doing}; it hangs")


def _limit_silence(connection: socket.socket, limit_s: float) -> None:
    """A peer that stops reading or writing in the middle must not block forever.

    pynetdicom takes all limits off a socket once it is connected. These are the system's: they end a call in which
    not a single byte moves for so long.
    """
    value = _TIMEVAL.pack(int(limit_s), int(limit_s % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)


def _why_not(node: Node, association: Association, connected: bool, context: ssl.SSLContext | None) -> ArchiveError:
    answer = association.acceptor.primitive
    if answer is not None and answer.result == 0:
        return NothingOfferedError(
            f"{node.name} offers none of the services that were asked for; check what {node.ae_title} is set up for"
        )
    if answer is not None:
        return _rejected(node, answer.result or 0, answer.result_source or 0, answer.diagnostic or 0)
    where = f"{node.host}:{node.port}"
    if context is not None:
        refused = _why_no_tls(node, context)
        if refused is not None:
            return refused
    if not connected:
        return ArchiveDownError(f"{node.name} cannot be reached at {where}: {_why_no_connection(node)}")
    remedy = "" if context is not None else "; if it speaks TLS, set tls_ca"
    return ArchiveDownError(f"{node.name} at {where} was connected, but did not answer as a DICOM archive{remedy}")


def _rejected(node: Node, result: int, source: int, reason: int) -> ArchiveError:
    """The error of a rejected association, PS3.8 table 9-21."""
    if (source, reason) == (1, 7):
        return ArchiveRefusedError(f"{node.name} is not called {node.ae_title}; correct ae_title")
    if (source, reason) == (1, 3):
        return ArchiveRefusedError(
            f"{node.name} does not know us as {node.own_ae_title}; add this AE title there, or correct own_ae_title"
        )
    if source == 3:
        said = "too many connections" if reason == 2 else "congestion"
        return ArchiveDownError(f"{node.name} cannot take another connection now: {said}")
    if result == 2:
        return ArchiveDownError(f"{node.name} rejects the connection for now, without saying why")
    why = {(1, 2): "the application context is unknown", (2, 2): "it speaks another protocol version"}
    return ArchiveRefusedError(
        f"{node.name} rejects the connection: {why.get((source, reason), 'it does not say why')}; ask who runs it"
    )


def _why_no_tls(node: Node, context: ssl.SSLContext) -> ArchiveError | None:
    """What is wrong with TLS; None = nothing, or no connection at all."""
    try:
        plain = socket.create_connection((node.host, node.port), node.timeout_s)
    except OSError:
        return None
    greeted = False
    try:
        with plain, context.wrap_socket(plain, server_hostname=node.tls_name or node.host) as connection:
            greeted = True
            connection.settimeout(min(_PROBE_S, node.timeout_s))
            connection.recv(1)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        return ArchiveRefusedError(
            f"{node.name} has a certificate that is not accepted: {reason}; check tls_ca, and tls_name for another name"
        )
    except ssl.SSLError as error:
        if "CERTIFICATE" in (error.reason or "") or "UNKNOWN_CA" in (error.reason or ""):
            return ArchiveRefusedError(
                f"{node.name} does not accept our certificate ({_words(error)}); "
                "set tls_cert and tls_key to one that it knows"
            )
        return ArchiveRefusedError(
            f"{node.name} does not speak TLS as we do ({_words(error)}); check the port, or leave out tls_ca"
        )
    except OSError:
        if not greeted:
            return ArchiveDownError(
                f"{node.name} at {node.host}:{node.port} does not answer over TLS; check the port, or leave out tls_ca"
            )
    return None


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "no reason given").replace("_", " ").lower()


def _why_no_connection(node: Node) -> str:
    try:
        socket.create_connection((node.host, node.port), node.timeout_s).close()
    except TimeoutError:
        return f"no answer within {node.timeout_s:g} s"
    except OSError as error:
        return (error.strerror or "error").lower()
    return "the first attempt failed, a second one did not"


def _no_password() -> str:
    """In place of a question on the terminal, which OpenSSL would ask for a key with a password."""
    raise ValueError("the key has a password")
