"""The pages in a real browser: rows are browsed, searched, filtered and read, and nothing is asked of anyone else."""

import json
import socket
import threading
import time

import pytest
import uvicorn
from browser import FIND_WEAK, open_tab
from browser import HIT as SCRIPT
from examples import make_conversations

import sftdata
from sftdata.view import pages
from sftdata.view.site import make_site

HIT = f"{SCRIPT} שלום"
ROWS = 130


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, chat_tokenizer):
    folder = tmp_path_factory.mktemp("view")
    rows = make_conversations(ROWS)
    rows[100]["messages"][-1]["content"] += f"\nneedle {HIT}"
    rows += [{"messages": [{"role": "user", "content": f"no answer {n} {HIT}"}]} for n in range(30)] + rows[:6]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "task": "causal_lm",
        "schema": "messages",
        "sources": [{"path": "rows.jsonl"}],
        "deduplicate": {"exact": True},
        "split": {"train": 1.0, "validation": 0, "test": 0},
        "tokenize": {"tokenizer": str(chat_tokenizer), "max_length": 512},
        "output": {"dir": "out"},
        "max_rejected": 1.0,
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    sftdata.prepare(sftdata.load_recipe(folder / "recipe.yaml"))
    return folder / "out"


@pytest.fixture(scope="module")
def address(dataset):
    """Serve the pages in a thread, so that tests can make time and windows small."""
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(make_site(dataset, "token"), lifespan="off", log_level="warning"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/token/"
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def tab(browser, address):
    with open_tab(browser, address) as opened:
        yield opened


def shown(tab):
    return [title.inner_text() for title in tab.locator("#results h3").all()]


def test_one_browses_through_the_rows_and_back(tab):
    tab.get_by_role("link", name="Rows").click()
    first = shown(tab)
    assert len(first) == pages.ROWS
    tab.get_by_role("link", name="Next").click()
    assert len(shown(tab)) == pages.ROWS
    assert not set(shown(tab)) & set(first)
    tab.get_by_role("link", name="Previous").click()
    assert shown(tab) == first
    tab.get_by_label("From row").fill(str(ROWS))
    tab.get_by_role("button", name="Go").click()
    assert len(shown(tab)) == 1
    assert not tab.get_by_role("link", name="Next").is_visible()


def test_a_text_is_found_and_marked_though_it_takes_many_requests(tab, monkeypatch):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    monkeypatch.setattr(pages, "SECONDS", 0.0)
    monkeypatch.setattr("sftdata.view.rows.ROWS", 10)
    tab.get_by_label("Find a text in the rows").fill("NEEDLE </script>")
    tab.keyboard.press("Enter")
    tab.locator("#results h3").wait_for()
    tab.get_by_text(f"looked at {ROWS} of {ROWS} rows").wait_for()
    assert len(shown(tab)) == 1
    assert "needle </script>" in tab.locator(".hit").inner_text()
    assert SCRIPT in tab.locator("#results .tokens").inner_text()
    assert sum("rows?" in url for url in asked) == ROWS / 10


def test_a_search_is_stopped_and_goes_on_when_asked(tab, monkeypatch):
    monkeypatch.setattr(pages, "SECONDS", 0.0)
    monkeypatch.setattr("sftdata.view.rows.ROWS", 1)
    find = pages.find_wanted
    monkeypatch.setattr(pages, "find_wanted", lambda *given: time.sleep(0.02) or find(*given))
    tab.get_by_label("Find a text in the rows").fill("not to be found")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_role("link", name="Go on looking").wait_for()
    tab.wait_for_timeout(200)
    before = tab.locator("#progress p").inner_text()
    tab.wait_for_timeout(200)
    assert tab.locator("#progress p").inner_text() == before
    monkeypatch.setattr("sftdata.view.rows.ROWS", 1000)
    tab.get_by_role("link", name="Go on looking").click()
    tab.get_by_text(f"looked at {ROWS} of {ROWS} rows").wait_for()


def test_filters_are_chosen_and_cleared(tab):
    tab.get_by_role("link", name="Rows").click()
    tab.locator("details summary", has_text="More filters").click()
    tab.get_by_label("Row id or record").fill("7")
    tab.get_by_role("button", name="Find").click()
    assert [title.partition(":")[2] for title in shown(tab)] == ["7"]
    assert tab.get_by_label("Row id or record").is_visible(), "filters that are set stay open"
    tab.get_by_role("link", name="Clear").click()
    assert len(shown(tab)) == pages.ROWS


def test_the_mask_of_a_row_can_be_read(tab):
    tab.get_by_role("link", name="Rows").click()
    tab.locator("#results h3 a").first.click()
    tokens = tab.locator(".tokens[role=group]")
    trained = [mark.inner_text() for mark in tokens.locator("mark").all()]
    special = [token.inner_text() for token in tokens.locator(".s").all()]
    assert "".join(trained).replace("↵\n", "\n").endswith("<|im_end|>")
    assert {"<|im_start|>", "<|im_end|>"} == set(special)
    assert tokens.locator("mark").first.get_attribute("title").isdigit()
    edged = "getComputedStyle(document.querySelector('#results .tokens > *')).boxShadow"
    assert tab.evaluate(edged) != "none"
    tab.get_by_label("Token boundaries").uncheck()
    assert tab.evaluate(edged) == "none"
    tab.get_by_role("link", name="Row after").click()
    assert "row 2 of" in tab.locator(".where").first.inner_text()


def test_rejected_rows_are_filtered_and_duplicates_lead_to_the_row_that_stays(tab):
    tab.get_by_role("link", name="Rejected").click()
    assert tab.locator("#results article").count() == pages.LINES
    tab.get_by_label("Text to find").fill("NO ANSWER 17 <")
    tab.get_by_role("button", name="Find").click()
    assert tab.locator("#results article").count() == 1
    assert "<script>window.hit = 1</script>" in tab.locator("#results pre").inner_text()
    tab.get_by_role("link", name="Duplicates").click()
    assert tab.locator("#results article").count() == 6
    kept = tab.locator("#results article a").first.inner_text()
    tab.locator("#results article a").first.click()
    assert kept in tab.locator("h2").inner_text()


def test_what_cannot_be_shown_is_said(browser, address):
    tab = browser.new_page()
    for path, said in (("rows?at=none", "expected a whole number"), ("nothing", "no such page")):
        tab.goto(address + path)
        assert said in tab.locator("main").inner_text()
    tab.goto(address.replace("/token/", "/other/"))
    assert "lacks the right token" in tab.locator("body").inner_text()
    tab.goto(address.replace("/token/", "/token"))
    assert tab.locator("h1").inner_text() == "Causal language modelling"
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_fit_the_screen_and_can_be_read_in_both_schemes(browser, address, scheme, width):
    with open_tab(browser, address, width=width, scheme=scheme) as tab:
        for path in ("", "rows?q=needle&least=1", "row?at=2", "rejected", "duplicates", "find?id=x"):
            tab.goto(address + path)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
            assert tab.evaluate(FIND_WEAK) == [], path


def test_without_scripts_links_do_the_same(browser, address, monkeypatch):
    monkeypatch.setattr(pages, "SECONDS", 0.0)
    monkeypatch.setattr("sftdata.view.rows.ROWS", 90)
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}rows?q=needle")
    assert not tab.get_by_role("button", name="Stop").is_visible()
    tab.get_by_role("link", name="Go on looking").click()
    assert len(shown(tab)) == 1
    context.close()
