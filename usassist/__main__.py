"""``python -m usassist`` is the command ``usassist``, and so is this module's :func:`main`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command, on Linux; Ctrl-C ends it with 130 from the first moment, also during the imports."""
    if sys.platform != "linux":
        sys.exit(f"usassist: this is {sys.platform}, and usassist runs on Linux only; use a Linux machine or container")
    try:
        from usassist.app.commands.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("usassist: stopped\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
