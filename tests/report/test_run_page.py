"""The report of a run says what its files hold, whatever they lack, and takes the place of none of them."""

import json

import pytest
from pages import read_page
from runs import (
    DIGEST,
    give_tokenizer,
    make_example,
    make_sequence,
    write_evaluation,
    write_journal,
    write_large_run,
    write_record,
)

import sftdata
from sftdata.cli import app
from sftdata.errors import TrainingError, UsageError
from sftdata.records import Task
from sftdata.report.page import REPORT_NAME
from sftdata.report.run_curves import describe_curves
from sftdata.report.run_page import add_run_report, render_run, write_any_report, write_run_report
from sftdata.training.run import read_record


@pytest.fixture
def run(tmp_path, text_tokenizer):
    directory = tmp_path / "run"
    write_record(directory)
    write_journal(directory)
    give_tokenizer(directory, text_tokenizer)
    write_evaluation(directory)
    return directory


def page_of(directory):
    return read_page(render_run(directory))


def titles(page):
    return [section.attributes["id"] for section in page.all("section")]


def test_sections_are_those_of_what_there_is_and_the_contents_lead_to_them(run):
    page = page_of(run)
    expected = ["curves", "scores", "classes", "confusions", "worst", "settings", "data", "environment"]
    assert titles(page) == expected
    assert [link.attributes["href"] for link in page.one("nav").all("a")] == [f"#{name}" for name in expected]


def test_curves_have_every_value_that_was_logged_and_mark_the_best_step(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    page = page_of(run).one("section", id="curves")
    figures = {figure.one("b").text: figure for figure in page.all("figure")}
    assert list(figures) == ["Loss", "Macro F1", "Accuracy", "Learning rate", "Gradient norm", "Tokens a second"]
    training, validation = (path for path in figures["Loss"].all("path") if "data-steps" in path.attributes)
    for path, part in ((training, "train"), (validation, "validation")):
        logged = [line for line in lines if line["part"] == part]
        assert [int(step) for step in path.attributes["data-steps"].split()] == [line["step"] for line in logged]
        values = [float(value) for value in path.attributes["data-values"].split()]
        assert values == pytest.approx([line["loss"] for line in logged], rel=1e-4)
    assert figures["Macro F1"].one("line", class_="mark").attributes["x1"] == "80.000%"
    best = figures["Macro F1"].one("circle", class_="best")
    assert (best.attributes["cx"], best.one("title").text) == ("80.000%", "step 80: 0.4")
    table = page.one("table").table()
    assert table[0] == ["Step", "Macro F1", "Accuracy", "Loss"]
    assert table[4] == ["80", "0.4000", "0.5333", f"{5 / 80**0.5:.4f}"]
    assert [row.all("th")[0].text for row in page.all("tr", class_="best")] == ["80"]


@pytest.mark.parametrize(("steps", "figures"), [(20, {"Loss", "Macro F1"}), (40, {"Loss", "Macro F1", "Accuracy"})])
def test_a_single_evaluation_makes_no_curve_but_that_of_the_metric_that_chooses(run, steps, figures):
    write_journal(run, steps=steps)
    assert {figure.title for figure in describe_curves(run, read_record(run))["main"]} == figures


def test_scores_stand_beside_those_of_always_giving_one_answer(run):
    write_evaluation(
        run, "validation", scores={"rows": 9, "loss": 2.0, "macro_f1": 0.5, "undefined": {"roc_auc": "why"}}
    )
    table = page_of(run).one("section", id="scores")
    head, *lines = table.one("table").table()
    assert sorted(head) == ["Score", "always ant", "test", "validation"]
    rows = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert rows["Macro F1chose the weights"] == {
        "Score": "Macro F1chose the weights",
        "test": "0.6100",
        "always ant": "0.2000",
        "validation": "0.5000",
    }
    assert (rows["Loss"]["always ant"], rows["Accuracy"]["validation"]) == ("", "")
    assert "Not defined on validation: ROC-AUC: why." in table.text


def test_each_class_has_a_line_with_its_scores(run):
    table = page_of(run).one("section", id="classes").one("table").table()
    assert table[0] == ["Class", "Precision", "Recall", "F1", "Rows", "F1"]
    assert table[1:] == [
        ["ant", "0.5000", "0.7500", "0.7500", "40", ""],
        ["bee", "0.5000", "0.2500", "0.2500", "20", ""],
        ["cat", "0.5000", "1.0000", "1.0000", "10", ""],
    ]


def test_the_matrix_closes_to_the_rows_of_each_class(run):
    section = page_of(run).one("section", id="confusions")
    matrix, listed = section.all("table")
    assert [row[1:] for row in matrix.table()[1:]] == [["30", "", "10"], ["12", "5", "3"], ["", "", "10"]]
    shades = {cell.text: cell.attributes.get("class") for cell in matrix.all("td") if cell.text}
    assert (shades["30"], shades["12"], shades["3"]) == ("r5", "w5", "w3")
    assert listed.table()[1] == ["bee", "ant", "12", "60.0%", ""]
    assert "45 right, 25 wrong" in section.text


def test_of_many_classes_the_matrix_shows_those_that_are_confused_and_counts_the_others(run):
    names = [f"class {number}" for number in range(150)]
    per_class = {name: {"precision": 1.0, "recall": 0.9, "f1": 0.9, "rows": 100} for name in names}
    confusions = [[7, 9, 8], *([number, 149 - number, 2] for number in range(20, 60)), [7, 3, 2]]
    write_evaluation(run, scores={"rows": 15_000, "per_class": per_class}, confusions=confusions)
    matrix = page_of(run).one("section", id="confusions").all("table")[0]
    head, *lines = matrix.table()
    assert len(lines) == 40
    assert head[-1] == "another class"
    assert {"class 7", "class 9", "class 20"} <= {line[0] for line in lines}
    assert all(sum(int(cell or 0) for cell in line[1:]) == 100 for line in lines)
    line = next(line for line in lines if line[0] == "class 7")
    assert dict(zip(head, line, strict=True))["class 9"] == "8"


def test_worst_examples_say_what_was_expected_and_what_was_said(run):
    first, *others = page_of(run).one(id="worst-0").all("details")
    assert first.one(class_="answer").text.split() == ["expected", "ant", "predicted", "bee", "probability", "50.0%"]
    assert "texts.csv, record 0" in first.text
    assert [one.one(class_="much").text for one in (first, *others)] == [f"loss {loss}" for loss in (6, 5, 4, 3, 2, 1)]
    assert "open" in first.attributes
    assert not [one for one in others if "open" in one.attributes]
    assert first.one(class_="tokens").text.startswith("[CLS]")


def test_trained_tokens_are_shaded_by_their_loss(run, text_tokenizer):
    tokenizer = give_tokenizer(run, text_tokenizer)
    losses = [None, 0.01, 0.5, 1.5, 3.0, 9.0, None]
    write_record(run, Task.CAUSAL_LM, label_names=None)
    example = make_example(0, sequences=[make_sequence([2, 10, 11, 12, 13, 14, 15], losses, tokens=9)])
    del example["expected"]
    write_evaluation(run, scores={"rows": 1, "loss": 2.0}, confusions=None, worst=[example])
    tokens = page_of(run).one(id="worst-0").one(class_="tokens")
    marks = tokens.all("mark")
    assert [mark.attributes["class"] for mark in marks] == ["t0 x", "t1 x", "t2 x", "t3 x", "t4 x"]
    assert marks[2].attributes["title"] == f"loss 1.5, likelier: {tokenizer.decode([7])}"
    assert tokens.one("span", class_="s").text == "[CLS]"
    assert "2 tokens are left out" in tokens.one(class_="gap").text
    spelled = "".join(child if isinstance(child, str) else child.text for child in tokens.children[:-1])
    assert spelled.replace(" ", "") == tokenizer.decode([2, *range(10, 16)], skip_special_tokens=False).replace(" ", "")


def test_without_its_tokenizer_a_run_shows_ids(run):
    (run / "tokenizer.json").write_text("no tokenizer")
    assert page_of(run).one(id="worst-0").all(class_="tokens")[0].text == "[2] [20] [30] [3] "


def test_labels_of_any_number_and_scores_are_told(run):
    several = make_example(0, expected=["ant"], predicted=[], confidence={"ant": 0.25})
    write_record(run, Task.MULTILABEL)
    write_evaluation(run, worst=[several])
    answer = page_of(run).one(id="worst-0").one(class_="answer").text.split()
    assert answer == ["expected", "ant", "predicted", "no", "label", "ant", "25.0%"]
    write_record(run, Task.REGRESSION)
    write_evaluation(run, worst=[make_example(0, expected=0.25, predicted=-3.5, confidence=None)], confusions=None)
    assert page_of(run).one(id="worst-0").one(class_="answer").text.split() == ["expected", "0.25", "predicted", "-3.5"]


def test_a_loss_that_is_no_number_is_said(run):
    write_evaluation(run, worst=[make_example(0, loss=None), make_example(1)])
    assert [one.text for one in page_of(run).one(id="worst-0").all(class_="much")] == ["no loss", "loss 5"]


def test_evaluations_of_other_data_and_other_weights_are_told_apart(run):
    write_evaluation(run, digest="sha256:" + "0" * 64, step=60)
    page = page_of(run)
    assert {"test of ab12ab12", "test of 00000000"} <= set(page.one("section", id="scores").one("table").table()[0])
    assert "weights after step 60, which are not those that were saved" in page.one("section", id="scores").text
    options = page.one(id="worst-of").all("option")
    assert len(options) == 2


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    write_record(tmp_path, status="running", steps=None, best_step=None, metric=None, seconds=None, environment={})
    page = page_of(tmp_path)
    assert titles(page) == ["scores", "settings", "data"]
    assert page.one(class_="status").text == "not finished"
    (tmp_path / "metrics.jsonl").write_text('{"part": "train", "step": 1, "loss": 2.0}\n{"part": "tr')
    page = page_of(tmp_path)
    assert titles(page)[0] == "curves"
    assert [figure.one("b").text for figure in page.all("figure")] == ["Loss"]
    assert "steps so far" in page.one("header").text


def test_losses_by_source_share_one_scale(run):
    write_journal(run, **{"loss/a.csv": 2.0, "loss/b.csv": 8.0})
    figures = page_of(run).all("figure", class_="small")
    assert [figure.one("b").text for figure in figures] == ["a.csv", "b.csv"]
    levels = [[text.text for text in figure.all("text", class_="level")] for figure in figures]
    assert levels[0] == levels[1]
    heights = [figure.one("path").attributes["d"].split("L")[0].split()[1] for figure in figures]
    assert int(heights[0]) > int(heights[1])


def test_a_cross_validation_shows_its_folds_and_the_labels_that_they_contradict(run):
    write_record(run, folds=3, best_step=None)
    for fold in range(3):
        write_journal(run / f"fold-{fold}")
    score = {"mean": 0.5, "deviation": 0.1, "values": [0.4, 0.5, None], "missing": {"2": "why"}}
    told = {"folds": 3, "scores": {"macro_f1": score}, "worst_fold": {"macro_f1": 0}, "label_errors": 2}
    (run / "folds.json").write_text(json.dumps(told))
    doubtful = [make_example(0, given_probability=0.01)]
    write_evaluation(run, "out-of-fold", step=None, doubtful=doubtful)
    page = page_of(run)
    table = page.one("section", id="folds").one("table")
    assert table.table()[1] == ["Macro F1chose the weights", "0.5000", "0.1000", "0.4000", "0.5000", ""]
    assert [cell.text for cell in table.all("td", class_="lost")] == ["0.4000"]
    keys = page.all("figure")[0].one("ul", class_="keys").all("li")
    assert [key.text for key in keys] == ["fold 0", "fold 1", "fold 2"]
    answer = page.one("section", id="doubtful").one(class_="answer").text.split()
    assert answer[:4] == ["expected", "ant", "probability", "1.0%"]
    assert "each row by the model that has not seen it" in page.one("section", id="scores").text


def test_what_folds_of_other_tasks_found_is_shown_fold_by_fold(tmp_path):
    write_record(tmp_path, Task.CAUSAL_LM, folds=2, best_step=None)
    for fold in range(2):
        write_evaluation(tmp_path / f"fold-{fold}", "held-out", scores={"rows": 3, "loss": 1.0}, confusions=None)
    head = page_of(tmp_path).one("section", id="scores").one("table").table()[0]
    assert head == ["Score", "fold 0", "fold 1"]


def test_the_data_is_shown_while_it_is_what_was_trained_on(tmp_path, text_recipe):
    from sftdata.training.run import digest_data

    manifest = sftdata.prepare(sftdata.load_recipe(text_recipe()))
    data = tmp_path / "out"
    write_record(tmp_path / "run", data=str(data), data_digest=digest_data(manifest))
    section = page_of(tmp_path / "run").one("section", id="data")
    rows = {row[0]: row[1] for row in section.all("table")[0].table()[1:]}
    assert rows == {name: f"{split.rows:,}" for name, split in manifest.splits.items()}
    assert manifest.inputs[0].digest in section.text
    write_record(tmp_path / "run", data=str(data))
    assert "has changed since" in page_of(tmp_path / "run").one("section", id="data").text
    write_record(tmp_path / "run", data=str(tmp_path / "gone"))
    assert "is not there any more" in page_of(tmp_path / "run").one("section", id="data").text


def test_the_largest_page_stays_below_five_megabytes(tmp_path, text_tokenizer):
    write_large_run(tmp_path, text_tokenizer)
    size = write_run_report(tmp_path).stat().st_size
    assert 1_000_000 < size < 5_000_000


def test_the_command_finds_out_what_a_directory_holds(run, tmp_path, text_recipe, capsys):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    app(["report", str(run)], standalone_mode=False)
    app(["report", str(tmp_path / "out")], standalone_mode=False)
    found = [read_page((path / REPORT_NAME).read_text(encoding="utf-8")) for path in (run, tmp_path / "out")]
    assert [page.one("head").one("title").text.partition(":")[0] for page in found] == [
        "Training report",
        "Data report",
    ]
    assert capsys.readouterr().out.count("Open it in a browser") == 2


def test_what_is_neither_gets_one_message(tmp_path):
    with pytest.raises(
        UsageError, match=r"neither a prepared dataset nor a run: it has no manifest.json and no sftdata_run"
    ):
        write_any_report(tmp_path)
    with pytest.raises(
        UsageError, match=r"gone is not a directory\. Name what `sftdata prepare` or `sftdata train` wrote"
    ):
        write_any_report(tmp_path / "gone")


def test_no_other_file_of_the_run_is_replaced(run):
    for name in ("tokenizer.json", "sftdata_run.json"):
        with pytest.raises(UsageError, match="is a file of the run"):
            write_run_report(run, run / name)
    with pytest.raises(UsageError, match="is a directory"):
        write_run_report(run, run)
    assert write_run_report(run, run / "mine.html").read_text() == write_run_report(run).read_text()


def test_files_that_are_damaged_are_named_or_passed_over(run):
    (run / "evaluations" / "broken.json").write_text("{")
    (run / "evaluations" / "list.json").write_text("[]")
    assert "worst" in titles(page_of(run))
    write_evaluation(run, worst=[{"row_id": "a"}])
    with pytest.raises(TrainingError, match=r"says something that the report cannot show .*delete its folder"):
        write_run_report(run)
    with pytest.warns(RuntimeWarning, match=r"report.html could not be made: KeyError"):
        add_run_report(run)
    (run / "sftdata_run.json").write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        write_any_report(run)


def test_the_same_files_give_the_same_page_and_ask_nothing_of_the_network(run):
    content = render_run(run)
    assert content == render_run(run)
    page = read_page(content)
    assert "default-src 'none'" in page.all("meta")[1].attributes["content"]
    assert not {"src", "srcset", "style"} & {name for element in page.all() for name in element.attributes}
    assert all(link.attributes["href"].startswith("#") for link in page.all("a"))
    assert DIGEST in content
