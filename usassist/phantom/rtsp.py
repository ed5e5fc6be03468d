"""A small RTSP server for the fault player: MPEG-TS in RTP, inside the RTSP connection (RFC 2326, RFC 2250).

It knows what a player needs and no more. RTP in datagrams of its own is refused with status 461, upon which players
ask for the connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from usassist.phantom.wire import PATIENCE_S, host_and_port, listen

__all__ = ["RtspWire"]

_TS_IN_RTP = 7 * 188
_PAYLOAD_TYPE = 33  # MPEG-TS, RFC 3551
_CLOCK_HZ = 90_000
_SESSION = "1"


class RtspWire:
    """Listens for players and sends the same to everybody who plays."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.left = 0
        self._where = host_and_port(to)
        self._listener: socket.socket | None = listen(*self._where)
        self._players: list[_Player] = []
        self._sequence = 0

    @property
    def has_reader(self) -> bool:
        """Whether somebody plays."""
        return any(player.plays for player in self._players)

    def poll(self) -> None:
        """Accept players and answer what they ask."""
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                self._players.append(_Player(self._listener.accept()[0]))
        for player in tuple(self._players):
            began = player.plays
            try:
                player.answer()
            except OSError:
                self._drop(player)
                continue
            self.generation += int(player.plays and not began)

    def send(self, data: bytes, t_s: float) -> None:
        """Send to all who play; who has gone, or takes nothing for two seconds, is let go."""
        packets = []
        stamp = round(t_s * _CLOCK_HZ) & 0xFFFF_FFFF
        for start in range(0, len(data), _TS_IN_RTP):
            part = data[start : start + _TS_IN_RTP]
            last = start + _TS_IN_RTP >= len(data)
            header = struct.pack(">BBHII", 0x80, _PAYLOAD_TYPE | (0x80 if last else 0), self._sequence, stamp, 1)
            self._sequence = (self._sequence + 1) & 0xFFFF
            packets.append(header + part)
        for player in tuple(self._players):
            if player.plays:
                try:
                    player.send(packets)
                except OSError:
                    self._drop(player)

    def hang_up(self) -> None:
        """Close all connections, and the port."""
        for player in self._players:
            player.close()
        self._players.clear()
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def come_back(self) -> None:
        """Listen again."""
        if self._listener is None:
            self._listener = listen(*self._where)

    def restart(self) -> None:
        """MPEG-TS may change on its way."""

    def close(self) -> None:
        """Close everything."""
        self.hang_up()

    def _drop(self, player: _Player) -> None:
        player.close()
        self._players.remove(player)
        self.left += int(player.plays)


class _Player:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting = b""
        self._channel = 0
        self.plays = False

    def close(self) -> None:
        self._socket.close()

    def send(self, packets: list[bytes]) -> None:
        self._socket.settimeout(PATIENCE_S)
        framed = (struct.pack(">cBH", b"$", self._channel, len(packet)) + packet for packet in packets)
        self._socket.sendall(b"".join(framed))

    def answer(self) -> None:
        """Answer all requests that have come; raises ``OSError`` when the player has gone."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._socket.recv(65536)
                if not data:
                    raise ConnectionResetError
                self._waiting += data
        while self._waiting:
            if self._waiting[:1] == b"$":  # a report of the player about what it received
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
        self._socket.settimeout(PATIENCE_S)
        self._socket.sendall("\r\n".join([f"RTSP/1.0 {status}", *more, "", body]).encode("ascii"))
        self._socket.setblocking(False)
        if method == "TEARDOWN":
            raise ConnectionResetError
        self.plays |= method == "PLAY"
