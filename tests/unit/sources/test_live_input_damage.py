"""Damage, interlacing and pixels that are not square in what comes over a socket or a pipe."""

from __future__ import annotations

import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from usassist.common.pyav import av
from usassist.errors import SourceError
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions, open_grabber

WriteClip = Callable[..., Path]
DATAGRAM = 7 * 188
PATIENT = GrabOptions(open_timeout_s=10.0, read_timeout_s=1.0)
HW_PX = (192, 256)


def moving(path: Path, write_clip: WriteClip, **options: Any) -> Path:
    texture = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (192, 640), np.uint8), (0, 0), 1.2)
    images = [np.ascontiguousarray(texture[:, 2 * number : 2 * number + 256]) for number in range(120)]

    def setup(stream: Any) -> None:
        stream.codec_context.options = {"g": "15"} | options.pop("codec_options", {})
        if "aspect" in options:
            stream.codec_context.sample_aspect_ratio = options["aspect"]

    return write_clip(path, images, codec="mpeg2video", pix_fmt="yuv420p", rate=60, setup=setup)


def grab_all(address: str, options: GrabOptions) -> tuple[list[Grab], tuple[str, ...]]:
    grabber, grabs = open_grabber(address, options), []
    try:
        for grab in grabber.grabs():
            grabs.append(grab)
    except SourceError:
        pass  # the sender has ended
    finally:
        grabber.close()
    return grabs, grabber.warnings


def test_frames_after_lost_datagrams_are_damaged_until_the_next_keyframe(tmp_path: Path, write_clip: WriteClip) -> None:
    path = moving(tmp_path / "a.ts", write_clip)
    with av.open(str(path)) as container:
        whole = {frame.pts: frame.to_ndarray()[: HW_PX[0]] for frame in container.decode(video=0)}
    data = path.read_bytes()
    datagrams = [data[start : start + DATAGRAM] for start in range(0, len(data), DATAGRAM)]
    lost = {len(datagrams) // 3, len(datagrams) // 2, len(datagrams) // 2 + 3}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            time.sleep(0.3)
            for number, datagram in enumerate(datagrams):
                if number not in lost:
                    sender.sendto(datagram, ("127.0.0.1", port))
                time.sleep(2.0 / len(datagrams))

    sending = threading.Thread(target=send)
    sending.start()
    grabs, _ = grab_all(f"udp://127.0.0.1:{port}?hw=none", PATIENT)
    sending.join()
    differ = {
        grab.pts: (cv2.absdiff(np.ascontiguousarray(grab.screen.raw), whole[grab.pts]) > 12).mean() > 0.0005
        for grab in grabs
        if grab.pts in whole
    }
    assert sum(differ.values()) > 5
    assert [grab.pts for grab in grabs if not grab.damage_reason and differ.get(grab.pts)] == []
    assert sum(not grab.damage_reason for grab in grabs) > 40  # and it comes back


def test_interlaced_and_anamorphic_input_is_reported_and_shown_right(tmp_path: Path, write_clip: WriteClip) -> None:
    woven = {"flags": "+ilme+ildct"}
    path = moving(tmp_path / "a.ts", write_clip, codec_options=woven, aspect=Fraction(4, 3))
    program = f"import sys; sys.stdout.buffer.write(open({str(path)!r}, 'rb').read())"
    address = "pipe:" + shlex.join([sys.executable, "-c", program])
    grabs, warnings = grab_all(address, PATIENT)
    assert any(word.startswith("interlaced: moving edges are torn; --deinterlace") for word in warnings)
    assert any("made square" in word for word in warnings)
    assert {grab.screen.hw_px for grab in grabs} == {(192, 341)}
    apart, warnings = grab_all(address, GrabOptions(open_timeout_s=10.0, read_timeout_s=1.0, deinterlace=True))
    assert "deinterlaced" in warnings
    assert len(apart) > 100
    assert [grab.pts for grab in apart] == sorted(grab.pts for grab in apart if grab.pts is not None)
