import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import RecipeError
from sftdata.recipe import load_recipe, local_or_hub, parse_size
from sftdata.settings.limits import check_limit, parse_limit

GOOD = {
    "task": "text_classification",
    "schema": "text_label",
    "sources": "[{path: a.csv}]",
    "tokenize": "{tokenizer: t}",
    "output": "{dir: out}",
}


def write(tmp_path, **changes):
    path = tmp_path / "recipe.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in {**GOOD, **changes}.items()))
    return path


def faults_of(tmp_path, **changes):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, **changes))
    return list(caught.value.faults)


def test_every_fault_of_a_recipe_is_told_at_once(tmp_path):
    found = faults_of(
        tmp_path,
        task="causal_lm",
        sources="[{path: a.csv, format: cvs}, {pth: b}]",
        tokenize="{tokenizer: t, max_length: 0, overflw: reject}",
        output="{dir: '', shard_size: 5 parsecs}",
        split="{stratify: label, train: 0}",
        max_rejected="2.0",
        max_rejectd="1",
    )
    assert [fault.partition(", expected")[0] for fault in found] == [
        "line 3: sources.0.format: found 'cvs'",
        "line 3: sources.1.pth: unknown key; did you mean 'path'?",
        "line 3: sources.1: found none",
        "line 4: tokenize.max_length: found 0",
        "line 4: tokenize.overflw: unknown key; did you mean 'overflow'?",
        "line 5: output.dir: found ''",
        "line 5: output.shard_size: found '5 parsecs'",
        "line 6: split.train: found 0",
        "line 7: max_rejected: found 2.0",
        "line 8: max_rejectd: unknown key; did you mean 'max_rejected'?",
    ]


def test_what_does_not_fit_the_task_is_told_with_the_other_faults(tmp_path):
    found = faults_of(tmp_path, task="causal_lm", split="{stratify: label}", sources="[]", colour="red")
    assert found[0] == "line 3: sources: found no source, expected at least one"
    assert found[1] == "line 6: split: stratify: a causal_lm task has no label; leave stratify out, or take length"
    assert found[2].startswith("line 7: colour: unknown key")
    found = faults_of(tmp_path, tokenize="{tokenizer: t, chat_template: x.jinja}")
    assert found == [
        "line 4: tokenize: chat_template: only a causal_lm task has it; leave it out",
    ]


@pytest.mark.parametrize("path", ["''", "[]", "['']", "5", "[a.csv, 5]", "{a: b}"])
def test_a_path_that_names_nothing_is_refused(tmp_path, path):
    assert all(
        fault.startswith("line 3: sources.0.path") for fault in faults_of(tmp_path, sources=f"[{{path: {path}}}]")
    )


@pytest.mark.parametrize("share", [".inf", ".nan", "-0.1", "some"])
def test_a_share_must_be_a_finite_number(tmp_path, share):
    (fault,) = faults_of(tmp_path, split=f"{{validation: {share}}}")
    assert fault.startswith("line 6: split.validation: found ")


def test_relative_paths_start_from_the_recipe_file(tmp_path):
    recipe = load_recipe(write(tmp_path))
    assert recipe.base == tmp_path
    assert recipe.resolve("data/a.csv") == tmp_path / "data" / "a.csv"
    assert str(recipe.resolve("/abs")) == "/abs"
    (tmp_path / "t").mkdir()
    assert local_or_hub(recipe.base, "t") == str(tmp_path / "t")
    assert local_or_hub(recipe.base, "org/name") == "org/name"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0", 0), ("500", 500), ("1.0", 1.0), ("0.0", 0.0), ("0.02", 0.02), ("1e-3", 0.001), ("'7'", 7)],
)
def test_a_limit_with_a_point_is_a_share_and_without_one_a_number_of_rows(tmp_path, text, value):
    limit = load_recipe(write(tmp_path, max_rejected=text)).max_rejected
    assert limit == value
    assert type(limit) is type(value)


@pytest.mark.parametrize("text", ["true", ".nan", ".inf", "-1", "-0.5", "1.01", "many", "null", "[1]"])
def test_a_limit_that_could_let_everything_through_is_refused(tmp_path, text):
    (fault,) = faults_of(tmp_path, max_rejected=text)
    assert fault.startswith("line 6: max_rejected: found ")
    assert fault.endswith("expected a share from 0.0 to 1.0, or a whole number of rows")


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "", "-1", "2.0", "1,5"])
def test_a_limit_on_the_command_line_is_judged_alike(text):
    with pytest.raises(ValueError):  # noqa: PT011  # the command line words the message
        check_limit(parse_limit(text))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256 * 10**6),
        ("1GiB", 2**30),
        ("1.5 kib", 1536),
        ("12", 12),
        (12, 12),
        ("0.29GB", 290_000_000),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["MB", "infMB", "nanB", "1XB", "12 parsecs", "", True, "1e400"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size such as"):
        parse_size(text)


@given(st.integers(1, 10**15), st.sampled_from(["", "B", "KB", "MB", "GB", "KiB", "MiB", "GiB"]))
@quick
def test_a_whole_size_is_exact(number, unit):
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    if number * units[unit] < 2**53:
        assert parse_size(f"{number}{unit}") == number * units[unit]


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "none.yaml")


def test_an_empty_recipe_names_every_key_that_it_needs(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("{}")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    missing = sorted(fault.partition(":")[0] for fault in caught.value.faults)
    assert missing == ["output", "schema", "sources", "task", "tokenize"]
