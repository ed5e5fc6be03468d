"""Entry point of ``python -m usassist.training.teacher``."""

import sys

from usassist.training.teacher.command import main

if __name__ == "__main__":
    sys.exit(main())
