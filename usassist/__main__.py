"""``python -m usassist`` is the command ``usassist``."""

from usassist.app.cli import main

if __name__ == "__main__":
    main()
