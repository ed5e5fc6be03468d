"""Child process: score one study, and put what came out on the disk in one step.

An outcome is a folder named by the key of the study's contents. It appears there complete, by one rename, and is never
replaced: whoever finds it does not score that study again, also where the process that asked for it was killed before
it could note anything. Nothing is printed: libraries quote names of files and headers, and these name patients.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import secrets
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from usassist.app.runtime.worker import Parent
from usassist.app.worklist.content import read_content
from usassist.app.worklist.scorer import Score, load_scorer
from usassist.app.worklist.units import Unit, look_at
from usassist.common.private_files import sync_file, sync_folder, write_atomic
from usassist.common.process_tuning import set_parent_death_signal
from usassist.errors import BackendUnavailableError, CacheError, EngineNotFoundError, EngineSpecError, UsAssistError
from usassist.sinks.worklist import RESULTS_FOLDER

__all__ = ["OUTCOME_FILE", "UNFINISHED", "Outcome", "work"]

OUTCOME_FILE = "outcome.json"
UNFINISHED = ".unfinished-"  # a folder that is being written begins so
_MONTAGE = "montage.png"
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_NO_ENGINE = (EngineNotFoundError, EngineSpecError, BackendUnavailableError, CacheError)
_SHORT_NUMBER = re.compile(r"\d{1,5}")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    Attributes
    ----------
    state : ``suspicious``, ``unflagged``, ``failed``; ``changed``: its files changed meanwhile, so nothing holds;
        ``blocked``: no study can be scored, because of the disk or of the engine
    score, reason, code, engine, series, montage, scoring_s : as in ``Version``
    result : name of the folder that holds it; empty = nothing is kept
    known : the contents were scored before
    """

    state: str
    score: float | None = None
    reason: str = ""
    code: str = ""
    engine: str = ""
    series: str = ""
    montage: bool = False
    scoring_s: float = 0.0
    result: str = ""
    known: bool = False


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Score ``options["path"]`` with ``options["scorer"]``; the other options are in ``scoring.py``."""
    set_parent_death_signal()
    if os.getppid() != options["parent_pid"]:
        return {}
    _say_nothing()
    _limit_memory(options["memory_mb"])
    parent.report("ready")
    unit = Unit(place=options["place"], path=Path(options["path"]), is_folder=options["is_folder"])
    outcome = _score(unit, options, parent)
    return {"outcome": msgspec.to_builtins(outcome)}


def _score(unit: Unit, options: dict[str, Any], parent: Parent) -> Outcome:
    began_s = time.monotonic()
    results = Path(options["state"]) / RESULTS_FOLDER
    hidden: set[str] = {unit.place, *unit.path.parts}
    before = look_at(unit)
    if before is None or before.signature != options["signature"]:
        return Outcome(state="changed")
    try:
        content = read_content(unit, parent.heartbeat.beat)
        hidden |= content.names
        known = results / content.key / OUTCOME_FILE
        if known.exists():
            return msgspec.structs.replace(msgspec.json.decode(known.read_bytes(), type=Outcome), known=True)
        if content.studies > 1:
            reason = f"it holds {content.studies} studies; put each into a folder of its own"
            return Outcome(state="failed", reason=reason, code="several_studies")
        temporary = results / f"{UNFINISHED}{secrets.token_hex(8)}"
        temporary.mkdir(mode=0o700)
    except MemoryError:
        return _failed("memory", "it needed more memory than a study may")
    except UsAssistError as error:
        return _failed("refused", _without_names(str(error), hidden))
    except OSError as error:
        if _is_below(error.filename, results):
            return _blocked(error)
        after = look_at(unit)
        if after is None or after.signature != before.signature:
            return Outcome(state="changed")
        return _failed("refused", f"a file of it cannot be read: {(error.strerror or type(error).__name__).lower()}")
    try:
        outcome = _ask(unit, temporary / "answer", options, parent, hidden)
        after = look_at(unit)
        if after is None or after.signature != before.signature:
            return Outcome(state="changed")
        if outcome.state in ("failed", "blocked"):
            return outcome  # another try may have another end, so nothing is kept
        montage = (temporary / "answer" / _MONTAGE).is_file()
        outcome = msgspec.structs.replace(
            outcome, montage=montage, result=content.key, scoring_s=round(time.monotonic() - began_s, 3)
        )
        return _keep(outcome, temporary, results / content.key)
    except OSError as error:
        return _blocked(error)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _ask(unit: Unit, out: Path, options: dict[str, Any], parent: Parent, hidden: Iterable[str]) -> Outcome:
    try:
        score = load_scorer(options["scorer"])(unit.path, out, options["scorer_options"], parent.heartbeat.beat)
    except MemoryError:
        return _failed("memory", "it needed more memory than a study may")
    except _NO_ENGINE as error:
        return Outcome(state="blocked", reason=_without_names(str(error), hidden))
    except UsAssistError as error:
        if isinstance(error, OSError) and _is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        return _failed("refused", _without_names(str(error), hidden))
    except Exception as error:
        if isinstance(error, OSError) and _is_full(error):
            raise
        return _failed("failed", f"something unexpected failed: {type(error).__name__}")
    return _of_score(score, hidden)


def _of_score(score: Score, hidden: Iterable[str]) -> Outcome:
    answer = Outcome(state="suspicious" if score.found else "unflagged", engine=score.engine, series=score.series)
    if score.found is None:
        reason = _without_names(score.reason, hidden)
        return msgspec.structs.replace(answer, state="failed", reason=reason, code="no_result")
    return msgspec.structs.replace(answer, score=score.score)


def _keep(outcome: Outcome, temporary: Path, final: Path) -> Outcome:
    """Put it in place; where another has just done so, that one holds."""
    answer = temporary / "answer"
    if answer.is_dir():
        for path in answer.rglob("*"):
            if path.is_file():
                sync_file(path)
        for path in answer.iterdir():
            os.rename(path, temporary / path.name)
        answer.rmdir()
    write_atomic(temporary / OUTCOME_FILE, msgspec.json.encode(outcome))
    try:
        os.rename(temporary, final)
    except OSError:
        known = final / OUTCOME_FILE
        if not known.exists():
            raise
        return msgspec.structs.replace(msgspec.json.decode(known.read_bytes(), type=Outcome), known=True)
    sync_folder(final.parent)
    return outcome


def _blocked(error: OSError) -> Outcome:
    reason = (error.strerror or type(error).__name__).lower()
    return Outcome(state="blocked", reason=f"the folder of state cannot be written: {reason}; free some space")


def _failed(code: str, reason: str) -> Outcome:
    return Outcome(state="failed", code=code, reason=reason)


def _without_names(reason: str, hidden: Iterable[str]) -> str:
    """A reason without paths and names of files or folders: they may name a patient."""
    text = " ".join(reason.split())
    text = re.sub(r"(?<![\w.])~?/[^\s:;,]+", "…", text)
    for name in sorted(hidden, key=len, reverse=True):
        if len(name) > 1 and not _SHORT_NUMBER.fullmatch(name):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return re.sub(r"…(/…|\S*/\S*)*", "…", text)[:300]


def _limit_memory(limit_mb: int) -> None:
    """Heap and anonymous maps of this process (RLIMIT_DATA of Linux); files that are mapped do not count."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_mb * 1_000_000
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's images
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text("1000", encoding="ascii")  # where memory ends all the same, this process goes first


def _say_nothing() -> None:
    """Keep standard output for reports to the parent, and give all else that is printed to nobody."""
    sys.stdout.flush()
    reports = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    os.set_inheritable(reports, False)
    sys.stdout = os.fdopen(reports, "w", encoding="utf-8")


def _is_below(path: Any, folder: Path) -> bool:
    return isinstance(path, str) and Path(path).is_relative_to(folder)


def _is_full(error: OSError) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    cause = error.__cause__
    return error.errno in codes or (isinstance(cause, OSError) and cause.errno in codes)
