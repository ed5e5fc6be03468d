"""Child process: stream a source, for a page that runs in the parent."""

from __future__ import annotations

from typing import Any

from usassist.app.streaming import StreamOptions, open_stream
from usassist.app.worker import Parent

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Stream with ``options``, the fields of ``StreamOptions``, until the source ends or the parent goes."""
    with open_stream(StreamOptions(**options)) as stream:
        parent.tell("ready")
        return {"summary": stream.run(parent.gone).as_dict()}
