"""The measuring commands, from the command line to their figures; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.replay.conftest import Usassist
from tests.virtual_display import virtual_display
from usassist.app.bench.setup import Setup
from usassist.app.bench.soak import soak
from usassist.common.latency import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.mark.long
def test_a_live_session_is_measured_with_every_process_and_every_frame(usassist: Usassist) -> None:
    run = usassist(
        *("bench", "live", "--fps", 15, "--size", "640x360", "--seconds", 3, "--warm-up", 1, "--threads", 1),
        *("--stalled-subscribers", 2, "--json"),
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["accounts"]["unaccounted"] == 0
    assert told["accounts"]["frames"] == sum(told["accounts"]["by_state"].values()) > 0
    assert set(told["stages"]) == set(STAGES)
    assert {"stream", "capture", "record", "overlay", "panel"} == told["usage"].keys()
    assert told["recorded"]["results"] >= told["accounts"]["frames"]
    assert told["contract"] is None  # a smaller screen than any table is about


@pytest.mark.long
def test_window_and_page_are_measured_beside_the_stream(usassist: Usassist, environment: dict[str, str]) -> None:
    with virtual_display((540, 960)) as display:
        environment["DISPLAY"] = display
        run = usassist(
            *("bench", "view", "--fps", 15, "--size", "640x360", "--viewers", 1, "--rounds", 1, "--seconds", 2),
            "--json",
        )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["shown"].keys() == {"window", "viewer 1"}
    for seen in (told["stream_alone"], told["stream_beside"], *told["shown"].values()):
        assert seen["frames"] > 0
        assert 0 < seen["p50_ms"] <= seen["p99_ms"] <= seen["max_ms"]
    assert {"stream", "capture", "record", "panel", "window"} == told["cpu_percent"].keys()


@pytest.mark.long
@pytest.mark.parametrize("reader", ["usassist", "pyigtl"])
def test_image_and_outline_are_measured_at_openigtlink_clients(usassist: Usassist, reader: str) -> None:
    if reader == "pyigtl":
        pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'usassist[openigtlink]'")
    run = usassist(
        *("bench", "openigtlink", "--fps", 15, "--size", "640x360", "--clients", 2, "--seconds", 2),
        *("--reader", reader, "--json"),
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["clients"].keys() == told["lost"].keys() == {"client 1", "client 2"}
    for seen in (told["results"], *told["clients"].values()):
        assert seen["frames"] > 0
        assert 0 < seen["p50_ms"] <= seen["p99_ms"] <= seen["max_ms"]
    assert {"stream", "capture", "openigtlink"} == told["cpu_percent"].keys()


def test_without_a_display_no_window_is_measured(usassist: Usassist) -> None:
    run = usassist("bench", "view", "--json")
    assert run.returncode == 2
    assert "no display" in json.loads(run.stdout)["error"]


def test_an_invalid_size_is_refused(usassist: Usassist) -> None:
    run = usassist("bench", "live", "--size", "1280", "--json")
    assert run.returncode == 2
    assert "1280 is no size" in json.loads(run.stdout)["error"]


def test_a_replay_is_measured_with_everything_on_disk(usassist: Usassist) -> None:
    run = usassist("bench", "replay", "--count", 20, "--rounds", 1, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["frames"] == 20
    assert 0 < told["kept_per_s"][0] <= told["answered_per_s"][0]


@pytest.mark.long
def test_a_start_is_measured_to_the_first_result(usassist: Usassist) -> None:
    run = usassist("bench", "start", "--rounds", 1, "--source", "loop:demo?size=640x360", "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert 0 < told["first_result_s"][0] <= told["first_answer_s"][0]
    assert told["stream_rss_mb"][0] > 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_stopped_readers_are_compared_with_none(usassist: Usassist) -> None:
    run = usassist(
        *("bench", "isolation", "--stalled", 2, "--rounds", 2, "--seconds", 1, "--fps", 15, "--size", "640x360"),
        "--json",
    )
    told = json.loads(run.stdout)
    assert (run.returncode == 1) == bool(told["broken"])
    assert told["ratio_low"] <= told["ratio_p99"] <= told["ratio_high"]
    assert told["growth_mb"] < 64


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_frame_of_a_soak_is_accounted_for_and_nothing_stays_on_disk(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = tmp_path_factory.mktemp("run")
    sockets.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    setup = Setup(fps=100, width_px=640, height_px=360, viewers=1, faults_s=6, threads=1)
    run = soak(2000, tmp_path, setup=setup, frames_per_recording=800)
    assert len(run.results) >= 2000
    assert run.unaccounted == 0
    assert run.results_missing <= run.meter_gaps
    assert run.marks_recorded == run.marks_made > 0
    assert run.recorders == 3
    assert run.results.by_cause().keys() & {"not_live", "dropped"}
    assert {"stream", "record", "overlay", "panel"} <= run.samples.keys()
    assert os.listdir(tmp_path) == []
