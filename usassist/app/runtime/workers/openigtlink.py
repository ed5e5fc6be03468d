"""Child process: serve a stream to OpenIGTLink clients."""

from __future__ import annotations

from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.config import OpenIgtLinkConfig
from usassist.sinks.openigtlink import serve_openigtlink

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Serve ``options["address"]`` as ``options["openigtlink"]`` says, until the parent stops this process."""
    serve_openigtlink(
        options["address"],
        OpenIgtLinkConfig(**options["openigtlink"]),
        parent.stop,
        parent.heartbeat,
        on_ready=lambda port: parent.report("ready", port=port),
    )
    return {}
