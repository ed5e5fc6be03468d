"""The demo page as a script: ``python demo/app.py``. The same as ``usassist demo``."""

import sys

from usassist.app.commands.main import main

if __name__ == "__main__":
    sys.argv[1:1] = ["demo"]
    main()
