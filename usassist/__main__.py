"""``python -m usassist`` is the command ``usassist``."""

from usassist.app.entry import main

if __name__ == "__main__":
    main()
