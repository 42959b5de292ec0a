"""The report of a run in a real browser: it sorts, filters, chooses and tells, and whatever stands in it stays text."""

import pytest
from browser import FIND_WEAK, open_tab, visible
from browser import HIT as SCRIPT
from runs import give_tokenizer, make_example, make_sequence, write_evaluation, write_journal, write_record

from sftdata.records import Task
from sftdata.report.run_page import write_run_report

HIT = f"{SCRIPT}\u202e\x00"
"""With characters that steer or do not print."""


@pytest.fixture(scope="module")
def run(tmp_path_factory, text_tokenizer):
    """A run with two evaluations and everything else, in which all that a person names is hostile."""
    directory = tmp_path_factory.mktemp("run")
    names = (HIT, "bee", "cat", *(f"class {number}" for number in range(9)))
    write_record(directory, label_names=names, base_model=HIT, data=HIT, environment={HIT: HIT})
    write_journal(directory, **{f"loss/{HIT}": 1.0, "loss/b.csv": 2.0})
    give_tokenizer(directory, text_tokenizer)
    per_class = {
        name: {"precision": 0.5, "recall": 1 / (place + 1), "f1": 0.3, "rows": 100 * (place + 1)}
        for place, name in enumerate(names)
    }
    scores = {"rows": 900, "loss": 1.5, "macro_f1": 0.61, "per_class": per_class, "undefined": {"roc_auc": HIT}}
    scores["baseline"] = {"answer": HIT, "macro_f1": 0.2}
    hostile = {"row_id": HIT, "source": HIT, "expected": HIT, "predicted": HIT, "written": HIT}
    worst = [make_example(0, **hostile), *(make_example(number) for number in range(1, 6))]
    worst[4]["sequences"] = [make_sequence([2, 11, 12, 3], [None, 0.1, 5.0, 1.5])]
    confusions = [[1, 0, 20], [0, 2, 10], *([place, 1, 1] for place in range(3, 12))]
    write_evaluation(directory, "validation", scores=scores, confusions=confusions, worst=worst[:2])
    write_evaluation(directory, "test", scores=scores, confusions=confusions, worst=worst, doubtful=worst[:1])
    return write_run_report(directory).as_uri()


@pytest.fixture
def tab(browser, run):
    with open_tab(browser, run) as opened:
        yield opened


def test_every_section_is_there_and_the_contents_lead_to_it(tab):
    links = tab.locator("nav.contents a")
    assert len(visible(tab, "main > section > h2")) == links.count() == 9
    for link in links.all():
        link.click()
        assert tab.locator(link.get_attribute("href")).is_visible()


def test_tables_sort_by_any_column_both_ways(tab):
    rows = "#classes-0-0 tr"
    head = tab.locator("#classes [data-evaluation='0'] th").filter(has_text="Rows")
    counts = [100 * (place + 1) for place in range(12)]
    read = lambda: [int(text.split("\t")[4].replace(",", "")) for text in visible(tab, rows)]  # noqa: E731
    assert read() == counts[::-1]
    head.locator("button").click()
    assert (head.get_attribute("aria-sort"), read()) == ("descending", counts[::-1])
    head.locator("button").focus()
    tab.keyboard.press("Enter")
    assert (head.get_attribute("aria-sort"), read()) == ("ascending", counts)
    tab.locator("#classes [data-evaluation='0'] th button").first.click()
    names = [text.split("\t")[0] for text in visible(tab, rows)]
    assert names == sorted(names, key=str.lower)
    assert tab.locator("#classes [aria-sort]").count() == 1


def test_one_evaluation_is_shown_at_a_time_the_same_in_all_sections(tab):
    assert visible(tab, "#worst details").__len__() == 6
    assert tab.locator("#classes-of option").all_inner_texts() == ["test", "validation"]
    tab.locator("#classes-of").select_option("1")
    assert tab.locator("#worst-of").input_value() == "1"
    assert len(visible(tab, "#worst details")) == 2
    assert all(
        part.get_attribute("data-evaluation") == "1"
        for part in tab.locator("[data-evaluation]").all()
        if part.is_visible()
    )


def test_examples_are_filtered_opened_and_put_in_order(tab):
    items = "#worst-0 > details"
    tab.locator("#worst-0-shown").locator("xpath=..").get_by_label("Filter examples").fill("RECORD 3")
    assert len(visible(tab, items)) == 1
    tab.locator("#worst-0-shown").locator("xpath=..").get_by_label("Filter examples").fill("")
    tab.locator("button[data-opens=worst-0]").click()
    assert tab.locator(f"{items}[open]").count() == 6
    losses = [text.removeprefix("loss ") for text in visible(tab, f"{items} .much")]
    assert losses == ["6", "5", "4", "3", "2", "1"]
    tab.locator("select[data-orders=worst-0]").select_option("sure")
    assert [text.removeprefix("loss ") for text in visible(tab, f"{items} .much")] == ["1", "2", "3", "4", "5", "6"]


def test_figures_tell_the_values_at_the_pointer(tab):
    figure = tab.locator("figure.curve").first
    before = figure.locator(".read").inner_text()
    figure.locator(".chart").scroll_into_view_if_needed()
    box = figure.locator(".chart").bounding_box()
    tab.mouse.move(box["x"] + 0.49 * box["width"], box["y"] + 50)
    assert figure.locator(".read").inner_text() == "step 50: training 0.56569, validation 0.79057 (step 40)"
    assert figure.locator(".cursor").get_attribute("x1") == "50%"
    tab.mouse.move(box["x"], box["y"] - 200)
    assert figure.locator(".read").inner_text() == before


def test_cells_of_the_matrix_are_spelled_out(tab):
    tab.locator("#confusions [data-evaluation='0'] .matrix tbody tr:nth-child(2) td.w2").hover()
    assert (
        tab.locator("#matrix-0").inner_text()
        == "bee → " + HIT.replace("\u202e\x00", "\\u202e\\x00") + ": 20 of 200, 10.0%"
    )
    tab.locator("#confusions-title").hover()
    assert tab.locator("#matrix-0").inner_text() == "Point at a cell to read it."


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_the_screen_and_can_be_read_in_both_schemes(browser, run, scheme, width):
    with open_tab(browser, run, width=width, scheme=scheme) as tab:
        for button in tab.locator("button[data-opens]").all():
            button.dispatch_event("click")
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(FIND_WEAK) == []


def test_without_scripts_everything_is_there_and_no_tool_that_does_not_work(browser, run):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(run)
    assert not any(tool.is_visible() for tool in tab.locator(".tools").all())
    assert all(part.is_visible() for part in tab.locator("[data-evaluation]").all())
    assert tab.locator("th button").count() == 0
    context.close()


def test_a_cross_validation_and_a_run_without_evaluations_make_no_complaint(browser, tmp_path):
    write_record(tmp_path / "run", Task.CAUSAL_LM, folds=12, best_step=None)
    for fold in range(12):
        write_journal(tmp_path / "run" / f"fold-{fold}", 100 * (fold + 1))
    with open_tab(browser, write_run_report(tmp_path / "run").as_uri()) as tab:
        assert tab.locator("#curves figure").count() > 0
