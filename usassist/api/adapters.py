"""Results as objects of other libraries. These are imported when they are asked for, and are not needed otherwise."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from usassist.errors import UsageError
from usassist.session.export import TABLE_COLUMNS, table_rows

if TYPE_CHECKING:
    import pandas
    import supervision

    from usassist.api.result import FrameResult

__all__ = ["supervision_fields", "to_pandas", "to_supervision"]

_PANDAS_TYPES = {"int": "Int64", "float": "float64", "text": "string"}  # the same for every frame, to concatenate


def to_supervision(result: FrameResult) -> supervision.Detections:
    """See :meth:`usassist.FrameResult.to_supervision`."""
    fields = supervision_fields(result)
    detections: supervision.Detections = _library("supervision").Detections(**fields)
    return detections


def supervision_fields(result: FrameResult) -> dict[str, Any]:
    """The arguments of ``supervision.Detections``.

    Raises
    ------
    UsageError
        If the frame has no result.
    """
    if not result.is_answer:
        raise UsageError(
            f"frame {result.frame_id} has no result ({result.cause}: {result.reason}), which Detections cannot "
            "express; skip frames where result.is_answer is False"
        )
    track_id = result.record.detections.track_id.astype(np.int64)
    return {
        "xyxy": result.boxes_xyxy_px.copy(),
        "mask": result.masks,
        "confidence": result.scores.copy(),
        "class_id": result.label_ids.astype(np.int64),
        "tracker_id": track_id if len(track_id) and (track_id >= 0).all() else None,
        "data": {"class_name": np.array(result.labels, dtype=np.str_)},
        "metadata": {
            "frame_id": result.frame_id,
            "t_ms": result.t_ms,
            "state": str(result.state),
            "engine_id": result.record.engine_id,
        },
    }


def to_pandas(result: FrameResult) -> pandas.DataFrame:
    """See :meth:`usassist.FrameResult.to_pandas`."""
    frame_class = _library("pandas").DataFrame
    rows = list(table_rows(result.to_dict(), None if result.t_ms is None else result.t_ms / 1e3))
    table: pandas.DataFrame = frame_class(rows, columns=list(TABLE_COLUMNS)).astype(
        {name: _PANDAS_TYPES[kind] for name, kind in TABLE_COLUMNS.items()}
    )
    return table


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} cannot be imported ({error}); pip install 'usassist[api]'") from error
