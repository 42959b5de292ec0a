"""The pages: what is asked for in, a page of HTML out. Each is made anew from the files, in bounded time and memory."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from threading import Semaphore
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
from jinja2 import UndefinedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sftdata.errors import SftdataError, UsageError
from sftdata.report.page import make_environment
from sftdata.view.dataset import Opener
from sftdata.view.guard import Guard
from sftdata.view.pages import PAGES, Facts, Page
from sftdata.view.query import Given

AT_ONCE = 2
"""Requests that are worked on at the same time; each may hold some tens of MB."""

_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, UndefinedError, ValueError, pa.ArrowException)
"""What a manifest or a row may raise that is not what it should be."""


def make_site(directory: Path, token: str) -> ASGIApp:
    """Return the application that shows a dataset to whoever knows the token.

    Raises:
        VerificationError: the directory is not a prepared dataset.
    """
    opener, places = Opener(directory), Semaphore(AT_ONCE)

    def page(name: str, make: Page) -> Route:
        def answer(request: Request) -> Response:
            with places:
                dataset, given = opener.get(), {k: v for k, v in request.query_params.items() if v}
                return _render(name, {"manifest": dataset.manifest, "given": given, **make(dataset, given)})

        return Route("/" if name == "overview" else f"/{name}", answer)

    pages = [page(name, make) for name, make in PAGES.items()]
    faults = dict.fromkeys((SftdataError, OSError, *_DAMAGED), _say_fault)
    site = Starlette(routes=[*pages, *_FILES], exception_handlers={404: _say_unknown, **faults})
    site.router.redirect_slashes = False
    return Guard(site, token)


def _render(name: str, facts: Facts, status: int = 200) -> Response:
    template = make_environment("sftdata.view", "sftdata.report").get_template(f"{name}.html.jinja")
    return HTMLResponse(template.render(facts, page=name, link=link), status)


def link(page: str, given: Given | None = None, **changes: Any) -> str:
    """Return the address of a page with parameters; those that are None or empty are left out."""
    parameters = {name: value for name, value in {**(given or {}), **changes}.items() if value not in (None, "")}
    return f"{page}?{urlencode(parameters, errors='replace')}"


def _say_unknown(request: Request, cause: Exception) -> Response:
    return _render("fault", {"title": "There is no such page", "said": "Choose one above."}, 404)


def _say_fault(request: Request, cause: Exception) -> Response:
    """Say what is wrong in the words of the command line; a person's mistake and a damaged file alike."""
    if isinstance(cause, SftdataError):
        status, said = (400 if isinstance(cause, UsageError) else 404), str(cause)
    elif isinstance(cause, OSError):
        status, said = 500, f"{cause.strerror or cause}" + (f": {cause.filename}" if cause.filename else "")
    else:
        status, said = 500, f"The dataset holds something that this page cannot show ({cause!r}). Run `sftdata verify`."
    return _render("fault", {"title": "This cannot be shown", "said": said}, status)


def _serve_file(package: str, name: str, kind: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        return Response((files(package) / "templates" / name).read_bytes(), media_type=kind)

    return answer


_FILES = [
    Route("/report.css", _serve_file("sftdata.report", "report.css", "text/css")),
    Route("/view.css", _serve_file("sftdata.view", "view.css", "text/css")),
    Route("/view.js", _serve_file("sftdata.view", "view.js", "text/javascript")),
]
