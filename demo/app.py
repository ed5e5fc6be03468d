"""The demo page for a service that hosts it: ``python demo/app.py``; see README.md beside this file.

It listens where the service's environment says (``GRADIO_SERVER_NAME``, ``GRADIO_SERVER_PORT``), and anybody who
reaches it may use it. On your own machine use ``usassist demo``, which asks for a token.
"""

from __future__ import annotations

import contextlib
import os
import tempfile


def main() -> None:
    """Serve the page."""
    with tempfile.TemporaryDirectory(prefix="usassist-demo-uploads-") as folder:
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        from usassist.app.demo.serve import DemoOptions, launch_hosted
        from usassist.app.runtime.open_stream import StreamOptions
        from usassist.common.signals import interrupt_on_signal
        from usassist.config import RecordConfig

        stream = StreamOptions(source="", bus="", engine="thyroid_nodule")
        with interrupt_on_signal(), contextlib.suppress(KeyboardInterrupt):
            launch_hosted(DemoOptions(stream=stream, record=RecordConfig()))


if __name__ == "__main__":
    main()
