"""A real browser for the tests of pages; they are skipped where there is none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Give a headless Chromium of Playwright's; skip the test where Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), None) or (own if Path(own).is_file() else None)
        if not found:
            pytest.skip("needs Chromium: apt install chromium, or python -m playwright install chromium")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to an administrator
        browser = started.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


HIT = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>"
"""What would run if anything of it were more than text."""


@contextmanager
def open_tab(browser: Any, address: str, *, width: int = 1200, scheme: str = "light") -> Iterator[Any]:
    """Give Playwright's page of an address.

    In the end it must have complained of nothing, run nothing of `HIT`, and asked for nothing that is elsewhere.
    """
    # A page that still glides moves what is clicked away between looking and clicking.
    tab = browser.new_page(reduced_motion="reduce", viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address)
    yield tab
    assert said == []
    beneath = address.endswith("/")  # a site; a file has nothing beneath it, and is asked for once
    assert all(url.startswith(address) for url in asked) if beneath else asked == [address]
    assert tab.evaluate("window.hit") is None
    tab.close()


def visible(tab: Any, selector: str) -> list[str]:
    """Return the texts of the elements that can be seen."""
    return [item.inner_text() for item in tab.locator(selector).all() if item.is_visible()]


FIND_WEAK = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script, svg")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) weak.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}`);
  }
  return [...new Set(weak)];
}"""
"""Finds text with less contrast than 4.5 to 1, which WCAG 2.2 asks for."""
