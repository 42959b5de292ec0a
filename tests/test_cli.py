"""The contract of the command line: arguments, exit codes, one clear message, one JSON document."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples import make_texts, write_jsonl
from typer.testing import CliRunner

from sftdata import cli

SAMPLES = Path(__file__).parent.parent / "samples"
COMMANDS = [
    "init",
    "convert-recipe",
    "schema",
    "validate",
    "prepare",
    "verify",
    "inspect",
    "report",
    "view",
    "export",
    "train",
    "evaluate",
    "predict",
]


def sftdata(*arguments, **environment):
    command = [sys.executable, "-c", "from sftdata.cli import main; main()", *map(str, arguments)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "160", **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def refused(done, code, *said):
    """One message on stderr, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
    for words in said:
        assert words in done.stderr
    return True


@pytest.fixture
def table(tmp_path):
    def write(content, name="data.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def test_help_names_every_command():
    done = sftdata("--help")
    assert done.returncode == 0
    assert all(f"\n  {command}" in done.stdout for command in COMMANDS)
    for command in COMMANDS:
        assert sftdata(command, "--help").returncode == 0


def test_a_command_is_the_same_alone_as_among_all():
    for name in COMMANDS:
        alone = cli._app_for([name, "--help"])
        assert len(alone.registered_commands) == 1
        of_both = [CliRunner().invoke(app, [name, "--help"], prog_name="sftdata").output for app in (alone, cli.app)]
        assert of_both[0] == of_both[1]
        assert f"Usage: sftdata {name} " in of_both[0]
    assert all(cli._app_for(given) is cli.app for given in ([], ["--help"], ["-q", "validate"], ["nonsense"]))


def test_help_and_version_load_nothing_heavy():
    program = (
        "import sys; from sftdata.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'pandera', 'nltk', 'jieba', 'polars', 'pyarrow', 'datasets'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_validate_prints_one_json_document_that_closes(table):
    path = table("text,label\nfine,a\n ,a\nfine,\n,\n")
    done = sftdata("validate", path, "--schema", "text_label", "--json", "--max-rejected", "1.0")
    report = json.loads(done.stdout)
    assert (report["rows"], report["accepted"], report["rejected"]) == (4, 1, 3)
    assert report["reasons"] == {"label:not_nullable": 2, "text:not_blank": 1, "text:not_nullable": 1}
    assert report["files"] == [{"path": path.as_posix(), "rows": 4, "accepted": 1, "rejected": 3}]
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("limit", "code"), [(None, 1), ("0", 1), ("1", 1), ("2", 0), ("0.5", 0), ("0.4", 1), ("1.0", 0)]
)
def test_max_rejected_is_a_number_of_rows_or_a_share(table, limit, code):
    path = table("text,label\nfine,a\nfine,b\n ,a\n ,b\n")
    arguments = ["--max-rejected", limit] if limit else []
    done = sftdata("validate", path, "--schema", "text_label", "--json", *arguments)
    assert done.returncode == code
    assert json.loads(done.stdout)["rejected"] == 2, "the report is printed whether or not the data is refused"
    assert (done.stderr == "") == (code == 0)


@pytest.mark.parametrize(("option", "where"), [(None, "table"), ("--json", "error"), ("--quiet", "error")])
def test_reasons_are_told_once_to_a_person(table, option, where):
    path = table("text,label\nfine,a\n ,a\n")
    done = sftdata("validate", path, "--schema", "text_label", *([option] if option else []))
    reason = "  1  text:not_blank"
    assert (reason in done.stdout, reason in done.stderr) == (where == "table", where == "error")
    assert done.stderr.startswith("error: 1 of 2 rows were rejected; max_rejected allows 0 rows\n")


def test_rejected_rows_are_written_where_told(table, tmp_path):
    path = table("text,label\nfine,a\n ,a\n")
    done = sftdata("validate", path, "--schema", "text_label", "--rejected", tmp_path / "bad.jsonl")
    assert done.returncode == 1
    row = json.loads((tmp_path / "bad.jsonl").read_text())
    assert (row["record"], row["reason"], row["original"]) == (2, "text:not_blank", {"text": " ", "label": "a"})


BAD_FILES = {
    "an empty file": ("data.csv", b"", 1, "no record"),
    "a header only": ("data.csv", b"text,label\n", 1, "no record"),
    "a wrong column": ("data.csv", b"txt,label\na,b\n", 1, "missing column 'text'"),
    "a null": ("data.jsonl", b'{"text": null, "label": "a"}\n', 1, "text:not_nullable"),
    "a broken JSON line": ("data.jsonl", b'{"text": "a", "label": "a"}\n{"text": \n', 1, "json:syntax"),
    "text with bytes of no encoding": ("data.csv", b"text,label\nx\xff\xfe,a\n", 1, "encoding:utf-8"),
    "JSON that is not UTF-8": ("data.jsonl", b'{"text": "caf\xe9", "label": "a"}\n', 1, "encoding:utf-8"),
    "an empty JSON Lines file": ("data.jsonl", b"\n\n", 1, "no record"),
    "no Parquet": ("data.parquet", b"PAR1 not really", 2, "cannot be read"),
    "an unknown format": ("data.xyz", b"text", 2, "no known format"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_gives_its_exit_code_and_one_message(table, text_recipe, fault):
    name, content, code, said = BAD_FILES[fault]
    path = table(content, name)
    assert refused(sftdata("validate", path, "--schema", "text_label", "--quiet"), code, said)
    recipe = text_recipe(sources=[{"path": name}], max_rejected=0)
    table(content, name)  # the recipe's own data may have the same name
    assert refused(sftdata("prepare", recipe), code, said)


def test_a_missing_file_an_unknown_schema_and_a_bad_limit_are_wrong_use(tmp_path, table):
    assert refused(sftdata("validate", tmp_path / "no.csv", "--schema", "text_label"), 2, "no such file", "no.csv")
    assert refused(
        sftdata("validate", table("text,label\na,b\n"), "--schema", "nowhere"), 2, "alpaca, messages, prompt_completion"
    )
    limit = sftdata("validate", table("text,label\na,b\n"), "--schema", "text_label", "--max-rejected", "many")
    assert refused(limit, 2, "'many'", "a share")


def test_a_label_outside_the_declared_set_is_rejected_with_its_value(table):
    path = table("text,label\nfine,noun.animal\nodd,noun.nothing\n")
    done = sftdata("validate", path, "--schema", SAMPLES / "wordnet_topics.schema.yaml")
    assert done.returncode == 1
    assert "label:isin" in done.stdout
    assert "noun.nothing" in done.stdout


def test_every_fault_of_a_recipe_is_told_at_once_with_its_line(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "task: text_clasification\nschema: text_label\nsources: [{path: x.csv}]\n"
        "tokenize: {tokenizer: t, max_lenght: 5}\noutput: {}\n"
    )
    done = sftdata("prepare", recipe)
    assert refused(done, 2, "3 faults", "line 1: task", "did you mean 'max_length'", "line 5: output.dir: missing")


def test_a_missing_recipe_is_wrong_use(tmp_path):
    assert refused(sftdata("prepare", tmp_path / "no.yaml"), 2, "no such file")
    assert refused(sftdata("train", tmp_path / "no.yaml"), 2, "no such file")


def test_prepare_verify_and_inspect_work_on_the_same_directory(tmp_path, text_recipe):
    done = sftdata("prepare", text_recipe(), "--json")
    assert json.loads(done.stdout)["rows"]["written"] == 200
    assert done.stderr == ""
    out = tmp_path / "out"
    assert "200 read = 200 written + 0 rejected + 0 duplicates" in sftdata("verify", out).stdout
    assert json.loads(sftdata("verify", out, "--json").stdout)["verified"] is True
    shown = sftdata("inspect", out, "--split", "test", "-n", "2").stdout
    assert shown.count("label ") == 2
    assert "data.jsonl, record" in shown
    next((out / "train").glob("*.arrow")).unlink()
    assert refused(sftdata("verify", out), 1, "missing")


def test_a_disk_that_takes_no_more_is_told_with_its_place_and_the_next_run_completes(tmp_path, text_recipe):
    recipe = text_recipe(make_texts(2000))
    command = [sys.executable, "-c", "from sftdata.cli import main; main()", "prepare", str(recipe)]
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *command]  # 16 KiB a file
    done = subprocess.run(limited, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert refused(done, 2, "File too large", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert sftdata("prepare", recipe).returncode == 0
    assert sftdata("verify", tmp_path / "out").returncode == 0


def test_out_overrides_the_recipe(tmp_path, text_recipe):
    assert sftdata("prepare", text_recipe(), "--out", tmp_path / "other").returncode == 0
    assert (tmp_path / "other" / "manifest.json").exists()
    assert not (tmp_path / "out").exists()


def test_inspect_marks_trained_text_without_colour_and_colours_it_with(tmp_path, chat_recipe):
    rows = [
        {"messages": [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": f"answer {i}"}]}
        for i in range(9)
    ]
    sftdata("prepare", chat_recipe(rows))
    plain = sftdata("inspect", tmp_path / "out", "-n", "1").stdout
    assert "⟦answer " in plain
    assert plain.count("⟦") == plain.count("⟧") == 1
    coloured = sftdata("inspect", tmp_path / "out", "-n", "1", FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[1;32manswer " in coloured
    assert "⟦" not in coloured


def test_inspect_shows_one_row_by_its_id_and_rejected_rows(tmp_path, text_recipe):
    rows = [*make_texts(20), {"text": "", "label": "a"}]
    sftdata("prepare", text_recipe(rows, max_rejected=1, split={"train": 1, "validation": 0, "test": 0}))
    out = tmp_path / "out"
    listed = sftdata("inspect", out, "-n", "3").stdout
    row_id = next(word for word in listed.split() if word.endswith(":3"))
    assert f"{row_id}  (data.jsonl, record 3)" in sftdata("inspect", out, "--row", row_id).stdout
    assert refused(sftdata("inspect", out, "--row", "nonsense"), 1, "no row 'nonsense'", "looks like")
    rejected = sftdata("inspect", out, "--rejected").stdout
    assert "text:not_blank" in rejected
    assert "21" in rejected
    assert refused(sftdata("inspect", out, "--step", "1"), 2, "no `train` part", "Name the directory of a run")


def test_an_unfinished_or_foreign_directory_is_refused_by_every_reader(tmp_path):
    (tmp_path / "run" / ".sftdata-unfinished").mkdir(parents=True)
    assert refused(sftdata("verify", tmp_path / "run"), 1, "unfinished run", "sftdata prepare")
    assert refused(sftdata("inspect", tmp_path / "run"), 1, "unfinished run")
    assert refused(sftdata("train", "--data", tmp_path / "run", "--model", "m"), 1, "unfinished run")
    assert refused(sftdata("verify", tmp_path / "nowhere"), 1, "not a directory")


def test_train_and_predict_say_what_they_need(tmp_path, text_recipe):
    assert refused(sftdata("train"), 2, "--data", "--model")
    assert refused(sftdata("train", text_recipe()), 2, "no `train` part")
    assert refused(sftdata("predict", tmp_path), 2, "--text")


def test_the_faulty_sample_is_shown_with_reasons():
    done = sftdata(
        "validate", SAMPLES / "wordnet_topics_faulty.csv", "--schema", SAMPLES / "wordnet_topics.schema.yaml"
    )
    assert done.returncode == 1
    for reason in ("label:isin", "text:not_blank", "csv:field_count", "encoding:utf-8", "text:str_length"):
        assert reason in done.stdout


def test_text_with_markup_is_shown_as_it_is(tmp_path, text_recipe):
    rows = [
        {"text": "[bold]not bold[/bold] {x} %s", "label": "[red]"},
        *make_texts(5),
        {"text": " ", "label": "[blue]"},
    ]
    path = write_jsonl(tmp_path / "markup.jsonl", rows)
    assert sftdata("validate", path, "--schema", "text_label").returncode == 1
    recipe = text_recipe(rows, max_rejected=1, split={"train": 1, "validation": 0, "test": 0})
    sftdata("prepare", recipe)
    assert "label [red]" in sftdata("inspect", tmp_path / "out", "-n", "1").stdout
