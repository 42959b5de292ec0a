"""Each task from end to end: a model learns, its scores are those of kept libraries, plain transformers agrees."""

import json
import math

import numpy as np
import pytest
import sacrebleu
import scipy.stats
import seqeval.metrics
import sklearn.metrics
import torch
import transformers
from rich.console import Console
from spoken import TAGS, say, unsay, write_spoken
from tiny import LABELS, settings

from sftdata.records import Task
from sftdata.report.scores import predictions_table, scores_view
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, predict, scoring, train
from sftdata.training.metrics import METRICS, tune_thresholds
from sftdata.training.models import quiet_transformers

LEARNS = {
    Task.TEXT_CLASSIFICATION: {"epochs": 12, "learning_rate": 0.01},
    Task.MULTILABEL: {"epochs": 14, "learning_rate": 0.01},
    Task.REGRESSION: {"epochs": 12, "learning_rate": 0.01},
    Task.TOKEN_CLASSIFICATION: {"epochs": 5, "learning_rate": 0.01},
    Task.SEQ2SEQ: {"epochs": 6, "learning_rate": 0.02, "metric": "chrf"},
    Task.CAUSAL_LM: {"epochs": 8, "learning_rate": 0.01},
}
MODELS = {
    Task.TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
    Task.SEQ2SEQ: transformers.AutoModelForSeq2SeqLM,
    Task.CAUSAL_LM: transformers.AutoModelForCausalLM,
}


@pytest.fixture(scope="session")
def spoken_data(tmp_path_factory):
    return {task: write_spoken(tmp_path_factory.mktemp(f"spoken-{task}"), task) for task in Task}


@pytest.fixture(scope="session")
def bases(tiny_bert, tiny_llama, tiny_t5):
    return dict.fromkeys(Task, tiny_bert) | {Task.SEQ2SEQ: tiny_t5, Task.CAUSAL_LM: tiny_llama}


@pytest.fixture(scope="session")
def runs(tmp_path_factory, spoken_data, bases):
    """A run of each task that has learned its task, and what `train` returned."""
    made = {}

    def find(task):
        if task not in made:
            run = tmp_path_factory.mktemp(f"run-{task}") / "run"
            wanted = settings(bases[task], run, **LEARNS[task])
            made[task] = run, train(spoken_data[task], wanted, progress=False)
        return made[task]

    return find


@pytest.fixture(scope="session")
def measured(runs, spoken_data):
    made = {}

    def find(task):
        if task not in made:
            made[task] = evaluate(runs(task)[0], spoken_data[task], batch_size=7)
        return made[task]

    return find


def load_plain(run, task):
    with quiet_transformers():
        kind = MODELS.get(task, transformers.AutoModelForSequenceClassification)
        return kind.from_pretrained(run).eval(), transformers.AutoTokenizer.from_pretrained(run)


def raw_outputs(run, task, split):
    """The logits of plain transformers for each example alone."""
    model, _ = load_plain(run, task)
    with torch.inference_mode():
        return [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in split]


def agree(found, expected):
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("task", "metric", "least"),
    [
        (Task.TEXT_CLASSIFICATION, "macro_f1", 0.85),
        (Task.MULTILABEL, "macro_f1", 0.7),
        (Task.REGRESSION, "r2", 0.5),
        (Task.TOKEN_CLASSIFICATION, "entity_f1", 0.8),
    ],
)
def test_a_model_learns_more_than_the_baseline_knows(measured, runs, spoken_data, task, metric, least):
    scores = measured(task)
    assert scores[metric] > least > 0.45 > scores["baseline"].get(metric, 0)
    _, result = runs(task)
    again = evaluate(runs(task)[0], spoken_data[task], "validation")
    agree(again, result.scores)
    assert result.metric == METRICS[task][0]


@pytest.mark.parametrize("task", [Task.SEQ2SEQ, Task.CAUSAL_LM])
def test_a_model_learns_to_write(measured, runs, spoken_data, task):
    scores = measured(task)
    assert scores["token_accuracy"] > 0.25, "chance is 1 in 58"
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    assert scores["trained_tokens"] == load_split(spoken_data[task], "test").targets().sum()
    assert "baseline" not in scores


@pytest.mark.parametrize("task", Task)
def test_scores_are_json_and_can_be_read_in_a_terminal(measured, task):
    scores = measured(task)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert set(METRICS[task]) <= set(scores) | set(scores.get("undefined", {}))
    assert scores["rows"] == 25
    console = Console(width=100)
    with console.capture() as shown:
        console.print(scores_view(scores))
    text = shown.get()
    assert f"{scores['loss']:.4f}" in text
    assert ("always" in text) == ("baseline" in scores)
    assert all(name in text for name in scores.get("per_entity", scores.get("per_class", ())))


def test_classification_is_scored_as_scikit_learn_does(measured, runs, spoken_data):
    split = load_split(spoken_data[Task.TEXT_CLASSIFICATION], "test")
    logits = torch.stack(raw_outputs(runs(Task.TEXT_CLASSIFICATION)[0], Task.TEXT_CLASSIFICATION, split))
    truth, found = [row["labels"] for row in split], logits.argmax(-1).tolist()
    scores = measured(Task.TEXT_CLASSIFICATION)
    expected = {"accuracy": sklearn.metrics.accuracy_score(truth, found)}
    for name in ("precision", "recall", "f1"):
        scorer = getattr(sklearn.metrics, f"{name}_score")
        expected[f"macro_{name}"] = scorer(truth, found, average="macro", zero_division=0)
    areas = sklearn.metrics.roc_auc_score(truth, logits.softmax(-1), multi_class="ovr", average="macro")
    expected["roc_auc"] = areas
    expected["loss"] = torch.nn.functional.cross_entropy(logits, torch.tensor(truth)).item()
    agree(scores, expected)
    assert scores["confusion_matrix"] == sklearn.metrics.confusion_matrix(truth, found).tolist()


def test_multilabel_is_scored_as_scikit_learn_does_at_thresholds_of_the_validation_split(measured, runs, spoken_data):
    run, data = runs(Task.MULTILABEL)[0], spoken_data[Task.MULTILABEL]
    validation, test = load_split(data, "validation"), load_split(data, "test")
    tuned, logits = (torch.stack(raw_outputs(run, Task.MULTILABEL, split)) for split in (validation, test))
    record = json.loads((run / "sftdata_run.json").read_text())
    thresholds = tune_thresholds(np.array([row["labels"] for row in validation]), tuned.sigmoid().numpy())
    assert list(record["thresholds"]) == list(LABELS)
    assert list(record["thresholds"].values()) == pytest.approx(thresholds.tolist(), abs=1e-5)
    assert set(thresholds.tolist()) != {0.5}, "the test could not fail"
    truth = np.array([row["labels"] for row in test])
    found = logits.sigmoid().numpy() >= thresholds
    scores = measured(Task.MULTILABEL)
    expected = {"subset_accuracy": sklearn.metrics.accuracy_score(truth, found)}
    expected["hamming_loss"] = sklearn.metrics.hamming_loss(truth, found)
    for average in ("micro", "macro"):
        expected[f"{average}_f1"] = sklearn.metrics.f1_score(truth, found, average=average, zero_division=0)
    expected["roc_auc"] = sklearn.metrics.roc_auc_score(truth, logits, average="macro")
    expected["loss"] = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(truth).float()).item()
    agree(scores, expected)
    assert [one["threshold"] for one in scores["per_class"].values()] == list(record["thresholds"].values())


def test_regression_is_scored_as_scikit_learn_and_scipy_do(measured, runs, spoken_data):
    split = load_split(spoken_data[Task.REGRESSION], "test")
    found = [float(one[0]) for one in raw_outputs(runs(Task.REGRESSION)[0], Task.REGRESSION, split)]
    truth = [row["labels"] for row in split]
    scores = measured(Task.REGRESSION)
    expected = {"mse": sklearn.metrics.mean_squared_error(truth, found)}
    expected["mae"] = sklearn.metrics.mean_absolute_error(truth, found)
    expected["r2"] = sklearn.metrics.r2_score(truth, found)
    expected["spearman"] = scipy.stats.spearmanr(truth, found).statistic
    agree(scores, expected)
    assert scores["loss"] == pytest.approx(scores["mse"], rel=1e-4)
    mean = np.mean([row["labels"] for row in load_split(spoken_data[Task.REGRESSION])])
    assert scores["baseline"]["answer"] == pytest.approx(mean)
    assert scores["baseline"]["r2"] <= 0
    assert "spearman" not in scores["baseline"]


def test_tags_are_scored_as_seqeval_does(measured, runs, spoken_data):
    split = load_split(spoken_data[Task.TOKEN_CLASSIFICATION], "test")
    outputs = raw_outputs(runs(Task.TOKEN_CLASSIFICATION)[0], Task.TOKEN_CLASSIFICATION, split)
    truth, found = [], []
    for row, logits in zip(split, outputs, strict=True):
        places = [place for place, label in enumerate(row["labels"]) if label != -100]
        truth.append([TAGS[row["labels"][place]] for place in places])
        found.append([TAGS[int(logits[place].argmax())] for place in places])
    scores = measured(Task.TOKEN_CLASSIFICATION)
    expected = {
        f"entity_{name}": getattr(seqeval.metrics, f"{name}_score")(truth, found) for name in ("precision", "f1")
    }
    expected["accuracy"] = seqeval.metrics.accuracy_score(truth, found)
    agree(scores, expected)
    assert scores["words"] == sum(map(len, truth))
    assert scores["baseline"]["answer"] == "O"
    assert scores["baseline"]["accuracy"] == pytest.approx(np.mean(np.concatenate(truth) == "O"))
    assert scores["per_entity"]["X"]["rows"] == len(seqeval.metrics.sequence_labeling.get_entities(truth))


def test_what_a_model_writes_is_scored_as_sacrebleu_does(measured, runs, spoken_data):
    model, tokenizer = load_plain(runs(Task.SEQ2SEQ)[0], Task.SEQ2SEQ)
    split = load_split(spoken_data[Task.SEQ2SEQ], "test")
    most = max(len(row["labels"]) for row in split)
    found = []
    for row in split:
        ids = model.generate(torch.tensor([row["input_ids"]]), max_new_tokens=most, do_sample=False)[0]
        found.append(tokenizer.decode(ids, skip_special_tokens=True))
    truth = [say(row["labels"][:-1]) for row in split]
    scores = measured(Task.SEQ2SEQ)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(found, [truth]).score)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(found, [truth], force=True).score)
    assert scores["chrf"] > 40, "the test could not fail on a model that writes nothing"
    best = runs(Task.SEQ2SEQ)[1]
    assert best.scores["chrf"] > 40
    assert best.metric == "chrf"


@pytest.mark.parametrize("task", Task)
def test_predictions_are_those_of_plain_transformers(runs, spoken_data, task):
    run, split = runs(task)[0], load_split(spoken_data[task], "test")
    texts = [unsay(row) for row in split][:9]
    found = predict(run, texts, batch_size=4, max_new_tokens=6)
    assert [one["text"] for one in found] == texts
    model, tokenizer = load_plain(run, task)
    for text, one in zip(texts, found, strict=True):
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=task != Task.CAUSAL_LM)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            if task in (Task.SEQ2SEQ, Task.CAUSAL_LM):
                ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0]
                ids = ids[inputs["input_ids"].shape[1] :] if task == Task.CAUSAL_LM else ids
                assert one.get("target", one.get("response")) == tokenizer.decode(ids, skip_special_tokens=True)
                continue
            logits = model(**inputs).logits[0]
        compare(task, one, logits, model.config)
    console = Console(width=100)
    with console.capture() as shown:
        console.print(predictions_table(found))
    assert len(shown.get().splitlines()) >= 10


def compare(task, one, logits, config):
    names = [config.id2label[place] for place in range(len(config.id2label))]
    if task == Task.TEXT_CLASSIFICATION:
        assert one["label"] == names[int(logits.argmax())]
        assert one["probability"] == pytest.approx(float(logits.softmax(-1).max()), rel=1e-4)
    elif task == Task.MULTILABEL:
        assert one["probabilities"] == pytest.approx(dict(zip(names, logits.sigmoid().tolist(), strict=True)), rel=1e-4)
        assert set(one["labels"]) <= set(names)
    elif task == Task.REGRESSION:
        assert one["score"] == pytest.approx(float(logits[0]), rel=1e-4)
    else:
        assert one["tags"] == [names[place] for place in logits[1:-1].argmax(-1)]
        assert one["tokens"] == one["text"].split()
        spelled = seqeval.metrics.sequence_labeling.get_entities(one["tags"])
        assert [(each["kind"], each["start"], each["end"] - 1) for each in one["entities"]] == spelled


def test_labels_are_given_above_their_thresholds(runs, spoken_data):
    run = runs(Task.MULTILABEL)[0]
    thresholds = json.loads((run / "sftdata_run.json").read_text())["thresholds"]
    for one in predict(run, [unsay(row) for row in load_split(spoken_data[Task.MULTILABEL], "test")]):
        assert one["labels"] == [name for name in LABELS if one["probabilities"][name] >= thresholds[name]]


@pytest.mark.parametrize(
    ("task", "kind"), [(Task.MULTILABEL, "multi_label_classification"), (Task.REGRESSION, "regression")]
)
def test_pipelines_of_transformers_know_what_a_model_is_for(runs, task, kind):
    run, text = runs(task)[0], "w5 w20 w21"
    with quiet_transformers():
        pipe = transformers.pipeline("text-classification", model=str(run), device="cpu", top_k=None)
    assert pipe.model.config.problem_type == kind
    found = {one["label"]: one["score"] for one in pipe([text])[0]}
    [ours] = predict(run, [text])
    assert found == pytest.approx(ours.get("probabilities", {"score": ours.get("score")}), rel=1e-4)


def test_the_pipeline_for_tags_gives_ours(runs):
    run, text = runs(Task.TOKEN_CLASSIFICATION)[0], "w5 w25 w45 w30 w59 w4"
    with quiet_transformers():
        pipe = transformers.pipeline("token-classification", model=str(run), device="cpu", ignore_labels=[])
    [ours] = predict(run, [text])
    assert [one["entity"] for one in pipe(text)] == ours["tags"]


def test_probabilities_that_are_too_many_are_not_kept(runs, spoken_data, measured, monkeypatch):
    monkeypatch.setattr(scoring, "MOST_PROBABILITIES", 74)
    scores = evaluate(runs(Task.TEXT_CLASSIFICATION)[0], spoken_data[Task.TEXT_CLASSIFICATION])
    assert scores["undefined"] == {"roc_auc": "it needs the probabilities of all classes"}
    assert scores["macro_f1"] == measured(Task.TEXT_CLASSIFICATION)["macro_f1"]


@pytest.mark.parametrize("task", Task)
def test_scores_do_not_depend_on_the_batches(runs, spoken_data, measured, task):
    one = evaluate(runs(task)[0], spoken_data[task], batch_size=1)
    numbers = {name: value for name, value in measured(task).items() if isinstance(value, float)}
    agree(one, numbers)
