"""The report in a real browser: it renders without a complaint or a request, and its filters and expands work."""

import pytest
from browser import FIND_WEAK, HIT, open_tab, visible
from examples import make_conversations

import sftdata
from sftdata.report.page import REPORT_NAME


@pytest.fixture
def report(tmp_path, chat_recipe):
    rows = make_conversations(50)
    for row in rows[:20]:
        row["messages"][-2]["content"] += HIT
    rows += [{"messages": [{"role": "user", "content": f"no answer {HIT}"}]}, {"messages": []}, *rows[:4]]
    options = {"deduplicate": {"exact": True}, "clean": {"whitespace": "words"}, "max_rejected": 1.0}
    sftdata.prepare(sftdata.load_recipe(chat_recipe(rows, **options)))
    return (tmp_path / "out" / REPORT_NAME).as_uri()


@pytest.fixture
def tab(browser, report):
    with open_tab(browser, report) as opened:
        yield opened


def test_every_section_is_there_and_the_contents_lead_to_it(tab):
    titles = visible(tab, "main > section > h2")
    links = tab.locator("nav.contents a")
    assert len(titles) == links.count() > 8
    for link in links.all():
        link.click()
        assert tab.evaluate("location.hash") == link.get_attribute("href")
        assert tab.locator(link.get_attribute("href")).is_visible()
        tab.wait_for_function(
            "name => document.querySelector('[aria-current]')?.innerText === name", arg=link.inner_text()
        )


def test_a_filter_shows_what_it_matches(tab):
    box, items = tab.get_by_label("Filter rejected rows"), "#reasons details"
    everything = visible(tab, "#reasons summary .what")
    assert len(everything) >= 2
    box.fill("NO ANSWER <")
    shown = visible(tab, "#reasons summary .what")
    assert 0 < len(shown) < len(everything)
    assert tab.locator("#reasons-shown").inner_text() == f"{len(shown)} of {len(everything)} shown"
    box.fill("there is no such row")
    assert visible(tab, items) == []
    box.fill("")
    assert visible(tab, "#reasons summary .what") == everything
    assert tab.locator("#reasons-shown").inner_text() == ""


def test_items_open_all_at_once_and_alone_by_key(tab):
    button, items = tab.locator("button[data-opens=reasons]"), tab.locator("#reasons details")
    opened = tab.locator("#reasons details[open]")
    assert opened.count() == 1
    button.click()
    assert (opened.count(), button.inner_text()) == (items.count(), "Collapse all")
    assert all(example.is_visible() for example in items.locator("pre").all())
    button.click()
    assert (opened.count(), button.inner_text()) == (0, "Expand all")
    items.nth(1).locator("summary").focus()
    tab.keyboard.press("Enter")
    assert (opened.count(), items.nth(1).locator("pre").first.is_visible()) == (1, True)


def test_rows_of_the_chosen_split_are_shown(tab):
    tab.locator("#split-of-rows").select_option("test")
    shown = visible(tab, "#rows article header .where")
    assert shown
    assert all(text.startswith("test · ") for text in shown)
    edged = "getComputedStyle(document.querySelector('[data-split=test] .tokens > *')).boxShadow"
    assert tab.evaluate(edged) != "none"
    tab.get_by_label("Token boundaries").uncheck()
    assert tab.evaluate(edged) == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_the_screen_and_can_be_read_in_both_schemes(browser, report, scheme, width):
    with open_tab(browser, report, width=width, scheme=scheme) as tab:
        for button in tab.locator("button[data-opens]").all():
            button.click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(FIND_WEAK) == []


def test_without_scripts_everything_is_there_and_no_tool_that_does_not_work(browser, report):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report)
    assert not any(tool.is_visible() for tool in tab.locator(".tools").all())
    assert all(part.is_visible() for part in tab.locator("[data-split]").all())
    context.close()
