"""``usassist replay`` for what it writes besides a session, and for several clips in a row.

A clip that cannot be answered does not end the others. Files appear when they are whole: a failure or Ctrl-C leaves
nothing half-written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from usassist.app.runtime.clip_session import Progress, ReplayOutcome, replay
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.study_clips import DICOM_SUFFIXES, check_no_store, study_clips
from usassist.config import OpenIgtLinkConfig, OverlayConfig, RecordConfig, runtime_dir
from usassist.errors import SessionError, UsageError, UsAssistError
from usassist.records import FrameLine
from usassist.session.export import CsvTable
from usassist.session.export.new_file import new_file
from usassist.session.lines import read_lines
from usassist.sinks.files import explain
from usassist.sinks.results import FrameTime
from usassist.sources.address import IMAGE_SUFFIXES, begins_as_dicom

__all__ = ["ClipAnswer", "ClipTargets", "clips_of", "replay_clips"]

STDOUT = Path("-")
_UNFIT = re.compile(r"[^\w.,=+-]")  # in the name of a file
_VIDEOS = DICOM_SUFFIXES | {
    ".mp4",
    ".avi",
    ".mkv",
    ".mov",
    ".m4v",
    ".webm",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".ts",
    ".nut",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTargets:
    """What is written.

    Attributes
    ----------
    out : folder of the session, of several clips a folder that gets a folder for each; None = ``out/SESSION``, or no
        session at all where there is another target
    csv : table of results, of several clips with the column ``clip``; ``-`` = standard output
    save : video with the overlay, ``.mp4`` or ``.mkv``; of several clips a folder
    overlay_video : also write ``overlay.mkv`` into the session
    results_only : of a session only the results
    """

    out: Path | None = None
    csv: Path | None = None
    save: Path | None = None
    overlay_video: bool = False
    results_only: bool = False

    def check(self, count: int) -> None:
        """See that the targets go together, before anything is started.

        Raises
        ------
        UsageError
            If they do not.
        """
        if self.save is not None and self.overlay_video:
            raise UsageError("--save and --overlay-video write the same; leave one out")
        if self.save is not None and count == 1 and self.save.suffix not in (".mp4", ".mkv"):
            raise UsageError(f"{self.save} is no .mp4 or .mkv; name a file that ends so")
        if self.save is not None and count > 1 and self.save.suffix:
            raise UsageError(
                f"of several clips --save names a folder, and {self.save} looks like a file; name a folder"
            )
        if self.keeps_nothing and (self.overlay_video or self.results_only):
            raise UsageError("with --csv or --save no session is kept; name one with --out, or leave the other out")

    @property
    def keeps_nothing(self) -> bool:
        """True when no session is kept."""
        return self.out is None and (self.csv is not None or self.save is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAnswer:
    """What came of one clip.

    Attributes
    ----------
    clip : as it was named
    outcome : of its replay; None where it could not begin
    error : why it failed; empty where it did not
    """

    clip: str
    outcome: ReplayOutcome | None
    error: str

    @property
    def exit_code(self) -> int:
        """Of this clip alone."""
        return 1 if self.error or self.outcome is None else self.outcome.exit_code


def clips_of(names: Sequence[str], on_left_out: Callable[[str], None] = lambda _: None) -> list[str]:
    """The clips that the arguments stand for.

    A folder of videos stands for these, sorted by name; a folder of a DICOM study for its ultrasound, in the order in
    which it was acquired (:func:`usassist.app.runtime.study_clips.study_clips`).

    Parameters
    ----------
    names : as they were given
    on_left_out : called with one line for what a folder holds beside them

    Raises
    ------
    UsageError
        If a folder holds both clips and images, a study without ultrasound, or several studies.
    """
    found: list[str] = []
    for name in names:
        inside = [] if name == "demo" else _files_in(name)
        videos = [path for path in inside if path.suffix.lower() in _VIDEOS]
        objects = [path for path in inside if path.suffix.lower() in DICOM_SUFFIXES or begins_as_dicom(path)]
        if (videos or objects) and any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside):
            raise UsageError(f"{name} holds clips and images; name the clips, or images:{name}")
        if objects and set(videos) <= set(objects):
            found += study_clips(Path(name), objects, on_left_out)
        else:
            check_no_store(name)
            found += map(str, sorted({*videos, *objects})) if videos else [name]
    return found


def _files_in(name: str) -> list[Path]:
    """Files of a folder, sorted; none of what is no folder, or holds a recorded session."""
    try:
        folder = Path(name)
        if not folder.is_dir() or (folder / "session.toml").exists():
            return []
        return sorted(path for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError):  # no path, or one that may not be read: opening it says so
        return []


def replay_clips(
    clips: Sequence[tuple[str, StreamOptions]],
    targets: ClipTargets,
    *,
    window: OverlayConfig | None,
    openigtlink: OpenIgtLinkConfig | None = None,
    record: RecordConfig,
    make_progress: Callable[[], contextlib.AbstractContextManager[Progress]],
    on_answer: Callable[[ClipAnswer], None],
) -> list[ClipAnswer]:
    """Run clips through the live path, one after the other.

    Parameters
    ----------
    clips : name and options of each
    targets : what is written. A clip that fails, or is stopped, adds nothing to the table and has no video.
    window : also show the overlay in a window
    openigtlink : also send images and outlines to OpenIGTLink clients; None = do not
    record : how sessions are recorded
    make_progress : makes the receiver of one clip's progress
    on_answer : called with each answer as it comes

    Returns
    -------
    answers : of each clip; fewer where Ctrl-C ended it

    Raises
    ------
    UsAssistError
        If a target cannot be written, or the only clip cannot begin.
    KeyboardInterrupt
        If it is stopped before a clip has begun.
    """
    targets.check(len(clips))
    places = list(_places(targets, clips))
    answers: list[ClipAnswer] = []
    with contextlib.suppress(_NothingToWriteError), contextlib.ExitStack() as stack:
        table = None if targets.csv is None else stack.enter_context(_table(targets.csv, with_clip=len(clips) > 1))
        for (name, options), (out, save) in zip(clips, places, strict=True):
            try:
                answer = _answer(name, options, targets, out, save, window, openigtlink, record, make_progress, table)
            except UsAssistError as error:
                if len(clips) == 1:
                    raise
                answer = ClipAnswer(clip=name, outcome=None, error=str(error))
            answers.append(answer)
            on_answer(answer)
            if answer.exit_code == 130:
                break
        if all(answer.exit_code for answer in answers) or answers[-1].exit_code == 130:
            raise _NothingToWriteError
    return answers


class _NothingToWriteError(Exception):
    """No clip was answered to its end, so what was begun is removed."""


class _CutError(Exception):
    """A clip was not answered to its end."""


def _answer(
    name: str,
    options: StreamOptions,
    targets: ClipTargets,
    out: Path | None,
    save: Path | None,
    window: OverlayConfig | None,
    openigtlink: OpenIgtLinkConfig | None,
    record: RecordConfig,
    make_progress: Callable[[], contextlib.AbstractContextManager[Progress]],
    table: CsvTable | None,
) -> ClipAnswer:
    """Run one clip."""
    answer: ClipAnswer | None = None
    with contextlib.suppress(_CutError), contextlib.ExitStack() as stack:
        folder = out
        if folder is None:
            scratch = tempfile.TemporaryDirectory(prefix="replay-", dir=runtime_dir())  # results only, and no pixels
            folder = Path(stack.enter_context(scratch))
        video = targets.overlay_video if save is None else stack.enter_context(new_file(save))
        outcome = replay(
            options,
            folder,
            overlay_video=video,
            window=window,
            openigtlink=openigtlink,
            progress=stack.enter_context(make_progress()),
            record=record,
            results_only=targets.results_only or out is None,
            times=table is not None and (targets.results_only or out is None),
        )
        files = {} if out is None else outcome.files
        if save is not None and not outcome.exit_code:
            files = files | {save.name: str(save)}
        outcome = dataclasses.replace(outcome, files=files)
        error = outcome.error or ""
        if save is not None and isinstance(video, Path):  # the user knows the file by its own name
            error = error.replace(video.name, save.name)
        answer = ClipAnswer(clip=name, outcome=outcome, error=error)
        if outcome.exit_code:
            raise _CutError
        if table is not None:
            shown_s = None if outcome.summary["realtime"] else _shown_s(folder)
            table.write_results(folder / "results.jsonl", shown_s, name if table.with_clip else "")
    assert answer is not None
    return answer


def _shown_s(folder: Path) -> dict[int, float]:
    """When each frame is shown in its clip, s; frames that do not say it are left out."""
    if (folder / "times.jsonl").exists():
        return {item.frame_id: item.t_s for item in read_lines(folder / "times.jsonl", FrameTime).items}
    lines = read_lines(folder / "frames.jsonl", FrameLine).items
    return {
        line.frame_id: float(line.pts * line.time_base)
        for line in lines
        if line.pts is not None and line.time_base is not None
    }


@contextlib.contextmanager
def _table(path: Path, *, with_clip: bool) -> Iterator[CsvTable]:
    if path == STDOUT:
        yield CsvTable(sys.stdout, with_clip=with_clip)
        return
    with new_file(path) as temporary:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield CsvTable(file, with_clip=with_clip)
        except OSError as error:
            raise SessionError(explain(path, error)) from error


def _places(
    targets: ClipTargets, clips: Sequence[tuple[str, StreamOptions]]
) -> Iterator[tuple[Path | None, Path | None]]:
    """Folder of the session and file of the video of each clip.

    Raises
    ------
    SessionError
        If a file is there already, or a folder cannot be made.
    """
    taken: set[str] = set()
    for name, options in clips:
        stem = first = _UNFIT.sub("_", Path(name).stem) or "clip"
        number = 1
        while stem in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem)
        out, save = targets.out, targets.save
        if len(clips) > 1:
            out = None if out is None else out / stem
            save = None if save is None else save / f"{stem}.mp4"
        if targets.out is None and not targets.keeps_nothing:
            out = Path("out") / options.session_id
        if save is not None:
            if save.exists():
                raise SessionError(f"{save} already exists; choose another name or move it away")
            try:
                save.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SessionError(explain(save.parent, error)) from error
        yield out, save
