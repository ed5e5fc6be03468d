"""``python -m usassist`` is the command ``usassist``, and so is this module's :func:`main`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; Ctrl-C ends it with 130 from the first moment, also while everything is being imported."""
    try:
        from usassist.app.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("usassist: stopped\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
