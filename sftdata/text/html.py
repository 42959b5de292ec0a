"""Take the text out of HTML.

Only what is HTML is touched: tags with names that HTML has, comments, and references that end in a semicolon. So
`a < b`, `vector<int>`, `<NAME>` and the `&copy=` of a query string stay.
"""

import html
import re

import polars as pl

from sftdata.text.protection import MASK

_BLOCKS = (
    "address|article|aside|blockquote|body|br|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure"
    "|footer|form|frameset|h1|h2|h3|h4|h5|h6|head|header|hgroup|hr|html|legend|li|main|menu|nav|noframes|noscript|ol"
    "|optgroup|option|p|pre|search|section|select|summary|table|tbody|tfoot|thead|title|tr|ul"
)
_INLINE = (
    "a|abbr|acronym|applet|area|audio|b|base|basefont|bdi|bdo|big|button|canvas|cite|code|col|colgroup|data|datalist"
    "|del|dfn|em|embed|font|frame|i|iframe|img|input|ins|kbd|label|link|map|mark|marquee|meta|meter|nobr|object|output"
    "|param|picture|progress|q|rp|rt|ruby|s|samp|slot|small|source|span|strike|strong|sub|sup|svg|td|template|textarea"
    "|th|time|track|tt|u|var|video|wbr"
)
_HIDDEN = "script|style"
TAGS = frozenset(f"{_BLOCKS}|{_INLINE}|{_HIDDEN}".split("|"))
"""The names of the elements of HTML, those of the past among them."""

_REST = rf"""(?:[\s/](?:[^>"'{MASK}]|"[^"{MASK}]*"|'[^'{MASK}]*')*)?>"""
_DROPPED = (  # one call each: an alternative that is opened and never closed would make each find look to the end
    rf"(?s)<!--[^{MASK}]*?-->",
    *(rf"(?is)<{name}{_REST}[^{MASK}]*?</{name}\s*>" for name in _HIDDEN.split("|")),
    rf"(?i)<!doctype[^>{MASK}]*>|<!\[CDATA\[|\]\]>",
)
_BLOCK_TAGS = rf"(?i)\s*(?:</?(?:{_BLOCKS}){_REST}\s*)+"
_CELL_END = rf"(?i)</t[dh]{_REST}"
_TAG = rf"(?i)</?(?:{_BLOCKS}|{_INLINE}|{_HIDDEN}){_REST}"
_REFERENCE = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});"
_PYTHON_REFERENCE = re.compile(_REFERENCE)


HTML = rf"<[a-zA-Z/!]|\]\]>|{_REFERENCE}"
"""A regular expression of polars that matches in every text that `strip_html` changes."""


def strip_html(texts: pl.Series) -> pl.Series:
    """Return texts without tags, comments, scripts and styles, with references such as `&amp;` resolved, once.

    A block element begins a new line, a table cell ends with a space. What is escaped twice is resolved by calling
    this again.

    Args:
        texts: String, without nulls.
    """
    for pattern in _DROPPED:
        texts = texts.str.replace_all(pattern, "")
    texts = texts.str.replace_all(_BLOCK_TAGS, "\n")
    texts = texts.str.replace_all(_CELL_END, " ").str.replace_all(_TAG, "").str.strip_chars("\n")
    if not texts.str.contains(_REFERENCE).any():
        return texts
    return pl.Series([_PYTHON_REFERENCE.sub(_resolve, text) for text in texts], dtype=pl.String)


def _resolve(reference: re.Match[str]) -> str:
    return html.unescape(reference[0])
