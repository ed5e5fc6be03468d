"""Keys on sockets: which viewers may connect to a stream, and which stream a reader accepts.

CurveZMQ (https://rfc.zeromq.org/spec/26/) encrypts every connection and proves both ends. The stream's side asks a
handler (ZAP, https://rfc.zeromq.org/spec/27/) about every key that connects; without its answer no connection is
accepted. The reader's side is configured with the key that the stream must have, so no other process can pose as it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import zmq

from usassist.bus.address import expected_stream, uses_keys
from usassist.bus.keys import OWN, Keyring
from usassist.errors import BusKeyError, ConfigError

__all__ = ["Authenticator", "ReaderKeys", "reader_keys"]

logger = logging.getLogger(__name__)

_HANDLER = "inproc://zeromq.zap.01"
_DOMAIN = b"usassist"
_LOGGED_LIMIT = 20  # refused keys that are logged


class Authenticator:
    """Accepts viewers whose keys are allowed. The folder of keys is read at every connection.

    Ends with its context: close all sockets that it guards, terminate the context, then ``join``.

    Parameters
    ----------
    context : of the sockets to be guarded; they are made and bound after this
    address : of the stream, for messages

    Raises
    ------
    BusKeyError
        If there is no key of the stream, or a file of keys is malformed or open to others.
    """

    def __init__(self, context: zmq.Context[Any], address: str) -> None:
        self._keyring = Keyring()
        if not self._keyring.has_key("stream"):
            raise BusKeyError(
                f"{address} is for viewers with keys, and there is no key of a stream here; "
                "make one with: usassist keys make stream"
            )
        self._secret = self._keyring.secret_key("stream")
        if not self._keyring.viewer_keys():
            logger.warning("no viewer's key is allowed yet; with usassist keys allow KEY --name NAME one may watch")
        self._logged: set[bytes] = set()
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(_HANDLER)
        self._thread = threading.Thread(target=self._run, name="bus-keys", daemon=True)
        self._thread.start()

    def guard(self, socket: zmq.Socket[Any]) -> None:
        """Make a socket that is not bound yet accept connections with allowed keys only."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without this handler no connection is accepted

    def join(self) -> None:
        """Wait for the end, after the context was terminated."""
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        with self._socket as socket:
            while True:
                try:
                    version, request, domain, _, _, mechanism, *credentials = socket.recv_multipart()
                    known = domain == _DOMAIN and mechanism == b"CURVE" and self._is_allowed(credentials[0])
                    status, text = (b"200", b"OK") if known else (b"400", b"key not allowed")
                    socket.send_multipart([version, request, status, text, b"", b""])
                except zmq.ContextTerminated:
                    return

    def _is_allowed(self, key: bytes) -> bool:
        try:
            if key in self._keyring.viewer_keys():
                return True
        except (BusKeyError, ConfigError, OSError) as error:
            logger.error("every viewer is refused: %s", error)  # noqa: TRY400 - one line, the reason is in it
            return False
        if key not in self._logged and len(self._logged) < _LOGGED_LIMIT:
            self._logged.add(key)
            logger.warning("a viewer was refused; to allow it: usassist keys allow viewer-%s --name NAME", key.hex())
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderKeys:
    """The keys with which a reader connects.

    Attributes
    ----------
    secret, public : of this user's viewer, 32 bytes each
    stream : public key that the stream must prove, 32 bytes
    name : of that stream
    """

    secret: bytes
    public: bytes
    stream: bytes
    name: str

    def apply(self, socket: zmq.Socket[Any]) -> None:
        """Make a socket that is not connected yet accept this stream only."""
        socket.set(zmq.CURVE_SECRETKEY, self.secret)
        socket.set(zmq.CURVE_PUBLICKEY, self.public)
        socket.set(zmq.CURVE_SERVERKEY, self.stream)


def reader_keys(address: str) -> ReaderKeys | None:
    """The keys for reading from an address, or None where it is used without.

    Raises
    ------
    BusKeyError
        If it needs keys and one is missing, or a file of keys is malformed or open to others.
    UsageError
        If the address is not understood.
    """
    if not uses_keys(address):
        return None
    keyring = Keyring()
    if not keyring.has_key("viewer"):
        raise BusKeyError(
            f"{address} is used with keys, and there is no key of a viewer here; "
            "make one with: usassist keys make viewer"
        )
    streams, wanted = keyring.stream_keys(), expected_stream(address)
    if wanted is None and len(streams) > 1:
        raise BusKeyError(
            f"several streams are known here: {', '.join(streams)}; name the one at {address} with ?keys=NAME"
        )
    name = wanted or next(iter(streams), "")
    if name not in streams:
        what = (
            "make one with: usassist keys make stream"
            if name == OWN
            else (
                "on its machine run: usassist keys show stream, and here: usassist keys allow KEY --name "
                f"{name or 'NAME'}"
            )
        )
        raise BusKeyError(f"{address} is used with keys, and the stream's key is not known here; {what}")
    public = bytes.fromhex(keyring.public_key("viewer").partition("-")[2])
    return ReaderKeys(secret=keyring.secret_key("viewer"), public=public, stream=streams[name], name=name)
