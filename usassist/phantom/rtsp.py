"""A minimal RTSP server for the fault player: MPEG-TS in RTP, interleaved in the RTSP connection (RFC 2326, RFC 2250).

RTP over UDP is refused with status 461, upon which clients request interleaved transport.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from usassist.phantom.transport import READER_TIMEOUT_S, host_and_port, listen

__all__ = ["RtspTransport"]

_TS_IN_RTP = 7 * 188
_PAYLOAD_TYPE = 33  # MPEG-TS, RFC 3551
_CLOCK_HZ = 90_000
_SESSION = "1"


class RtspTransport:
    """Listens for clients and sends the stream to all that are playing."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.readers_lost = 0
        self._where = host_and_port(to)
        self._listener: socket.socket | None = listen(*self._where)
        self._clients: list[_Client] = []
        self._sequence = 0

    @property
    def has_reader(self) -> bool:
        """Whether a client is playing."""
        return any(client.is_playing for client in self._clients)

    def poll(self) -> None:
        """Accept clients and answer their requests."""
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                self._clients.append(_Client(self._listener.accept()[0]))
        for client in tuple(self._clients):
            began = client.is_playing
            try:
                client.answer()
            except OSError:
                self._drop(client)
                continue
            self.generation += int(client.is_playing and not began)

    def send(self, data: bytes, t_s: float) -> None:
        """Send to all playing clients; one that has gone or does not read for two seconds is disconnected."""
        packets = []
        stamp = round(t_s * _CLOCK_HZ) & 0xFFFF_FFFF
        for start in range(0, len(data), _TS_IN_RTP):
            part = data[start : start + _TS_IN_RTP]
            last = start + _TS_IN_RTP >= len(data)
            header = struct.pack(">BBHII", 0x80, _PAYLOAD_TYPE | (0x80 if last else 0), self._sequence, stamp, 1)
            self._sequence = (self._sequence + 1) & 0xFFFF
            packets.append(header + part)
        for client in tuple(self._clients):
            if client.is_playing:
                try:
                    client.send(packets)
                except OSError:
                    self._drop(client)

    def disconnect(self) -> None:
        """Close all connections and the listening socket."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def accept_again(self) -> None:
        """Listen again."""
        if self._listener is None:
            self._listener = listen(*self._where)

    def restart_stream(self) -> None:
        """Nothing to do: MPEG-TS allows a change of the stream."""

    def close(self) -> None:
        """Close everything."""
        self.disconnect()

    def _drop(self, client: _Client) -> None:
        client.close()
        self._clients.remove(client)
        self.readers_lost += int(client.is_playing)


class _Client:
    """One RTSP connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting = b""
        self._channel = 0
        self.is_playing = False

    def close(self) -> None:
        self._socket.close()

    def send(self, packets: list[bytes]) -> None:
        self._socket.settimeout(READER_TIMEOUT_S)
        framed = (struct.pack(">cBH", b"$", self._channel, len(packet)) + packet for packet in packets)
        self._socket.sendall(b"".join(framed))

    def answer(self) -> None:
        """Answer all pending requests; raises ``OSError`` when the client has disconnected."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._socket.recv(65536)
                if not data:
                    raise ConnectionResetError
                self._waiting += data
        while self._waiting:
            if self._waiting[:1] == b"$":  # interleaved data from the client: an RTCP receiver report
                if len(self._waiting) < 4:
                    return
                end = 4 + int.from_bytes(self._waiting[2:4], "big")
                if len(self._waiting) < end:
                    return
                self._waiting = self._waiting[end:]
                continue
            head, found, rest = self._waiting.partition(b"\r\n\r\n")
            if not found:
                if len(head) > 16384:
                    raise ConnectionResetError
                return
            lines = head.decode("latin-1").split("\r\n")
            fields = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
            length = int(fields["content-length"]) if fields.get("content-length", "").isdigit() else 0
            if len(rest) < length:
                return
            self._waiting = rest[length:]
            self._reply(lines[0], fields)

    def _reply(self, request: str, fields: dict[str, str]) -> None:
        words = request.split(" ")
        method, url = words[0], words[1] if len(words) > 1 else "*"
        status, more, body = "200 OK", [f"CSeq: {fields.get('cseq', '0')}"], ""
        if method == "OPTIONS":
            more.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=simulated scanner\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                f"a=control:*\r\nm=video 0 RTP/AVP {_PAYLOAD_TYPE}\r\n"
                f"a=rtpmap:{_PAYLOAD_TYPE} MP2T/{_CLOCK_HZ}\r\na=control:track1\r\n"
            )
            more += ["Content-Type: application/sdp", f"Content-Base: {url.rstrip('/')}/"]
        elif method == "SETUP":
            transport = fields.get("transport", "")
            if "TCP" in transport:
                _, _, channels = transport.partition("interleaved=")
                first = channels.split("-")[0].split(";")[0]
                self._channel = int(first) if first.isdigit() and int(first) < 255 else 0
                channel = f"{self._channel}-{self._channel + 1}"
                more += [f"Transport: RTP/AVP/TCP;unicast;interleaved={channel}", f"Session: {_SESSION}"]
            else:
                status = "461 Unsupported Transport"
        elif method == "PLAY":
            more += [f"Session: {_SESSION}", "Range: npt=now-"]
        elif method in ("GET_PARAMETER", "SET_PARAMETER", "TEARDOWN"):
            more.append(f"Session: {_SESSION}")
        else:
            status = "405 Method Not Allowed"
        if body:
            more.append(f"Content-Length: {len(body)}")
        self._socket.settimeout(READER_TIMEOUT_S)
        self._socket.sendall("\r\n".join([f"RTSP/1.0 {status}", *more, "", body]).encode("ascii"))
        self._socket.setblocking(False)
        if method == "TEARDOWN":
            raise ConnectionResetError
        self.is_playing |= method == "PLAY"
