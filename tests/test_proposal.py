"""What init writes is a schema that accepts the data, and a recipe that loads."""

import csv
import gzip
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from examples import make_conversations, make_pairs, make_tagged, make_texts, make_translations, write_jsonl
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import json_values, quick, texts

from sftdata.errors import NothingToWrite, OutputError, SourceError, TokenizerError
from sftdata.pipeline import prepare
from sftdata.proposal import init
from sftdata.recipe import load_recipe
from sftdata.schema import load_schema
from sftdata.settings.sources import SourceSettings
from sftdata.validation import validate

TALK = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A bird."}]
CALLS = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]},
    {"role": "tool", "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]
SENTENCES = [(["Anna", "saw", "Bob"], ["B-PER", "O", "B-PER"]), (["New", "York"], ["B-LOC", "I-LOC"])]

DATA = {
    "text_label": (make_texts(60), {"text": "text", "label": "label"}),
    "text_multilabel": (
        [
            {"text": f"a long text, number {i}", "labels": [["news"], ["news", "sport"], ["art"]][i % 3]}
            for i in range(30)
        ],
        {"text": "text", "labels": "labels"},
    ),
    "text_score": (
        [{"text": f"a long text, number {i}", "score": i / 4} for i in range(30)],
        {"text": "text", "score": "score"},
    ),
    "alpaca": (
        [{"instruction": f"Say {i}.", "input": "" if i % 2 else "loud", "output": f"{i}!"} for i in range(20)],
        {"instruction": "instruction", "input": "input", "response": "output"},
    ),
    "sharegpt": (
        [{"conversations": TALK, "tools": "[]"} for _ in range(9)],
        {"messages": "conversations", "tools": "tools"},
    ),
    "messages": (make_conversations(20), {"messages": "messages"}),
    "prompt_completion": (
        [{"prompt": f"What is {i}?", "completion": f"A number, {i}."} for i in range(20)],
        {"prompt": "prompt", "completion": "completion"},
    ),
    "source_target": (
        [{"source": f"Guten Tag, {i}", "target": f"Good day, {i}"} for i in range(20)],
        {"source": "source", "target": "target"},
    ),
    "tokens_tags": (
        [{"tokens": SENTENCES[i % 2][0], "tags": SENTENCES[i % 2][1]} for i in range(20)],
        {"tokens": "tokens", "tags": "tags"},
    ),
    "tools": (
        [{"messages": CALLS, "tools": [{"name": "weather"}]} for _ in range(9)],
        {"messages": "messages", "tools": "tools"},
    ),
}
"""Rows for each schema that ships, and the parts that their columns play."""


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            cells = {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
            writer.writerow(cells)
    return path


def run(path, tmp_path, **options):
    """Return what init wrote, the schema that it chose, and what validation says with it."""
    written = init(str(path), tmp_path / "made.yaml", **options)
    chosen = written.schema or written.proposal.shipped
    settings = written.proposal.sample.settings
    return written, load_schema(chosen), validate([settings], chosen)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("write", [write_jsonl, write_csv], ids=["jsonl", "csv"])
def test_rows_of_every_shipped_schema_are_known_and_accepted(tmp_path, name, write):
    rows, parts = DATA[name]
    path = write(tmp_path / f"data.{'jsonl' if write is write_jsonl else 'csv'}", rows)
    written, schema, report = run(path, tmp_path)
    assert (report.rows, report.rejected) == (len(rows), 0)
    assert schema.task == load_schema(name).task
    assert dict(written.proposal.draft.parts) == parts
    assert set(parts.items()) <= set(schema.parts.items())
    recipe = load_recipe(written.recipe)
    assert recipe.task == schema.task
    assert load_schema(recipe.schema_name, recipe.base) == schema


@pytest.mark.parametrize("name", ["alpaca", "sharegpt", "messages", "prompt_completion", "tools"])
def test_a_schema_that_ships_is_used_where_it_says_all_that_was_found(tmp_path, name):
    written = init(str(write_jsonl(tmp_path / "data.jsonl", DATA[name][0])), tmp_path / "made.yaml")
    assert written.proposal.shipped == name
    assert written.schema is None
    assert sorted(path.name for path in tmp_path.glob("*.yaml")) == ["made.yaml"]


def test_a_label_set_is_more_than_the_shipped_schema_says(tmp_path):
    written, schema, _ = run(write_jsonl(tmp_path / "data.jsonl", make_texts(60)), tmp_path)
    assert written.proposal.shipped is None
    assert schema.columns["label"].checks == {"isin": ["animal", "place", "thing"]}
    assert "- animal  # 36\n" in written.schema.read_text()


def test_a_misspelt_label_is_rejected_until_a_person_decides(tmp_path):
    rows = [*make_texts(60), {"text": "a row with a slip of the hand", "label": "Animal"}]
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    written, schema, report = run(path, tmp_path)
    text = written.schema.read_text()
    assert schema.columns["label"].checks == {"isin": ["animal", "place", "thing"]}
    assert dict(report.reasons) == dict(written.proposal.verdict.reasons) == {"label:isin": 1}
    assert "# It rejects 1 of the 61 rows that it was tried on: label:isin 1.\n" in text
    assert "# unsure: 'Animal' (1 row) may be 'animal' misspelt: left out, so rejected;" in text
    assert "        # - Animal  # 1, is it animal?\n        - animal    # 36\n" in text
    written.schema.write_text(text.replace("# - Animal", "- Animal"))
    assert validate([written.proposal.sample.settings], written.schema).rejected == 0


def test_many_labels_are_not_listed(tmp_path):
    rows = [{"text": f"a long text, number {i}", "label": f"topic {i % 150}"} for i in range(900)]
    written = init(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "made.yaml")
    assert written.proposal.shipped == "text_label"
    assert "150 labels, from topic 0 (6) to topic 99 (6)" in written.recipe.read_text()


@pytest.mark.parametrize("rows", [make_tagged(60), make_translations(60)], ids=["tags", "translations"])
def test_words_with_tags_and_sources_with_targets_can_be_prepared_as_proposed(tmp_path, text_tokenizer, rows):
    written = init(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "it.yaml", str(text_tokenizer))
    assert prepare(load_recipe(written.recipe)).rows.written == 60


def test_what_init_writes_can_be_prepared(tmp_path, text_tokenizer):
    path = write_jsonl(tmp_path / "data.jsonl", make_texts(200))
    written = init(str(path), tmp_path / "made" / "it.yaml", str(text_tokenizer))
    manifest = prepare(load_recipe(written.recipe))
    assert (manifest.rows.read, manifest.rows.written) == (200, 200)
    assert manifest.label_names == ("animal", "place", "thing")


def test_pairs_are_prepared_as_proposed(tmp_path, pair_tokenizer):
    pairs = [(row["text"], row["other"], row["label"]) for row in make_pairs(200)]
    rows = [dict(zip(("premise", "hypothesis", "label"), pair, strict=True)) for pair in pairs]
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    written = init(str(path), tmp_path / "made" / "it.yaml", str(pair_tokenizer))
    manifest = prepare(load_recipe(written.recipe))
    assert manifest.has_pairs
    assert (manifest.rows.written, manifest.label_names) == (200, ("animal", "place", "thing"))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_training_is_proposed_for_every_task(tmp_path, task):
    label = {"multilabel": "labels", "regression": "score"}[task]
    rows = [{"text": row["text"], label: row[label]} for row in make_pairs(200)]
    written = init(str(write_jsonl(tmp_path / "data.jsonl", rows)), tmp_path / "made.yaml")
    text = written.recipe.read_text()
    assert "# train:" in text
    assert f"stratify: {label}" in text


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".arrow", ".csv.gz"])
def test_the_same_rows_in_any_format_give_the_same_schema(tmp_path, suffix):
    rows = make_texts(60)
    path = tmp_path / f"data{suffix}"
    frame = pl.DataFrame(rows)
    if suffix == ".csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        {
            ".csv": frame.write_csv,
            ".jsonl": frame.write_ndjson,
            ".parquet": frame.write_parquet,
            ".arrow": frame.write_ipc,
        }[suffix](path)
    _, schema, report = run(path, tmp_path)
    assert report.accepted == 60
    assert schema == run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "again")[1]


def test_the_same_data_gives_the_same_files(tmp_path):
    path = write_jsonl(tmp_path / "data.jsonl", make_texts(60))
    made = [init(str(path), tmp_path / folder / "made.yaml") for folder in ("a", "b")]
    assert made[0].schema.read_bytes() == made[1].schema.read_bytes()
    assert made[0].recipe.read_bytes() == made[1].recipe.read_bytes()


@pytest.mark.parametrize("there", ["made.yaml", "made.schema.yaml"])
def test_nothing_is_overwritten(tmp_path, there):
    path = write_jsonl(tmp_path / "data.jsonl", make_texts(20))
    (tmp_path / there).write_text("mine")
    with pytest.raises(OutputError, match=f"{there} is there already") as caught:
        init(str(path), tmp_path / "made.yaml")
    assert caught.value.exit_code == 2
    assert (tmp_path / there).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    path = write_jsonl(tmp_path / "data.jsonl", make_texts(20))
    (tmp_path / "made.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        init(str(path), tmp_path / "made.yaml")
    assert not (tmp_path / "elsewhere").exists()


def test_files_are_named_after_the_data(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "My Reviews.v2.jsonl", make_texts(20))
    monkeypatch.chdir(tmp_path)
    written = init("My Reviews.v2.jsonl")
    assert (str(written.recipe), str(written.schema)) == ("my_reviews.yaml", "my_reviews.schema.yaml")
    recipe = load_recipe(written.recipe)
    assert recipe.sources == (SourceSettings(path="My Reviews.v2.jsonl"),)
    assert load_schema(written.schema).name == "my_reviews"


def test_paths_in_a_recipe_start_from_its_folder(tmp_path, monkeypatch, text_tokenizer):
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", make_texts(20))
    (tmp_path / "tokenizer").symlink_to(text_tokenizer)
    monkeypatch.chdir(tmp_path)
    written = init("data/*.jsonl", Path("recipes/made.yaml"), "tokenizer")
    recipe = load_recipe(written.recipe)
    assert recipe.sources[0].path == "../data/*.jsonl"
    assert recipe.tokenize.tokenizer == "../tokenizer"


def test_a_folder_of_files_is_looked_at_as_one(tmp_path):
    (tmp_path / "data").mkdir()
    for name, part in (("a", slice(0, 30)), ("b", slice(30, 60))):
        write_jsonl(tmp_path / "data" / f"{name}.jsonl", make_texts(60)[part])
    written, schema, report = run(tmp_path / "data", tmp_path)
    assert (written.proposal.sample.looked, report.accepted) == (60, 60)
    assert schema.name == "data"


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("text,label\n", NothingToWrite, "no record"),
        ("", NothingToWrite, "no record"),
        ("text,text\na,b\n", SourceError, "none of 1 records"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(tmp_path, content, error, said):
    (tmp_path / "data.csv").write_text(content)
    with pytest.raises(error, match=said):
        init(str(tmp_path / "data.csv"), tmp_path / "made.yaml")
    assert not list(tmp_path.glob("*.yaml"))


def test_a_missing_file_or_tokenizer_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        init(str(tmp_path / "absent.csv"), tmp_path / "made.yaml")
    with pytest.raises(TokenizerError):
        init(str(write_jsonl(tmp_path / "data.jsonl", make_texts(20))), tmp_path / "made.yaml", "nobody/none")


def test_text_without_columns_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "lines.txt").write_text("just a line\nand another one that is longer\n")
    with pytest.raises(SourceError, match="neither its name nor its content"):
        init(str(tmp_path / "lines.txt"), tmp_path / "made.yaml")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Anna B-PER\nran O\n\nBob B-PER\nsat O\n\n" * 9, "conll"),
        ('{"text": "a long text", "label": "x"}\n{"text": "another text", "label": "y"}\n' * 9, "jsonl"),
        ("text\tlabel\n" + "a text, long enough\tx\nanother text, too\ty\n" * 9, "tsv"),
        ("text,label\n" + "a text that is long,x\nanother text,y\n" * 9, "csv"),
    ],
)
def test_the_format_is_told_by_the_content_where_the_name_says_nothing(tmp_path, content, found):
    (tmp_path / "data.txt").write_text(content)
    written, _, report = run(tmp_path / "data.txt", tmp_path)
    assert written.proposal.sample.settings.format == found
    assert written.proposal.options == f" --format {found}"
    assert report.rejected == 0
    assert any("the name does not tell the format" in doubt.text for doubt in written.proposal.doubts)


def test_a_file_without_a_header_gets_names_after_the_parts(tmp_path):
    lines = [f"{i}\t{i % 7 - 3}.5\tThe film number {i} is one that nobody forgets." for i in range(1, 40)]
    (tmp_path / "data.tsv").write_text("\n".join(lines) + "\n")
    written, schema, report = run(tmp_path / "data.tsv", tmp_path)
    assert written.proposal.sample.settings.header == ("id", "score", "text")
    assert dict(schema.parts) == {"text": "text", "score": "score"}
    assert (report.rows, report.accepted) == (39, 39)
    assert schema.columns["id"].unique
    assert "--header id,score,text" in written.schema.read_text()


def test_labels_in_the_first_line_are_no_header(tmp_path):
    lines = [f"This is the review number {i}; it is a long one.,{'good' if i % 2 else 'bad'}" for i in range(40)]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    written, _, report = run(tmp_path / "data.csv", tmp_path)
    recipe = load_recipe(written.recipe)
    assert recipe.sources[0].header == ("text", "label")
    assert report.accepted == 40


def test_a_header_with_unknown_names_is_still_one(tmp_path):
    lines = ["gloss,lexname"] + [
        f"a definition that is long enough {i},{'noun' if i % 2 else 'verb'}" for i in range(40)
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    written, schema, _ = run(tmp_path / "data.csv", tmp_path)
    assert dict(schema.parts) == {"text": "gloss", "label": "lexname"}
    assert any(doubt.about == "task" for doubt in written.proposal.doubts)


def test_rejected_rows_are_counted_and_named(tmp_path):
    rows = [*make_texts(60), {"text": " ", "label": "animal"}, {"text": None, "label": "place"}]
    written, _, report = run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path)
    verdict = written.proposal.verdict
    assert (verdict.rows, verdict.rejected) == (report.rows, report.rejected) == (62, 2)
    assert dict(verdict.reasons) == dict(report.reasons)
    assert "rejects 2 of the 62 rows that it was tried on: text:not_blank 1, text:not_nullable 1" in (
        written.schema.read_text()
    )
    assert "# unsure: 2 of 62 rows are rejected" in written.recipe.read_text()


def test_what_many_rows_break_is_not_asked_for(tmp_path):
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    rows = [{"messages": turns + turns[:1] * (i % 2)} for i in range(20)]
    written, schema, report = run(write_jsonl(tmp_path / "data.jsonl", rows), tmp_path)
    assert report.rejected == 0
    checks = schema.columns["messages"].checks
    assert "ends_with_response" not in checks
    assert checks["has_response"] is True
    assert "# unsure: the last turn is not a response in 10 of 20 rows" in written.schema.read_text()


def test_a_column_of_another_type_is_left_alone(tmp_path):
    rows = pl.DataFrame(make_texts(60)).with_columns(pl.lit(b"\xff\x00").alias("picture"))
    rows.write_parquet(tmp_path / "data.parquet")
    _, schema, report = run(tmp_path / "data.parquet", tmp_path)
    assert report.accepted == 60
    assert list(schema.columns) == ["text", "label"]


def test_without_a_task_there_is_a_schema_and_no_recipe(tmp_path):
    path = write_jsonl(tmp_path / "data.jsonl", [{"a": i, "b": {"c": None}, "d": i % 2 == 0} for i in range(9)])
    written, schema, report = run(path, tmp_path)
    assert (written.recipe, schema.task, report.rejected) == (None, None, 0)
    assert {name: column.dtype for name, column in schema.columns.items()} == {"a": "int", "b": "json", "d": "bool"}
    assert "# unsure: no task found for the columns a, b, d" in written.schema.read_text()


def test_an_id_is_unique_only_where_the_data_says_so(tmp_path):
    rows = [{"id": i, **row} for i, row in enumerate(make_texts(30))]
    assert run(write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "a")[1].columns["id"].unique
    written, schema, report = run(write_jsonl(tmp_path / "b.jsonl", [*rows, rows[0]]), tmp_path / "b")
    assert "id" not in schema.columns
    assert report.rejected == 0
    assert [doubt.text for doubt in written.proposal.doubts if doubt.about == "id"] == [
        "of its values 1 repeat another's: not asked to be unique"
    ]


def test_a_sample_says_what_was_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("sftdata.proposal.sample.ROWS", 10)
    monkeypatch.setattr("sftdata.sources.parsing.CHUNK_ROWS", 10)
    (tmp_path / "data").mkdir()
    for number in range(4):
        write_jsonl(tmp_path / "data" / f"{number}.jsonl", make_texts(160)[number * 40 : number * 40 + 40])
    written = init(str(tmp_path / "data"), tmp_path / "made.yaml")
    sample = written.proposal.sample
    assert not sample.whole
    assert "the first 10 rows and 15 of those that follow" in written.schema.read_text()
    assert "not all rows were looked at" in written.schema.read_text()


cells = st.none() | texts | st.integers(-5, 5) | st.booleans() | json_values
names = (
    st.sampled_from(["text", "label", "id", "score", "tokens", "tags", "messages", "history", "tools", "output"])
    | texts
)
tables = st.lists(st.dictionaries(names, cells, max_size=4), min_size=1, max_size=8)


@quick
@given(rows=tables)
@example(rows=[{"text": [""], "tags": [""]}])
@example(rows=[{"*": None, "text": "a"}])
def test_any_table_gets_a_schema_that_loads_and_says_the_truth(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    path = write_jsonl(folder / "data.jsonl", rows)
    try:
        written, _, report = run(path, folder)
    except SourceError as problem:
        assert "no column" in str(problem)
        return
    verdict = written.proposal.verdict
    assert (verdict.rows, verdict.rejected) == (report.rows, report.rejected)
    assert dict(verdict.reasons) == dict(report.reasons)
    if written.recipe:
        load_recipe(written.recipe)


said = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: text.strip()
)
labels = st.lists(said, min_size=2, max_size=5, unique=True)


@quick
@given(texts=st.lists(said, min_size=20, max_size=30), labels=labels, data=st.data())
def test_a_clean_table_of_texts_and_labels_is_accepted_whole(texts, labels, data, tmp_path_factory):
    rows = [{"text": text, "label": labels[place % len(labels)]} for place, text in enumerate(texts)]
    folder = tmp_path_factory.mktemp("clean")
    written, schema, report = run(write_jsonl(folder / "data.jsonl", rows), folder)
    assert report.rejected == 0
    assert dict(schema.parts) == {"text": "text", "label": "label"}
    assert yaml.safe_load(written.recipe.read_text())["split"]["stratify"] == "label"


def sftdata(*arguments, folder):
    command = [sys.executable, "-c", "from sftdata.cli import main; main()", *arguments]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_the_command_says_what_it_found_and_its_own_next_step_works(tmp_path):
    write_csv(tmp_path / "reviews.csv", make_texts(60))
    done = sftdata("init", "reviews.csv", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "task: text_classification" in done.stdout
    assert "3 labels: animal (36), place (18), thing (6)" in done.stdout
    assert "Wrote reviews.schema.yaml and reviews.yaml." in done.stdout
    step = next(line for line in done.stdout.splitlines() if line.startswith("Check every row:"))
    checked = sftdata(*shlex.split(step.partition("sftdata ")[2]), folder=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "60 rows: 60 accepted, 0 rejected\n")


def test_the_command_overwrites_nothing(tmp_path):
    write_csv(tmp_path / "reviews.csv", make_texts(60))
    (tmp_path / "reviews.yaml").write_text("mine")
    done = sftdata("init", "reviews.csv", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: reviews.yaml is there already, and init overwrites nothing. Give another name with -o, or move it.\n"
    )
    assert (tmp_path / "reviews.yaml").read_text() == "mine"
    assert not (tmp_path / "reviews.schema.yaml").exists()
