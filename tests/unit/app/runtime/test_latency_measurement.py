"""The delay from a drawn code to its capture: known delays are found, with an uncertainty that holds them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.app.runtime.latency_measurement import CodeSeen, evaluate_codes, read_codes, write_latency
from usassist.app.runtime.time_code_output import write_code_stream
from usassist.calibrate.latency import load_latency
from usassist.common.clock import FakeClock
from usassist.errors import CalibrationError, UsageError
from usassist.frames.time_code import CodeReader, elapsed_ms
from usassist.sources.inputs.address import open_grabber


def window(
    delay_ms: float, *, rate_hz: float = 60.0, frame_hz: float = 59.94, count: int = 400, jitter_ms: float = 0.0
) -> Iterator[CodeSeen]:
    """Frames of a path of known delay, each of which shows the code that was newest when it was exposed."""
    rng = np.random.default_rng(2)
    for number in range(count):
        exposed_ms = 5000.0 + number * 1e3 / frame_hz
        shown_ms = int(np.floor(np.floor(exposed_ms * rate_hz / 1e3) * 1e3 / rate_hz))
        captured_ns = round((exposed_ms + delay_ms + abs(rng.normal(0.0, jitter_ms))) * 1e6)
        yield CodeSeen(code_ms=shown_ms, t_capture_ns=captured_ns, t_decoded_ns=captured_ns + 2_000_000, stamp="driver")


@pytest.mark.parametrize("delay_ms", [0.0, 43.0, 180.0])
@pytest.mark.parametrize(("rate_hz", "frame_hz"), [(60.0, 59.94), (60.0, 25.0), (30.0, 60.0)])
def test_a_known_delay_is_found_within_its_uncertainty(delay_ms: float, rate_hz: float, frame_hz: float) -> None:
    seen = window(delay_ms, rate_hz=rate_hz, frame_hz=frame_hz)
    measured = evaluate_codes(seen, code_rate_hz=rate_hz, refresh_hz=60.0)
    assert abs(measured.p50_ms - delay_ms) <= 2.0 * measured.uncertainty_ms
    assert measured.uncertainty_ms <= 1e3 * (1 / rate_hz + 1 / frame_hz + 1 / 60.0) / np.sqrt(12.0)
    assert measured.p50_ms <= measured.p95_ms <= measured.max_ms
    assert measured.decoded_p50_ms == pytest.approx(measured.p50_ms + 2.0)
    assert measured.frame_rate_hz == pytest.approx(frame_hz, rel=0.01)


def test_the_tail_is_in_the_percentiles() -> None:
    slow = []
    for number in range(200):
        captured_ms = 20 * number + (100 if number % 10 == 0 else 40)
        slow.append(CodeSeen(code_ms=20 * number, t_capture_ns=captured_ms * 10**6, t_decoded_ns=0, stamp="driver"))
    measured = evaluate_codes(slow, code_rate_hz=50.0, refresh_hz=None)
    assert (measured.p50_ms, measured.p95_ms, measured.max_ms) == pytest.approx((39.5, 99.5, 99.5))


def test_frames_without_a_code_are_counted_and_too_many_of_them_are_refused() -> None:
    seen = list(window(40.0))
    some = [CodeSeen(code_ms=None, t_capture_ns=item.t_capture_ns, t_decoded_ns=0, stamp="driver") for item in seen]
    mixed = [some[n] if n % 4 == 0 else item for n, item in enumerate(seen)]
    assert evaluate_codes(mixed, code_rate_hz=60.0, refresh_hz=60.0).unread == 100
    with pytest.raises(CalibrationError, match="not read on 400 of 700"):
        evaluate_codes([*seen[:300], *some], code_rate_hz=60.0, refresh_hz=60.0)
    with pytest.raises(CalibrationError, match="read on 60 of 60 frames, 100 are needed"):
        evaluate_codes(seen[:60], code_rate_hz=60.0, refresh_hz=60.0)


def test_codes_of_another_clock_are_refused() -> None:
    with pytest.raises(CalibrationError, match="by another clock"):
        evaluate_codes(window(-500.0), code_rate_hz=60.0, refresh_hz=60.0)


def test_the_file_holds_the_figures_and_is_never_edited(tmp_path: Path) -> None:
    measured = evaluate_codes(window(43.0, jitter_ms=2.0), code_rate_hz=60.0, refresh_hz=60.0)
    out = tmp_path / "cart.toml"
    write_latency(measured, out, valid_for="a test")
    read = load_latency(out)
    assert (read.calibration_id, read.valid_for, read.frames, read.unread) == ("cart", "a test", 400, 0)
    assert read.latency_p50_ms == pytest.approx(measured.p50_ms, abs=0.01)
    assert read.latency_max_ms == pytest.approx(measured.max_ms, abs=0.01)
    assert read.uncertainty_ms == pytest.approx(measured.uncertainty_ms, abs=0.01)
    with pytest.raises(UsageError, match="never edited"):
        write_latency(measured, out, valid_for="a test")
    with pytest.raises(UsageError, match=r"ends in \.toml"):
        write_latency(measured, tmp_path / "cart.json", valid_for="a test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("schema = 1", "schema = 2"), "update usassist"),
        (("unread = 0\n", ""), "missing keys"),
        (("frames = 400", 'frames = "400"'), "wrong type"),
        (("latency_max_ms", "latency_most_ms"), "unknown keys"),
        (("uncertainty_ms = ", "uncertainty_ms = -"), "contradict each other"),
    ],
)
def test_a_file_that_is_not_one_is_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    out = tmp_path / "cart.toml"
    write_latency(evaluate_codes(window(43.0), code_rate_hz=60.0, refresh_hz=60.0), out, valid_for="a test")
    out.write_text(out.read_text().replace(*change))
    with pytest.raises(CalibrationError, match=words):
        load_latency(out)


def test_a_stream_of_codes_states_the_time_of_each_picture_less_the_delay(tmp_path: Path) -> None:
    clock, path = FakeClock(10**9), tmp_path / "codes.y4m"
    with path.open("wb") as file:
        write_code_stream(file.write, rate_hz=50, hw_px=(240, 320), delay_ms=80, count=20, clock=clock)
    reader = CodeReader()
    grabber = open_grabber(f"pipe:{shutil.which('cat')} {path}")
    codes = [reader.read(grab.screen.grey()) for grab in grabber.grabs()]
    assert len(codes) >= 18, "the first is read to learn the format"
    assert codes == [1000 + 20 * number - 80 for number in range(20)][-len(codes) :]


@pytest.mark.slow
def test_a_path_of_known_delay_through_a_program_is_at_least_so_long() -> None:
    program = f"{sys.executable} -m usassist calibrate code --rate 30 --size 240x320 --delay 200"
    seen = read_codes(f"pipe:{program}", 2.0)
    assert seen
    delays = [elapsed_ms(item.code_ms, item.t_capture_ns / 1e6) for item in seen if item.code_ms is not None]
    assert len(delays) == len(seen), "every code was read"
    assert min(delays) >= 200.0
    assert {item.stamp for item in seen} == {"arrival"}


def test_wrong_use_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "cart.toml"

    def fail(*words: str) -> str:
        run = CliRunner().invoke(app, ["calibrate", "latency", *words, "--valid-for", "a test"])
        assert run.exit_code != 0
        assert not out.exists()
        return f"{run.exception}"

    assert "no live source" in fail("demo", str(out), "--no-window")
    assert "ends in .toml" in fail("loop:demo", str(tmp_path / "cart.json"))
    assert "--size 3x4 is out of range" in fail("loop:demo", str(out), "--size", "3x4")
    assert "not two numbers" in fail("loop:demo", str(out), "--at", "left")
    assert "leave out --no-window" in fail("loop:demo", str(out), "--at", "0,0", "--no-window")


def test_the_score_is_calibrated_by_one_command_under_two_names() -> None:
    names = (("calibrate", "score"), ("eval", "calibrate"))
    texts = [CliRunner().invoke(app, [*name, "--help"]).output.split("[OPTIONS]")[1].split() for name in names]
    assert {"--sets", "--negatives"} <= set(texts[0])
    assert texts[0] == texts[1]
