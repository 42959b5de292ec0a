"""How the site is made: `make docs`. The source is the repository's root, so that links work here as on its own pages.

Only what `include_patterns` names becomes a page; a link to any other file, such as a test, brings a copy of it along.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jieba
from pygments.lexers.special import TextLexer  # type: ignore[import-untyped]
from sphinx.errors import ExtensionError
from sphinx.search.zh import SearchChinese

ROOT = Path(__file__).parent.parent

project = "sftdata"
author = "the sftdata contributors"
release = re.findall(r'^__version__ = "(.+)"', (ROOT / "sftdata" / "__init__.py").read_text(), re.MULTILINE)[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "README.zh-CN.md",
    "benchmarks/README.md",
    "samples/README.md",
]
exclude_patterns = [".*", "site", "tests", "benchmarks/results", "samples/out", "samples/models"]  # not looked into

html_theme = "furo"
html_title = f"sftdata {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}

html_search_language = "zh"
html_search_options = {"dict": "none"}  # or jieba's own would be read a second time
jieba.setLogLevel("ERROR")
with TemporaryDirectory() as folder:
    jieba.dt.tmp_dir = folder  # else its cache is a file that anybody may have put there
    jieba.initialize()

START = '<!doctype html><meta charset="utf-8"><title>sftdata</title><meta http-equiv="refresh" content="0; url={page}">'
"""The page at the root, which leads to the first one: pages lie where their sources do."""


class Search(SearchChinese):
    """Index Chinese by jieba's words, and English as usual."""

    language_name = "English"  # the stemmer that Sphinx 9.0 ships for `zh` is the English one, but it asks for another


FETCHED = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//""")


def setup(app: Any) -> None:
    """Hook in what Sphinx does not do by itself."""
    app.add_lexer("csv", TextLexer)
    app.add_search_language(Search)
    app.connect("build-finished", finish)


def finish(app: Any, failure: Exception | None) -> None:
    """Lead from the root of the site to its first page; fail where a page would fetch something from the network."""
    if failure or app.builder.name != "html":
        return
    out = Path(app.outdir)
    (out / "index.html").write_text(START.format(page=f"{root_doc}.html"), encoding="utf-8")
    if fetching := [str(page) for page in out.rglob("*.html") if FETCHED.search(page.read_text(encoding="utf-8"))]:
        raise ExtensionError(f"these pages fetch something from the network: {', '.join(fetching)}")
