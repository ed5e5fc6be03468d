"""OpenIGTLink messages: written and read by pyigtl; what makes no sense is refused before memory is taken for it."""

from __future__ import annotations

import random
import socket
import tracemalloc

import numpy as np
import pytest

from usassist.common.openigtlink.content import IMAGE_HEAD_BYTES, read_image_head, read_transform
from usassist.common.openigtlink.crc64 import crc64
from usassist.common.openigtlink.header import HEADER_BYTES, Header, ProtocolError, pack_header, read_header
from usassist.common.openigtlink.packing import image_content, pack, status_content, string_content, transform_content
from usassist.common.openigtlink.reader import ClosedByPeer, Message, MessageReader

pyigtl = pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'usassist[openigtlink]'")

STAMP_S, STAMP_NS = 1_700_000_000.25, 1_700_000_000_250_000_000
MATRIX = np.array([[0.0, 0.2, 0.0, 5.0], [-0.1, 0.0, 0.0, -6.0], [0.0, 0.0, 1.0, 7.5], [0.0, 0.0, 0.0, 1.0]])
RNG = np.random.default_rng(0)


def image(channels: int = 1, hw: tuple[int, int] = (40, 60)) -> np.ndarray:
    return RNG.integers(0, 256, hw if channels == 1 else (*hw, 3)).astype(np.uint8)


def packed(kind: str = "IMAGE", version: int = 1, **more: object) -> bytes:
    content = {
        "IMAGE": lambda: image_content(image(), MATRIX),
        "TRANSFORM": lambda: transform_content(MATRIX),
        "STRING": lambda: string_content("text"),
        "STATUS": lambda: status_content(13, "no_result", "because"),
    }[kind]()
    return b"".join(pack(kind, "device", STAMP_NS, content, version=version, **more))  # type: ignore[arg-type]


def read_all(data: bytes, wanted: tuple[str, ...] = ("IMAGE", "TRANSFORM"), piece: int = 1 << 20) -> list[Message]:
    """What a reader makes of bytes that arrive in pieces, before the connection is closed."""
    ours, theirs = socket.socketpair()
    found: list[Message] = []
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)
        reader = MessageReader(ours, wanted)
        for at in range(0, len(data), piece):
            theirs.sendall(data[at : at + piece])
            while (message := reader.read(0.0)) is not None:
                found.append(message)
        theirs.close()
        try:
            while (message := reader.read(1.0)) is not None:
                found.append(message)
        except ClosedByPeer:
            return found
    raise AssertionError("the end of the connection was not seen")


def of_pyigtl(data: bytes) -> object:
    """A message as pyigtl reads it."""
    fields = pyigtl.MessageBase.parse_header(data[:HEADER_BYTES])
    message = pyigtl.MessageBase.create_message(fields["message_type"])
    message.unpack(fields, data[HEADER_BYTES:])
    return message


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 71, 72, 73, 1000, 16383, 16384, 16385, 16391, 16392, 200_003])
def test_the_checksum_is_that_of_pyigtl_also_in_two_parts(size: int) -> None:
    from pyigtl.messages import CRC64

    data = RNG.bytes(size)
    cut = size // 3
    assert crc64(data) == crc64(data[cut:], crc64(data[:cut])) == CRC64(data)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_pyigtl_reads_our_images(version: int, channels: int) -> None:
    pixels = image(channels)
    data = b"".join(pack("IMAGE", "d", STAMP_NS, image_content(pixels, MATRIX), version=version, metadata={"a": "ä"}))
    message = of_pyigtl(data)
    np.testing.assert_array_equal(message.image[0], pixels)  # type: ignore[attr-defined]
    np.testing.assert_allclose(message.ijk_to_world_matrix, MATRIX, atol=1e-5)  # type: ignore[attr-defined]
    assert (message.timestamp, message.device_name) == (STAMP_S, "d")  # type: ignore[attr-defined]
    assert message.metadata == ({"a": "ä"} if version == 2 else {})  # type: ignore[attr-defined]
    assert int.from_bytes(data[50:58], "big") == pyigtl.messages.CRC64(data[58:])


def test_pyigtl_reads_our_transforms_and_texts() -> None:
    np.testing.assert_allclose(of_pyigtl(packed("TRANSFORM")).matrix, MATRIX, atol=1e-6)  # type: ignore[attr-defined]
    text = b"".join(pack("STRING", "d", STAMP_NS, string_content('{"größe": 1}')))
    assert of_pyigtl(text).string == '{"größe": 1}'  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="65535 bytes"):
        string_content("x" * 65536)


@pytest.mark.parametrize("system", ["ras", "lps"])
@pytest.mark.parametrize("version", [1, 2])
def test_we_read_the_messages_of_pyigtl(system: str, version: int) -> None:
    pixels, matrix = image(3), np.vstack([MATRIX[:3], [0, 0, 0, 1]])
    theirs = [
        pyigtl.ImageMessage(pixels[None], matrix, system, timestamp=STAMP_S, device_name="Image"),
        pyigtl.TransformMessage(matrix, timestamp=STAMP_S, device_name="ProbeToReference"),
    ]
    for message in theirs:
        message.header_version = version
        message.metadata = {"TransformStatus": "OK"} if version > 1 else {}
    first, second = read_all(b"".join(message.pack() for message in theirs), piece=77)
    head = read_image_head(first.content)
    assert (head.size_ijk, head.components, head.scalar, head.is_whole) == ((60, 40, 1), 3, "uint8", True)
    np.testing.assert_array_equal(np.frombuffer(first.content[IMAGE_HEAD_BYTES:], np.uint8), pixels.ravel())
    expected = np.diag([-1, -1, 1, 1]) @ matrix if system == "lps" else matrix  # ours are always in RAS
    np.testing.assert_allclose(head.matrix, expected, atol=1e-5)
    np.testing.assert_allclose(read_transform(second.content), matrix, atol=1e-6)
    assert first.intact
    assert second.intact
    assert (second.header.stamp_ns, second.header.device) == (STAMP_NS, "ProbeToReference")
    assert second.metadata == ({"TransformStatus": "OK"} if version > 1 else {})


def test_stamps_come_back_to_the_nanosecond() -> None:
    for stamp_ns in (1, 999_999_999, *(random.Random(1).randrange(10**9) for _ in range(50))):
        header = Header(
            version=1, type="STATUS", device="d", stamp_ns=STAMP_NS + stamp_ns - 250_000_000, body_bytes=0, crc=0
        )
        assert read_header(pack_header(header)) == header


def test_messages_that_nobody_asked_for_are_read_over() -> None:
    found = read_all(packed("STRING") + packed("STATUS", 2) + packed("TRANSFORM"), ("TRANSFORM",), piece=13)
    assert [message.header.type for message in found] == ["STRING", "STATUS", "TRANSFORM"]
    assert [len(message.content) for message in found] == [0, 0, 48]


def test_a_wrong_checksum_is_said_and_the_next_message_is_read() -> None:
    broken = bytearray(packed())
    broken[-1] ^= 1
    first, second = read_all(bytes(broken) + packed("TRANSFORM"))
    assert (first.intact, second.intact) == (False, True)


def with_length(data: bytes, body_bytes: int) -> bytes:
    return data[:42] + body_bytes.to_bytes(8, "big") + data[50:]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n" + b"x" * 60, "not OpenIGTLink"),
        (b"\0\3" + packed()[2:], "headers of version 3"),
        (with_length(packed(), 2**60), "states a length of 1152921504606846976"),
        (with_length(packed(), 2**31), "states a length"),
        (with_length(packed("TRANSFORM"), 2**40), "states a length"),
        (with_length(packed("STRING"), 2**40), "states a length"),
        (packed()[:124] + b"\xff" * 6 + packed()[130:], "part that lies outside"),
        (packed(version=2)[:58] + b"\xff" * 12 + packed(version=2)[70:], "contradicts its length"),
    ],
)
def test_what_makes_no_sense_ends_the_connection_and_takes_no_memory(data: bytes, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match=words):
            read_all(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_an_end_in_the_middle_of_a_message_is_told_from_one_between_two() -> None:
    for data, words in (
        (packed(), "^$"),
        (packed()[:-1], "in the middle of a message"),
        (packed()[:20], "in the middle"),
    ):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            reader = MessageReader(ours, ("IMAGE",))
            theirs.sendall(data)
            theirs.close()
            if words == "^$":
                assert reader.read(1.0) is not None
            with pytest.raises(ClosedByPeer, match=words):
                reader.read(1.0)


def test_no_corruption_raises_anything_else() -> None:
    source = random.Random(3)
    whole = packed() + packed("TRANSFORM", 2, metadata={"a": "b"}) + packed(version=2, metadata={"c": "d"})
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 6)):
            data[source.choice([source.randrange(160), source.randrange(len(data))])] = source.randrange(256)
        try:
            for message in read_all(bytes(data[: source.randrange(58, len(data))])):
                if message.intact and message.header.type == "IMAGE":
                    read_image_head(message.content)
        except ProtocolError:
            pass
