"""``usassist rerun``: the frames of a recorded session through the shipped pipeline again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.engines import FolderOption, JsonOption
from usassist.app.options import ConfigOption, ThreadsOption, read_settings
from usassist.config import RecordConfig

if TYPE_CHECKING:
    from usassist.app.replay.clip import Outcome, Progress
    from usassist.app.rerun.outcome import Comparison
    from usassist.app.rerun.plan import Wishes
    from usassist.app.rerun.recording import Recording

__all__ = ["Rerun", "rerun", "run_again"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rerun:
    """What came of a rerun.

    Attributes
    ----------
    recording : the session
    outcome : of the run; its ``files`` name what was recorded
    comparison : None where it was not asked for, or the run did not come to its end
    notes : what was not as it was recorded, one line each
    not_exact : why not even the same back end had to give the same bits; empty = it had to
    same_kind : the recording says that it was made on the kind of processor that this one is; None = not compared
    """

    recording: Recording
    outcome: Outcome
    comparison: Comparison | None
    notes: tuple[str, ...]
    not_exact: str = ""
    same_kind: bool | None = None

    @property
    def exit_code(self) -> int:
        """0, 1 for a failure or a difference, 130 when the user stopped it."""
        differs = self.comparison is not None and not self.comparison.ok
        return self.outcome.exit_code or int(differs)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        recording = self.recording
        return {
            "session_id": recording.session.manifest.session_id,
            "problems": list(recording.problems),
            "gaps": recording.gap_words,
            "notes": list(self.notes),
            "rerun": self.outcome.summary,
            "files": self.outcome.files,
            "same_kind_of_processor": self.same_kind,
            "within_tolerances_because": self.not_exact or None,
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
        }


def rerun(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    engine: Annotated[str | None, typer.Option(help="Engine: NAME or NAME@VERSION; as recorded by default.")] = None,
    backend: Annotated[str | None, typer.Option(help="Back end, or auto; as recorded by default, else auto.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16, int8 or auto; as recorded by default.")] = None,
    point: Annotated[str | None, typer.Option(help="Operating point; as recorded by default.")] = None,
    threads: ThreadsOption = None,
    engines: FolderOption = None,
    out: Annotated[Path | None, typer.Option(help="Session folder, new or empty; a new one in out by default.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare every result with the recorded one.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet of the frames that differ; differences.png in OUT by default.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the frames of a recorded session through the pipeline again, and compare what it answers."""
    from usassist.app.report import BarProgress
    from usassist.app.rerun.plan import Wishes
    from usassist.app.rerun.report import print_rerun, write_sheet
    from usassist.app.streaming import new_session_id
    from usassist.errors import UsageError

    if sheet is not None and not diff:
        raise UsageError("--sheet shows the frames that differ; give --diff with it")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"the contact sheet is a PNG file, but the name is {sheet.name}; let it end in .png")
    settings = read_settings(config)
    wishes = Wishes(
        engine=engine,
        backend=backend,
        precision=precision,
        point=point,
        threads=settings.stream.threads if threads is None else threads,
        engines=engines,
    )
    folder = out if out is not None else Path("out") / new_session_id()
    with BarProgress(quiet=as_json) as progress:
        done = run_again(session, folder, wishes, progress=progress, compare=diff, record=settings.record)
    sheet_path = write_sheet(done, sheet or folder / "differences.png")
    if as_json:
        typer.echo(json.dumps(done.as_dict() | {"sheet": None if sheet_path is None else str(sheet_path)}, indent=2))
    else:
        print_rerun(done, sheet_path)
    if done.outcome.error is not None:
        typer.echo(f"usassist: {done.outcome.error}", err=True)
    raise typer.Exit(done.exit_code)


def run_again(
    session: Path,
    out: Path,
    wishes: Wishes,
    *,
    progress: Progress,
    compare: bool,
    record: RecordConfig | None = None,
) -> Rerun:
    """Run a recorded session again, into a new session folder.

    Parameters
    ----------
    session : folder of the recording
    out : folder of the new one
    wishes : what is not to be as it was recorded
    progress : is told
    compare : compare every result with the recorded one
    record : how the new recording is made; None = as by default

    Raises
    ------
    UsAssistError
        If the session cannot be read, its engine is not there, or the run cannot begin.
    """
    from usassist.app.replay.clip import replay
    from usassist.app.rerun.compare import compare_sessions
    from usassist.app.rerun.machine import same_kind_of_processor, why_within_tolerances
    from usassist.app.rerun.plan import make_rules, plan_rerun
    from usassist.app.rerun.recording import read_recording

    recording = read_recording(session)
    options, spec, notes = plan_rerun(session, recording.engines, recording.results, wishes)
    outcome = replay(options, out, overlay_video=False, window=False, progress=progress, record=record)
    if not compare or outcome.exit_code == 130:
        return Rerun(recording=recording, outcome=outcome, comparison=None, notes=tuple(notes))
    again = read_recording(out)
    labels = {result.backend for result in (*recording.results, *again.results) if result.state.is_answer}
    announced = recording.engines[-1] if recording.engines else None
    exact, tolerant = make_rules(spec, announced, sorted(labels))
    manifests = recording.session.manifest, again.session.manifest
    not_exact = why_within_tolerances(*manifests)
    comparison = compare_sessions(recording.side, again.side, exact, tolerant, same_machine=not not_exact)
    return Rerun(
        recording=recording,
        outcome=outcome,
        comparison=comparison,
        notes=tuple(notes),
        not_exact=not_exact,
        same_kind=same_kind_of_processor(*manifests),
    )
