"""Explain an import that failed: which system library is missing, and which package has it."""

from __future__ import annotations

import importlib
import re
import sys

__all__ = ["explain_import_error", "main"]

# shared object → Debian and Ubuntu package, Fedora package
_PACKAGES = {
    "libGL.so.1": ("libgl1", "mesa-libGL"),
    "libEGL.so.1": ("libegl1", "mesa-libEGL"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libgthread-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libSM.so.6": ("libsm6", "libSM"),
    "libICE.so.6": ("libice6", "libICE"),
    "libX11.so.6": ("libx11-6", "libX11"),
    "libXext.so.6": ("libxext6", "libXext"),
    "libXrender.so.1": ("libxrender1", "libXrender"),
    "libxcb.so.1": ("libxcb1", "libxcb"),
    "libgomp.so.1": ("libgomp1", "libgomp"),
    "libstdc++.so.6": ("libstdc++6", "libstdc++"),
}


def explain_import_error(error: ImportError) -> str:
    """One line with what is missing and what to install.

    Parameters
    ----------
    error : raised by the import of a module
    """
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object", str(error))
    if missing is None:
        return f"{error.name or 'a module'} cannot be imported ({error}); run: pip install --force-reinstall usassist"
    library = missing[1]
    if library not in _PACKAGES:
        return f"the system library {library} is missing ({error}); install the package that has it"
    debian, fedora = _PACKAGES[library]
    return (
        f"the system library {library} is missing; install it with: apt-get install {debian} "
        f"(Debian, Ubuntu) or: dnf install {fedora} (Fedora)"
    )


def main() -> int:
    """Import the libraries that need the system's; print what is missing. Returns an exit code."""
    try:
        for name in ("cv2", "av", "zmq", "numpy"):
            importlib.import_module(name)
    except ImportError as error:
        sys.stderr.write(f"usassist: {explain_import_error(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
