"""The scorer of ``usassist ct worklist``: a study through an engine, as ``usassist ct ich`` does it.

A study often has several series: localizer, thin and thick slices, bone kernel. Each one that the task takes is
answered, the smallest first, up to :data:`MOST_SERIES`, and the highest score stands for the study.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from usassist.app.worklist.scorer import Score
from usassist.errors import SourceError, VolumeError

__all__ = ["MOST_SERIES", "score_study"]

MOST_SERIES = 3
_MEASUREMENT = "study_score"  # of the label with the id 0, which stands for any finding


def score_study(study: Path, out: Path, options: dict[str, Any], beat: Callable[[], None]) -> Score:
    """See :class:`usassist.app.worklist.scorer.Scorer`."""
    from usassist.app.studies import answer_study, open_study_engine
    from usassist.sources.volumes import list_series

    series = sorted(list_series(study), key=lambda facts: (facts.shape_zyx[0] < _FEW, facts.shape_zyx, facts.number))
    best: Score | None = None
    reasons: list[str] = []
    answered = 0
    with open_study_engine(
        options["engine"],
        backend=options["backend"],
        precision=options["precision"],
        threads=options["threads"],
        engines=None if options["engines"] is None else Path(options["engines"]),
    ) as engine:
        for facts in series:
            if answered == MOST_SERIES:
                break
            try:
                outcome = answer_study(
                    study,
                    options["engine"],
                    engine=engine,
                    series=facts.number,
                    out=out.with_name(f"series{facts.number}"),
                    progress=lambda *_: beat(),
                )
            except (SourceError, VolumeError) as error:
                reasons.append(f"series {facts.number}: {error}" if len(series) > 1 else str(error))
                continue
            answered += 1
            score = _score(outcome)
            if best is None or _rank(score) > _rank(best):
                best = score
                shutil.rmtree(out, ignore_errors=True)
                if outcome.folder is not None:
                    outcome.folder.rename(out)
            elif outcome.folder is not None:
                shutil.rmtree(outcome.folder)
    if best is None:
        raise VolumeError("; ".join(reasons) or "there is no series in it; check what was sent")
    return best


_FEW = 5  # slices; a series with fewer is looked at last


def _score(outcome: Any) -> Score:
    """The score of an answer (``StudyOutcome`` of the room for studies)."""
    from usassist.records import ResultState

    result, engine = outcome.result, f"{outcome.spec.name}@{outcome.spec.version}"
    if result.state is ResultState.NO_RESULT:
        return Score(found=None, score=None, engine=engine, series=result.series_id, reason=result.reason)
    values = [item.value for item in result.answer.measurements if item.name == _MEASUREMENT and not item.label_id]
    return Score(
        found=result.state is ResultState.FINDING,
        score=None if not values or values[0] is None else float(values[0]),
        engine=engine,
        series=result.series_id,
    )


def _rank(score: Score) -> tuple[int, float]:
    """What was found ranks before a missing answer, and that before nothing found: it must not look like it."""
    rank = 1 if score.found is None else 2 * score.found
    return rank, 0.0 if score.score is None else score.score
