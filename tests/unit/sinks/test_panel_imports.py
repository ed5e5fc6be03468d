"""The process of the page imports what it needs and not more: that is how long its first picture takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_PROGRAM = """
import inspect, json, os, sys
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import usassist.app.runtime.workers.panel
from usassist.sinks.panel.gradio_import import import_gradio
before = inspect.getfile
import_gradio()
import uvicorn, usassist.sinks.panel.page
import gradio as gr
assert inspect.getfile is before
assert inspect.getfile(gr.Button).endswith("button.py")
with gr.Blocks():
    gr.Button("works").click(lambda: None)
print(json.dumps(sorted(sys.modules)))
"""
_NOT_NEEDED = (
    "av",
    "matplotlib",
    "onnxruntime",
    "openvino",
    "scipy",
    "torch",
    "usassist.engine",
    "usassist.modalities.ultrasound",
    "usassist.pipeline",
    "usassist.session",
    "usassist.sources",
)


def test_the_page_imports_neither_an_engine_nor_a_source_and_gradio_is_whole() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    imported = set(json.loads(run.stdout))
    assert "gradio" in imported
    assert not imported & set(_NOT_NEEDED)
