"""Child process: stream a source onto the bus."""

from __future__ import annotations

from typing import Any

from usassist.app.streaming import StreamOptions, open_stream
from usassist.app.worker import Parent

__all__ = ["work"]

_ARCHIVES_S = 5.0
_START_S = 30.0  # what else comes before the first frame
_LAST_WORDS_S = 10.0


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Stream with ``options`` until the source ends or the parent goes.

    ``options`` are the fields of ``StreamOptions``, and ``archives``: so many recorders are waited for, first until
    they listen, and at the end until the parent says that they have everything.
    """
    archives = options.pop("archives", 0)
    heartbeat = parent.heartbeat
    with open_stream(
        StreamOptions(**options), on_build=lambda stage, share: heartbeat.beat(), heartbeat=heartbeat
    ) as stream:
        heartbeat.allow(_ARCHIVES_S + _START_S)
        parent.tell("ready")
        if archives:
            stream.publisher.wait_for_archives(archives, _ARCHIVES_S, lambda: not parent.gone.is_set())
        summary = stream.run(parent.gone).as_dict()
        if archives:
            parent.tell("ended", summary=summary)
            parent.closed.wait(_LAST_WORDS_S)
    return {"summary": summary}
