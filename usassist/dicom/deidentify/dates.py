"""Dates and times that are moved together, so that intervals stay and no day does.

PS3.15 E.3.6, Retain Longitudinal Temporal Information With Modified Dates Option. A date and the time beside it are one
moment; both are moved by the same number of seconds. What cannot be moved as a moment is not kept: a time without its
date, a date that is not valid. A date without a time is moved as noon of that day.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydicom import Dataset

__all__ = ["MOMENTS", "shift_moments"]

MOMENTS = ("Study", "Series", "Acquisition", "Content", "InstanceCreation")
"""What has a date and a time: ``StudyDate`` and ``StudyTime``, and so on; beside them ``AcquisitionDateTime``."""

_MOMENT = "AcquisitionDateTime"
_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2})?(\.\d{1,6})?")


def shift_moments(dataset: Dataset, by: timedelta) -> dict[str, str]:
    """The moved dates and times of a data set, by keyword; what is not in it was not there or cannot be moved.

    Parameters
    ----------
    dataset : its items are not looked at
    by : the same for all objects of a patient
    """
    moved: dict[str, str] = {}
    for name in MOMENTS:
        date, time = (str(dataset.get(f"{name}{part}", "") or "").strip() for part in ("Date", "Time"))
        moment = _moment(date, time or "120000")
        if moment is not None:
            there = _added(moment, by)
            if there is None:
                continue
            moved[f"{name}Date"] = f"{there:%Y%m%d}"
            if time:
                moved[f"{name}Time"] = _time_like(there, time)
    whole = str(dataset.get(_MOMENT, "") or "").strip()
    whole = re.sub(r"[+-]\d{4}$", "", whole)
    moment = _moment(whole[:8], whole[8:])
    there = None if moment is None else _added(moment, by)
    if there is not None:
        moved[_MOMENT] = f"{there:%Y%m%d}{_time_like(there, whole[8:])}"
    return moved


def _moment(date: str, time: str) -> datetime | None:
    found = _TIME.fullmatch(time)
    if found is None or not re.fullmatch(r"\d{8}", date):
        return None
    hour, minute, second, fraction = found.groups()
    try:
        return datetime.strptime(date, "%Y%m%d").replace(
            hour=int(hour),
            minute=int(minute or 0),
            second=min(59, int(second or 0)),
            microsecond=round(float(fraction or 0) * 1e6),
        )
    except ValueError:
        return None


def _added(moment: datetime, by: timedelta) -> datetime | None:
    try:
        there = moment + by
    except OverflowError:
        return None
    return there if there.year >= 1000 else None  # four digits


def _time_like(moment: datetime, like: str) -> str:
    """The time with a fraction of a second where the other has one."""
    return f"{moment:%H%M%S}" + (f".{moment.microsecond:06d}" if "." in like else "")
