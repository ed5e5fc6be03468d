"""Entry of the command ``usassist``: only Linux is supported, and elsewhere one line says so before anything fails."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, on Linux."""
    if sys.platform != "linux":
        sys.exit(f"usassist: this is {sys.platform}, and usassist runs on Linux only; use a Linux machine or container")
    from usassist.app.cli import main as run

    run()
