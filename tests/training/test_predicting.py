"""What a person may give to `predict`, which metric chooses the best weights, what is said of one without a value."""

import json

import numpy as np
import pytest
from examples import make_tagged, write_jsonl
from spoken import write_spoken
from tiny import LABELS, Example, random_classes, random_scores, settings, write_dataset
from typer.testing import CliRunner

from sftdata.cli import app
from sftdata.errors import DataError, TrainingError, UsageError
from sftdata.records import Task
from sftdata.training import evaluate, milestones, predict, train
from sftdata.training.encoding import cut_words
from sftdata.training.metrics import Scores


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Paris is  big.\n", ["Paris", "is", "big."]),
        ("我在北京2023年。", ["我", "在", "北", "京", "2023", "年", "。"]),
        ("GPU 显卡，AMD", ["GPU", "显", "卡", "，", "AMD"]),
        ("\u3000全角 空格", ["全", "角", "空", "格"]),
        ("“quoted”", ["“quoted”"]),
        ("", []),
    ],
)
def test_a_text_is_cut_at_white_space_and_around_chinese_characters(text, words):
    assert cut_words([text, ["as", "it is"]]) == [words, ["as", "it is"]]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory, tiny_bert):
    folder = tmp_path_factory.mktemp("tagger")
    data = write_spoken(folder, Task.TOKEN_CLASSIFICATION, rows=16)
    train(data, settings(tiny_bert, folder / "run", max_steps=2), progress=False)
    return folder / "run"


def test_words_may_be_given_as_they_are(tagger, tmp_path):
    [cut, given] = predict(tagger, ["w5 w6", ["w5", "w6"]])
    assert cut == {"text": "w5 w6", **given}
    assert given["tokens"] == ["w5", "w6"]
    file = write_jsonl(tmp_path / "words.jsonl", [{"tokens": ["w5", "w6"], "id": 7}])
    done = CliRunner().invoke(app, ["predict", str(tagger), str(file), "--text", "w5 w6", "--json"])
    assert json.loads(done.stdout) == [cut, given]
    shown = CliRunner().invoke(app, ["predict", str(tagger), str(file)])
    assert "w5" in shown.stdout


@pytest.mark.parametrize(
    ("texts", "told"),
    [([" "], "text 1 has no words"), (["w5", ["w5", " "]], r"text 2: its word 2, ' ', has no token")],
)
def test_what_has_no_words_or_tokens_is_refused(tagger, texts, told):
    with pytest.raises(DataError, match=told):
        predict(tagger, texts)


def test_words_are_refused_where_there_are_no_tags(tmp_path, tiny_bert):
    data = write_spoken(tmp_path, Task.REGRESSION, rows=16)
    train(data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)
    with pytest.raises(UsageError, match="was trained for regression; give it texts, not lists of words"):
        predict(tmp_path / "run", [["w5"]])
    assert predict(tmp_path / "run", []) == []


def test_a_word_of_several_tokens_has_the_tag_of_the_first(tag_recipe, tmp_path, text_tokenizer):
    import tokenizers
    import torch
    import transformers

    import sftdata

    sftdata.prepare(sftdata.load_recipe(tag_recipe()))
    torch.manual_seed(2)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=200, max_position_embeddings=64, initializer_range=0.5, **sizes)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    train(tmp_path / "out", settings(tmp_path / "bert", tmp_path / "run", max_steps=2), progress=False)
    words = [row["tokens"] for row in make_tagged(12)] + [["Parisian", "brown", "foxes"]]
    model = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "run").eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(text_tokenizer / "tokenizer.json"))
    several = 0
    for row, found in zip(words, predict(tmp_path / "run", words, batch_size=5), strict=True):
        encoded = tokenizer.encode(row, is_pretokenized=True)
        several += len(encoded.ids) > len(row) + 2
        tags = model(input_ids=torch.tensor([encoded.ids])).logits[0].argmax(-1)
        expected = [tags[encoded.word_ids.index(place)] for place in range(len(row))]
        assert found["tags"] == [model.config.id2label[int(tag)] for tag in expected]
    assert several
    scores = evaluate(tmp_path / "run", tmp_path / "out")
    assert scores["scheme"] == "BIO"
    assert list(scores["per_entity"]) == ["LOC"]


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [("mse", [0.5, 0.2, 0.4], 2), ("spearman", [0.5, 0.2, 0.7], 3), ("r2", [-3.0, -1.0, -2.0], 2)],
)
def test_any_metric_chooses_the_best_weights_and_ends_a_run(
    task_data, tiny_bert, tmp_path, monkeypatch, metric, values, best
):
    left = iter(values)
    monkeypatch.setattr(milestones, "score", lambda *_: Scores({"loss": 1.0, metric: next(left)}))
    wanted = settings(tiny_bert, tmp_path / "run", epochs=3, metric=metric, patience=2)
    result = train(task_data[Task.REGRESSION], wanted, progress=False)
    assert (result.best_step, result.scores[metric]) == (8 * best, values[best - 1])


def test_a_metric_without_a_value_is_said_and_never_the_best(tiny_bert, tmp_path, capsys):
    flat = [Example(one.input_ids, 1.0) for one in random_scores(9, 2)]
    splits = {"train": random_scores(16, 1), "validation": flat, "test": flat}
    data = write_dataset(tmp_path / "data", Task.REGRESSION, splits)
    result = train(data, settings(tiny_bert, tmp_path / "run", epochs=2, metric="r2"))
    assert (result.best_step, result.scores) == (result.steps, {})
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("not defined on the validation split: r2, spearman (all targets are equal)") == 2
    scores = evaluate(tmp_path / "run", data)
    assert set(scores["undefined"]) == {"r2", "spearman"}
    json.dumps(scores, allow_nan=False)


def test_what_has_no_value_is_said_once_if_nothing_depends_on_it(tiny_bert, tmp_path, capsys):
    one_class = [row for row in random_classes(30, 2) if row.labels == 1]
    splits = {"train": random_classes(16, 1), "validation": one_class}
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)
    result = train(data, settings(tiny_bert, tmp_path / "run", epochs=3))
    lines = [line for line in capsys.readouterr().err.splitlines() if "not defined" in line]
    assert len(lines) == 1
    assert "roc_auc" in lines[0]
    assert np.isfinite(list(result.scores.values())).all()


def test_a_metric_of_another_task_is_refused(task_data, tiny_bert, tmp_path):
    wanted = settings(tiny_bert, tmp_path / "run", metric="entity_f1")
    with pytest.raises(TrainingError, match=r"tags spell no entities knows: macro_f1"):
        train(task_data[Task.TOKEN_CLASSIFICATION], wanted, progress=False)


@pytest.mark.parametrize("task", [task for task in Task if task != Task.TEXT_CLASSIFICATION])
def test_runs_with_adapters_are_measured_and_used(task, tmp_path, tiny_bert, tiny_llama, tiny_t5):
    model = {Task.SEQ2SEQ: tiny_t5, Task.CAUSAL_LM: tiny_llama}.get(task, tiny_bert)
    data = write_spoken(tmp_path, task, rows=16)
    lora = {"r": 2, "target_modules": ["q", "v"] if task == Task.SEQ2SEQ else "all-linear"}
    wanted = settings(model, tmp_path / "run", max_steps=2, lora=lora)
    result = train(data, wanted, progress=False)
    assert (tmp_path / "run" / "adapter_config.json").is_file()
    scores = evaluate(tmp_path / "run", data, "validation")
    assert {name: scores[name] for name in result.scores} == pytest.approx(result.scores, rel=1e-4)
    told = {"multilabel": "labels", "regression": "score", "token_classification": "tags", "seq2seq": "target"}
    assert told.get(task.value, "response") in predict(tmp_path / "run", ["w5 w6"], max_new_tokens=3)[0]
