"""Headers of every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

__all__ = ["LOGIN_POLICY", "policy", "set_headers"]


def policy(frame_ancestors: str = "'none'") -> str:
    """The content security policy of the page: the browser itself refuses every request to another host.

    Gradio needs inline scripts and ``Function``.

    Parameters
    ----------
    frame_ancestors : pages that may show this one in a frame
    """
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
        f"object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors {frame_ancestors}"
    )


LOGIN_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Of the login page, which has a form and no script."""

_PERMISSIONS = ", ".join(
    f"{name}=()"
    for name in ("accelerometer", "camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)


def set_headers(
    headers: MutableHeaders,
    *,
    policy: str,
    framed: bool = False,
    may_be_kept: bool = False,
    referrer: str = "no-referrer",
) -> None:
    """Set them.

    Parameters
    ----------
    headers : of the answer
    policy : content security policy
    framed : other pages may show it in a frame
    referrer : policy of referrers. Browsers leave the origin out of what a form sends under ``no-referrer``.
    may_be_kept : a browser may keep it; everything with pixels or results is never stored
    """
    headers["content-security-policy"] = policy
    headers["referrer-policy"] = referrer
    headers["x-content-type-options"] = "nosniff"
    headers["permissions-policy"] = _PERMISSIONS
    headers["cross-origin-resource-policy"] = "same-origin"
    if not framed:
        headers["x-frame-options"] = "DENY"
        headers["cross-origin-opener-policy"] = "same-origin"
    if not may_be_kept:
        headers["cache-control"] = "no-store"
