"""What a hosting service reads beside ``demo/app.py``."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from usassist import __version__

DEMO = Path(__file__).parents[4] / "demo"


def test_the_service_installs_this_version_and_the_gradio_that_is_tested_here() -> None:
    wheel = (DEMO / "requirements.txt").read_text().splitlines()[-1]
    assert wheel == f"./usassist-{__version__}-py3-none-any.whl"
    header = (DEMO / "README.md").read_text().split("---")[1]
    asked = re.search(r"^sdk_version: (\S+)$", header, re.MULTILINE)
    assert asked is not None
    assert asked[1].split(".")[0] == version("gradio").split(".")[0]
    assert "app_file: app.py" in header
    assert (DEMO / "app.py").is_file()
