"""A stream whose state a test can turn, a panel in a process of its own, and a browser."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.chromium import MISSING, find_chromium
from usassist.bus import (
    EngineBody,
    HealthBody,
    LabelBody,
    MarkBody,
    PointBody,
    Publisher,
    SessionBody,
    SessionState,
    Subscriber,
)
from usassist.common.clock import MonotonicClock
from usassist.records import Cause, Descriptor, Detections, Frame, Measurements, Result, ResultState, Segmentation
from usassist.sinks.panel.access import split_address

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

TOKEN, KEY_HEX = "a-token-for-tests-alone", "5a" * 32
ENGINE_ID = "thyroid_nodule@1.0.0+abc"
HEIGHT_PX, WIDTH_PX = 240, 320
NUMBER_PX = 12  # side of a square of the number in the picture
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Stream:
    """Publishes moving dark ellipses with magenta outlines, 25 frames a second, from a thread."""

    def __init__(self, address: str, session_id: str) -> None:
        self.session_id = session_id
        self.engine_id = ENGINE_ID
        self.state = ResultState.FINDING
        self.abstains = False  # the cause of state ``no_result``
        self.calibrated = True
        self.cut = False  # by the border of the scan; every nodule
        self.point: PointBody | None = None  # of calibrated scores
        self.nodules = 1
        self.tracked = True  # nodules have an identity, from 4 on
        self.agreement: dict[str, str] = {}  # descriptor → agreement; every nodule has each of them
        self.value = "hypoechoic"
        self.takes_post = True  # publishes what is handed in, as a stream does
        self.scale_note = ""  # why frames have no scale
        self.spacing_mm: float | None = None  # scale of the frames, mm per px
        self.kind, self.replayed = "live", False
        self.recorder: HealthBody | None = None  # what a recorder says of itself, as often as a recorder does
        self._publisher = Publisher(address, "us0", MonotonicClock())
        self._stop = threading.Event()
        self._noise = np.random.default_rng(1).integers(60, 120, (HEIGHT_PX, WIDTH_PX), np.uint8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fall silent without a word, as a stream does that is killed."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self._publisher.close()

    def _run(self) -> None:
        frame_id = 0
        while not self._stop.wait(0.04):
            if frame_id % 10 == 0:
                self._introduce(frame_id)
            self._send(frame_id)
            frame_id += 1
            for topic, body in self._publisher.received():
                if self.takes_post:
                    self._publisher.event(topic, body)

    def _introduce(self, frame_id: int) -> None:
        label = LabelBody(
            id=0, name="nodule", scheme="SCT", value="1", meaning="Nodule", color_rgb=(255, 0, 255), score_threshold=0.5
        )
        self._publisher.event(
            "engine",
            EngineBody(
                engine_id=self.engine_id,
                backend="openvino",
                labels=(label,),
                intended_use="research only",
                score_calibration_id=None if self.point is None else "test",
                point=self.point,
                descriptor_agreement=self.agreement,
                domain="thyroid",
            ),
        )
        self._publisher.event(
            "session",
            SessionBody(
                session_id=self.session_id,
                state=SessionState.RUNNING,
                source="moving ellipse",
                image_hw_px=(HEIGHT_PX, WIDTH_PX),
                rate_hz=25.0,
                frame_count=None,
                calibration_id=None,
                last_frame_id=frame_id - 1,
                realtime=True,
                max_age_ms=5000.0,  # a busy machine must not turn findings into stale ones here
                scale_note=self.scale_note,
                kind=self.kind,
                replayed=self.replayed,
            ),
        )
        health = HealthBody(
            process="stream",
            frames=frame_id,
            answered=frame_id,
            dropped=0,
            by_state={},
            rate_hz=25.0,
            latency_p50_ms=20.0,
            latency_p95_ms=30.0,
        )
        self._publisher.event("health", health)
        if self.recorder is not None:
            self._publisher.event("health", self.recorder)

    def _send(self, frame_id: int) -> None:
        x, angle = 160 + 40 * np.sin(frame_id / 20), np.linspace(0, 2 * np.pi, 60, endpoint=False)
        rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
        contours, inside = [], np.zeros((HEIGHT_PX, WIDTH_PX), np.bool_)
        for number in range(self.nodules):
            y = 120 + (0, -70, 70)[number]
            contours.append(np.stack([x + 40 * np.cos(angle), y + 25 * np.sin(angle)], axis=1).astype(np.float32))
            inside |= ((columns - x) / 40) ** 2 + ((rows - y) / 25) ** 2 < 1
        frame = Frame(
            session_id=self.session_id,
            source_id="us0",
            frame_id=frame_id,
            t_capture_ns=time.monotonic_ns(),
            image=_numbered(np.where(inside, self._noise // 3, self._noise).astype(np.uint8), frame_id),
            spacing_rc_mm=None if self.spacing_mm is None else (self.spacing_mm, self.spacing_mm),
            spacing_rel_sd=None if self.spacing_mm is None else 0.01,
            calibration_id=None if self.spacing_mm is None else "scale_by_ruler",
            roi_xyxy_px=(0, 0, WIDTH_PX, HEIGHT_PX),
        )
        self._publisher.frame(frame)
        self._publisher.result(self._result(frame, contours))

    def _result(self, frame: Frame, contours: list[np.ndarray]) -> Result:
        state = self.state
        content: dict[str, Any] = {}
        if state is ResultState.FINDING:
            one = np.ones(len(contours), np.float32)
            described = tuple(Descriptor(name=name, value=self.value, probability=0.8) for name in self.agreement)
            names = ("major_mm", "minor_mm", "area_mm2", "major_u95_mm", "minor_u95_mm", "area_u95_mm2")
            lengths = {name: one * 2 for name in names} if self.calibrated else {}
            content = {
                "detections": Detections(
                    xyxy_px=np.array([[*points.min(axis=0), *points.max(axis=0)] for points in contours], np.float32),
                    score=one * np.float32(0.9),
                    label_id=np.zeros(len(contours), np.int32),
                    track_id=np.arange(4, 4 + len(contours), dtype=np.int32)
                    if self.tracked
                    else np.full(len(contours), -1, np.int32),
                ),
                "segmentation": Segmentation.of(contours),
                "descriptors": (described,) * len(contours) if described else (),
                "measurements": Measurements(
                    major_px=one * 80,
                    minor_px=one * 50,
                    area_px2=one * 3000,
                    **lengths,
                    cut=one.astype(np.uint8) * self.cut,
                    major_ends_xy_px=np.array(
                        [[p[p[:, 0].argmin()], p[p[:, 0].argmax()]] for p in contours], np.float32
                    ),
                    minor_ends_xy_px=np.array(
                        [[p[p[:, 1].argmin()], p[p[:, 1].argmax()]] for p in contours], np.float32
                    ),
                ),
            }
        elif state is ResultState.NO_RESULT and self.abstains:
            content = {"cause": Cause.OUT_OF_DOMAIN, "reason": "not thyroid (0.03 < 0.50)"}
        elif not state.is_answer:
            content = {"cause": Cause.ENGINE_ERROR, "reason": f"a test asked for {state.value}"}
        return Result(
            session_id=frame.session_id,
            source_id="us0",
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=frame.t_capture_ns,
            t_infer_end_ns=frame.t_capture_ns + 1,
            engine_id=self.engine_id,
            backend="openvino",
            calibration_id=None,
            image_hw_px=(HEIGHT_PX, WIDTH_PX),
            frames_dropped=0,
            state=state,
            **content,
        )


def _numbered(image: np.ndarray, frame_id: int) -> np.ndarray:
    """Write the number of a frame into its picture: 16 squares along the lower edge, white is 1, lowest bit first."""
    for bit in range(16):
        image[-NUMBER_PX:, bit * NUMBER_PX : (bit + 1) * NUMBER_PX] = 255 if frame_id >> bit & 1 else 0
    return image


class Panel:
    """A panel in a process of its own; everything temporary that it writes lies in `temporary`.

    ``url`` has the token, ``root`` has not; ``login`` are the headers of a program that has it. All its processes have
    the same secrets, as in one run of ``usassist live``.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"ipc://{folder}"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, again on the same port if it has run before."""
        program = (
            "from usassist.app.runtime.cards import read_card\n"
            "from usassist.config import PanelConfig; from usassist.sinks.panel import RunSecrets, run_panel\n"
            f"run_panel({self.address!r}, PanelConfig(port={self.port}), secrets=RunSecrets({TOKEN!r}, {KEY_HEX!r}),\n"
            "    read_card=read_card, on_ready=lambda url: print(url, flush=True))\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.root, token = split_address(self.url)
        self.login = {"Authorization": f"Bearer {token}"}
        self.port = int(self.root.rstrip("/").rsplit(":", 1)[1])

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()


@contextlib.contextmanager
def archived_marks(address: str) -> Iterator[Callable[[int], list[MarkBody]]]:
    """Join the stream as an archive does, and give a function that waits for this many marks."""
    with Subscriber(address, ("mark", "session"), "archive") as archive:
        while not list(archive.events(2000)):  # one of `session`: from then on no mark is missed
            pass

        def wait(count: int) -> list[MarkBody]:
            marks: list[MarkBody] = []
            while len(marks) < count:
                marks += [message.body for message in archive.events(2000) if message.topic.name == "mark"]
            return marks

        yield wait


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; per module, because its event loop would stand in the way of other tests."""
    with sync_api.sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            pytest.skip(MISSING)
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def kept_files(browser: Any) -> Iterator[Any]:
    """A context whose cache the pages of a module share, so that only the first one compiles the scripts."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture(scope="module")
def panel(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    """The panel, one for all tests; asks for the browser first so that nothing starts without one."""
    panel = Panel(tmp_path_factory.mktemp("panel"))
    yield panel
    panel.stop()


@pytest.fixture
def stream(panel: Panel, request: pytest.FixtureRequest) -> Iterator[Stream]:
    """A running stream, in state ``finding``."""
    stream = Stream(panel.address, f"20260101T000000Z-{abs(hash(request.node.name)) % 10**6:06d}")
    yield stream
    stream.close()


@pytest.fixture
def page(kept_files: Any, panel: Panel, stream: Stream) -> Iterator[Any]:
    """The page, showing frames of the stream; keeps what it asked for and what it complained about."""
    page = kept_files.new_page()
    page.asked = []
    page.complaints = []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("websocket", lambda socket: page.asked.append(socket.url))
    page.on("console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(panel.url)
    page.wait_for_function("id => window.usassist?.sessionId === id && usassist.frames > 3", arg=stream.session_id)
    yield page
    kept_files.clear_cookies()
    page.evaluate("() => { try { localStorage.clear(); } catch { } }")  # one test forbids it
    page.close()
