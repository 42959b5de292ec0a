"""Every command, example, recipe and schema in the documentation does what its page says, in the order of the page."""

import os
import re
import sys
from pathlib import Path

import pytest
from documented import ROOT, Visit, agrees, find_faults, needs_models, read_blocks, read_commands, set_up

import sftdata

CHINESE = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").rglob("*.md"))]
PAGES = [
    page
    for page in [ROOT / "README.md", ROOT / "samples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page not in CHINESE and "_build" not in page.parts
]
CORRECT = "SFTDATA_CORRECT_DOCS" in os.environ
"""With it pages are rewritten with what the program really prints. Look at the difference before you commit it."""

NOT_RUN = {
    "README.md": ["installs", "trains for minutes"],
    "docs/contributing.md": ["a stage that there is not"],
    "docs/how-to/hand-over.md": [
        "tests/interchange/test_trl.py trains with TRL",
        "benchmarks/interop.py runs LLaMA-Factory",
        "benchmarks/interop.py runs axolotl",
    ],
    "docs/how-to/two-gpus.md": ["needs two GPUs"],
    "docs/training.md": ["wandb is not installed here", "mlflow is not installed here"],
}
"""Why blocks are not run, by page. Add to it only what no test can do."""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A working directory, and none of the modules that a page writes into it afterwards."""
    known, paths = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")  # how wide the tables of the pages are
    yield tmp_path
    sys.path[:] = paths
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.real if needs_models(page) else (), id=name(page))
        for page in PAGES
        if read_blocks(page)
    ],
)
def test_a_page_does_what_it_shows(page, scratch, request):
    set_up(scratch, request.getfixturevalue("assets") if needs_models(page) else None)
    visit = Visit(scratch)
    visit.read(page)
    if visit.corrections and CORRECT:
        text = page.read_text(encoding="utf-8")
        for shown, found in visit.corrections:
            text = text.replace(shown, found)
        page.write_text(text, encoding="utf-8")
    assert not visit.faults, "\n\n".join(["", *visit.faults])


def test_what_is_not_run_is_listed_with_its_reason():
    """The list can only grow where someone sees it."""
    found = {
        name(page): [reason for block in read_blocks(page) if (reason := block.marked("not run")) is not None]
        for page in PAGES
    }
    assert {page: reasons for page, reasons in found.items() if reasons} == NOT_RUN


def test_no_command_and_no_example_is_hidden_from_the_tests():
    """A block in a language that is not looked at, or indented instead of fenced, would never run."""
    for page in PAGES:
        known = {"python", "console", "bash", "yaml", "text", "json", "jinja", "csv"}
        known |= {"py"} if "reference" in page.parts else set()  # signatures, which docs/make_reference.py writes
        for block in read_blocks(page):
            assert block.language in known, f"{block.where}: {block.language}"
            if block.language in ("console", "bash") and block.marked("not run") is None:
                assert block.text.startswith("$ "), f"{block.where}: its first line is no command, `$ ...`"
        assert "\n    $ " not in page.read_text(encoding="utf-8"), f"{name(page)}: a command outside of a console block"


@pytest.mark.parametrize("page", CHINESE, ids=name)
def test_a_chinese_page_shows_what_the_english_one_does(page):
    """So the tests of the English page are those of the Chinese one; comments may be translated."""
    blocks, english = read_blocks(page), read_blocks(english_of(page))
    if CORRECT and len(blocks) == len(english):
        copy_blocks(page, blocks, english)
        blocks = read_blocks(page)
    assert list(map(shape, blocks)) == list(map(shape, english))
    assert needs_models(page) == needs_models(english_of(page))


def english_of(page: Path) -> Path:
    return ROOT / "README.md" if page.parent == ROOT else ROOT / "docs" / page.relative_to(ROOT / "docs" / "zh")


def shape(block):
    """Return what two languages have in common: all but comments, and the reason why a block is not run."""
    marks = ["not run"] if block.marked("not run") is not None else block.marks
    text = re.sub(r" *#.*", "", block.text) if block.language in ("yaml", "python") else block.text
    return block.language, text, *marks


def copy_blocks(page, blocks, english):
    """Put the English blocks in the place of those that differ."""
    text = page.read_text(encoding="utf-8")
    for mine, theirs in reversed(list(zip(blocks, english, strict=True))):
        if shape(mine) != shape(theirs):
            text = text[: mine.start] + theirs.text + text[mine.start + len(mine.text) :]
    page.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", [*PAGES, *CHINESE], ids=name)
def test_links_to_files_and_headings_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{name(page)}: {target} is not there"
        assert not anchor or anchor in anchors(file), f"{name(page)}: {target} has no heading #{anchor}"


def anchors(page):
    """Return the names by which headings of a page can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_dots_stand_for_anything_and_nothing_else_does():
    assert agrees("a\n...\nd\n", "a\nb\nc\nd\n", numbers_vary=False)
    assert agrees("a\n...\nd\n", "a\nd\n", numbers_vary=False)
    assert agrees("took ... s\n\n", "took 3.5 s\n", numbers_vary=False)
    assert not agrees("took ... s", "took 3.5 s\nand more", numbers_vary=False)
    assert not agrees("a\n...\nd", "a\nb\nc", numbers_vary=False)
    assert not agrees("5 rows.", "5 rowsX", numbers_vary=False)


def test_numbers_vary_only_where_a_page_says_so():
    assert agrees("accuracy   0.91", "accuracy  0.8", numbers_vary=True)
    assert not agrees("accuracy 0.91", "accuracy 0.8", numbers_vary=False)
    assert not agrees("accuracy 0.91", "accurate 0.91", numbers_vary=True)


PAGE = """# A page

<!-- test: file note.txt; here two lines for one line -->
```text
one line
```

```console
$ cat \\
  note.txt
two lines
$ sftdata validate nowhere.csv --schema text_label
error: ...
...
$ sftdata --version
9.9.9

```

<!-- test: not run, it would fail -->
```console
$ false
```

```python
raise_it = [1]
```
"""


def test_a_page_that_is_wrong_is_found_with_its_place_and_the_rest_is_run(scratch):
    page = scratch / "shown.md"
    page.write_text(PAGE)
    visit = Visit(scratch)
    visit.read(page)
    assert visit.names["raise_it"] == [1]
    (fault,) = visit.faults
    assert fault.startswith(f"{page}:9: $ sftdata --version\n--- the page")
    assert "-9.9.9" in fault
    ((shown, found),) = visit.corrections
    assert PAGE.replace(shown, found) == PAGE.replace("9.9.9", sftdata.__version__)


def test_commands_and_what_they_print_are_told_apart(tmp_path):
    page = tmp_path / "shown.md"
    page.write_text(PAGE)
    blocks = read_blocks(page)
    assert [block.language for block in blocks] == ["text", "console", "console", "python"]
    first, *others = read_commands(blocks[1])
    assert first == ("cat \\\n  note.txt\n", "two lines\n")
    assert [command for command, _ in others] == [
        "sftdata validate nowhere.csv --schema text_label\n",
        "sftdata --version\n",
    ]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("split: {train: 0.8, stratify: label}", 0),
        ("tokenize: {chat_template: mine.jinja, date: 2026-01-31}", 0),
        ("tokenize: {train_tokenizer: {kind: bpe}}", 0),
        ("columns: {text: {checks: {not_blank: true}}}", 0),
        ("train: {epochs: 2}", 0),
        ("train: {epoch: 2}", 1),
        ("columns: {text: {check: {}}}", 1),
        ("base_model: x", 1),
    ],
)
def test_parts_of_recipes_and_schemas_are_completed_and_loaded(text, faults, tmp_path):
    assert len(find_faults(text, tmp_path)) == faults
