"""What of the command line is decided without a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.app.runtime.clips import ClipTargets, clips_of
from usassist.errors import UsageError
from usassist.sources.address import open_source
from usassist.sources.inputs.address import as_live_source

SWEEP = Path(__file__).parents[3] / "golden" / "sessions" / "sweep"


def fails(*words: str) -> str:
    """The one line that a command ends with."""
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


def test_a_folder_of_clips_stands_for_its_clips_and_one_of_images_for_itself(tmp_path: Path) -> None:
    for name in ("clips/b.MP4", "clips/a.mkv", "clips/notes.txt", "images/1.png", "both/1.png", "both/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips, images = tmp_path / "clips", tmp_path / "images"
    assert clips_of([str(clips), "demo", str(images)]) == [
        str(clips / "a.mkv"),
        str(clips / "b.MP4"),
        "demo",
        str(images),
    ]
    assert clips_of([str(SWEEP)]) == [str(SWEEP)], "a recorded session is no folder of clips"
    with pytest.raises(UsageError, match="holds clips and images; name the clips, or images:"):
        clips_of([str(tmp_path / "both")])


@pytest.mark.parametrize(
    ("targets", "count", "told"),
    [
        ({"save": Path("x.webm")}, 1, "x.webm is no .mp4 or .mkv"),
        ({"save": Path("x.mp4")}, 2, "of several clips --save names a folder"),
        ({"save": Path("x.mp4"), "overlay_video": True}, 1, "leave one out"),
        ({"csv": Path("x.csv"), "results_only": True}, 1, "no session is kept; name one with --out"),
    ],
)
def test_targets_that_do_not_go_together_are_refused(targets: dict[str, Any], count: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ClipTargets(**targets).check(count)


def test_commands_refuse_what_means_nothing() -> None:
    session = str(SWEEP)
    assert "one at a time" in fails("replay", session, "demo")
    assert "written alone" in fails("replay", session, "--csv", "-", "--page")
    assert "both write to standard output" in fails("replay", "demo", "--csv", "-", "--json")
    assert "never ends" in fails("replay", "demo", "demo", "--repeat")
    assert "leave out --port" in fails("replay", "demo", "--port", "7999")
    assert "the table alone is written" in fails("session", "export", session, "--csv", "-", "--coco", "x.json")
    assert "is no .png" in fails("snapshot", session, "3", "--out", "x.jpg")
    assert "holds no recorded session" in fails("view", str(SWEEP.parent))


@pytest.mark.parametrize("named", ["/dev/video0", "/dev/v4l/by-id/usb-grabber,size=1920x1080"])
def test_a_device_may_be_named_as_other_programs_name_it(named: str) -> None:
    assert as_live_source(named) == f"v4l2:{named}"


def test_what_is_nearly_a_source_gets_a_hint() -> None:
    assert as_live_source("rtsp://host/x") == "rtsp://host/x"
    for word in ("0", "video0"):
        with pytest.raises(UsageError, match="is no source; write --source /dev/video0"):
            as_live_source(word)
    with pytest.raises(UsageError, match="is a device, not a clip; usassist live --source v4l2:/dev/video0 watches it"):
        open_source("/dev/video0", session_id="s")


@pytest.mark.parametrize(
    ("words", "display", "window"),
    [((), True, True), ((), False, False), (("--page",), True, False), (("--port", "7999"), True, False)],
)
def test_view_opens_a_window_where_there_is_a_display_and_the_page_elsewhere(
    words: tuple[str, ...], display: bool, window: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def replay_session(options: Any, *_rest: Any, **_more: Any) -> None:
        seen.append(options)
        raise UsageError("far enough")

    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr("usassist.app.runtime.replay_session.replay_session", replay_session)
    assert fails("view", str(SWEEP), *words) == "far enough"
    (options,) = seen
    assert (options.window is not None, options.page is not None, options.repeat) == (window, not window, True)
