"""Reads the card of an engine as the page shows it: the text, the measured figures, and the operating points."""

from __future__ import annotations

import logging

import msgspec

from usassist.calibrate import ScoreCalibration, load_score_calibration
from usassist.config import resource_dir
from usassist.errors import CalibrationError
from usassist.sinks.panel.card import Card, CardPoint, CardSet

__all__ = ["read_card"]

logger = logging.getLogger(__name__)


class _Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The file ``curves.json`` in the folder of an engine; made by ``tools.engine_figures``."""

    schema: int
    engine_id: str
    sets: tuple[CardSet, ...]


def read_card(engine_id: str) -> Card | None:
    """The card of an engine that ships.

    Parameters
    ----------
    engine_id : ``NAME@VERSION+HASH``

    Returns
    -------
    card : None where the engine does not lie here. Figures of other weights, and a file that cannot be read, are left
        out and logged.
    """
    name, _, rest = engine_id.partition("@")
    version = rest.partition("+")[0]
    root = resource_dir("engines")
    folder = root / name / version
    text = folder / "CARD.md"
    if not name or not version or folder.resolve().parent.parent != root.resolve() or not text.is_file():
        return None
    sets: tuple[CardSet, ...] = ()
    path = folder / "curves.json"
    if path.is_file():
        try:
            figures = msgspec.json.decode(path.read_bytes(), type=_Figures)
            if figures.engine_id == engine_id:
                sets = figures.sets
            else:
                logger.warning("the figures of %s are of %s and are not shown", engine_id, figures.engine_id)
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("the figures of %s cannot be read and are not shown: %s", engine_id, error)
    try:
        calibration = load_score_calibration(engine_id)
    except CalibrationError as error:
        logger.warning("the operating points of %s are not shown: %s", engine_id, error)
        calibration = None
    return Card(engine_id=engine_id, text=text.read_text(encoding="utf-8"), sets=sets, points=_points(calibration))


def _points(calibration: ScoreCalibration | None) -> tuple[CardPoint, ...]:
    if calibration is None:
        return ()
    sets = {item.name: item for item in calibration.sets}
    return tuple(
        CardPoint(
            name=point.name,
            set_name=figures.name,
            frames=sets[figures.name].frames,
            cases=sets[figures.name].cases,
            sensitivity=figures.sensitivity,
            false_positives_per_frame=figures.false_positives_per_frame,
            alarms_per_negative_frame=figures.alarms_per_negative_frame,
        )
        for point in calibration.points.values()
        for figures in point.sets
        if figures.name in sets
    )
