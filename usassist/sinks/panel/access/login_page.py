"""The page of those who are not logged in: it asks for the secret, and needs nothing else."""

from __future__ import annotations

import html
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from usassist.words import Words, languages, load_words

__all__ = ["login_page", "logout_page", "words_for"]

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f4f5f7; color: #16191d; }
main { width: min(26rem, calc(100vw - 2rem)); }
h1 { font-size: 1.25rem; margin: 0 0 .5rem; }
label { display: block; margin: 1.25rem 0 .25rem; }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem .7rem; border-radius: .375rem; }
input { border: 1px solid #6b7280; background: #fff; color: inherit; }
button { margin-top: .75rem; border: 0; background: #1d4ed8; color: #fff; cursor: pointer; }
:focus-visible { outline: 3px solid #f59e0b; outline-offset: 2px; }
.problem { color: #b00020; font-weight: 600; }
small { display: block; margin-top: 2rem; color: #4b5563; }
@media (prefers-color-scheme: dark) {
  body { background: #111418; color: #e8eaed; }
  input { background: #1b1f24; border-color: #9aa0a6; }
  .problem { color: #ff8a80; }
  small { color: #9aa0a6; }
}
"""


def words_for(headers: Headers) -> Words:
    """The words in the first language of a browser that there are words for."""
    wanted = [part.split(";")[0].strip().lower()[:2] for part in headers.get("accept-language", "").split(",")]
    return load_words(next((code for code in wanted if code in languages()), "en"), "access")


def login_page(
    headers: Headers, *, root: str, with_password: bool, problem: str = "", status: int = 401, retry: bool = False
) -> Response:
    """The page that asks for the secret; a program that wants no page gets one line.

    Parameters
    ----------
    headers : of the request
    root : what stands before the paths of the page
    with_password : a password is accepted
    problem : key of a text, with its value, such as ``wait:30``; empty = none
    status : of the answer
    retry : let the browser ask once more. It leaves the cookie out of a request that another site caused, and of
        what follows from that; it sends it when this page asks.
    """
    words = words_for(headers)
    key, _, value = problem.partition(":")
    told = words(f"problem.{key}", seconds=value) if key else ""
    more = {"www-authenticate": 'Bearer realm="usassist"'} if status == 401 else {}
    if "text/html" not in headers.get("accept", ""):
        return PlainTextResponse(f"{told or words('login.needed')}\n", status, more)
    kind = "password" if with_password else "token"
    body = f"""<h1>{_e(words(f"{kind}.title"))}</h1><p>{_e(words(f"{kind}.text"))}</p>
<form method="post" action="{_e(root)}/login">
{f'<p class="problem" role="alert">{_e(told)}</p>' if told else ""}
<label for="secret">{_e(words(f"{kind}.label"))}</label>
<input id="secret" name="secret" type="password" autocomplete="current-password" required autofocus>
<button>{_e(words("login.button"))}</button></form>"""
    return HTMLResponse(_page(words, body, again=retry), status, more)


def logout_page(headers: Headers, *, root: str, done: bool) -> Response:
    """The page that asks whether to log out, or says that it is done."""
    words = words_for(headers)
    if done:
        link = f'<p><a href="{_e(root)}/">{_e(words("logout.again"))}</a></p>'
        return HTMLResponse(_page(words, f"<h1>{_e(words('logout.done'))}</h1>{link}"))
    form = f'<form method="post" action="{_e(root)}/logout"><button>{_e(words("logout.button"))}</button></form>'
    return HTMLResponse(_page(words, f"<h1>{_e(words('logout.title'))}</h1>{form}"))


def _page(words: Words, body: str, *, again: bool = False) -> str:
    refresh = '<meta http-equiv="refresh" content="0">' if again else ""
    return f"""<!doctype html>
<html lang="{words.code}"><head><meta charset="utf-8"><title>usassist</title>{refresh}
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>{_STYLE}</style></head>
<body><main>{body}<small>{_e(words("page.intended_use"))}</small></main></body></html>"""


def _e(text: Any) -> str:
    return html.escape(str(text))
