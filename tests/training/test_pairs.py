"""Models learn from pairs of texts as transformers would have it: with the types of the tokens, on the same pairs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from examples import make_pairs, write_jsonl
from tiny import settings

import sftdata
from sftdata.errors import TrainingError, UsageError
from sftdata.training import evaluate, predict, train
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss, classify

SIZES = {"vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 32, "max_position_embeddings": 64, "initializer_range": 0.5}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair-bert")
    torch.manual_seed(1)
    config = transformers.BertConfig(**SIZES, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path, pair_recipe):
    sftdata.prepare(sftdata.load_recipe(pair_recipe()))
    return tmp_path / "out"


@pytest.fixture
def run(tmp_path, data, bert):
    train(data, settings(bert, tmp_path / "run", max_steps=3), progress=False)
    return tmp_path / "run"


def expected_logits(run, rows):
    """What transformers alone says of each pair."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(run)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run).eval()
    with torch.inference_mode():
        pairs = [tokenizer(row["text"], row["other"], return_tensors="pt") for row in rows]
        assert all(pair["token_type_ids"].max() == 1 for pair in pairs)
        return torch.cat([model(**pair).logits for pair in pairs])


def row_of(example):
    return make_pairs(200)[int(example["row_id"].partition(":")[2]) - 1]


def test_logits_are_those_of_transformers_on_the_same_pairs(run, data):
    split = sftdata.load_split(data, "test")
    batch = Examples(split).gather(np.arange(len(split)))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run).eval()
    with torch.inference_mode():
        losses, logits = classify(model, batch, Loss())
    expected = expected_logits(run, map(row_of, split))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    without = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert (without - expected).abs().max() > 0.01, "the types must matter"
    wanted = torch.nn.functional.cross_entropy(expected, batch.targets).item()
    assert evaluate(run, data)["loss"] == pytest.approx(wanted, rel=1e-5)
    assert losses.sum().item() == pytest.approx(wanted * len(split), rel=1e-5)


def test_training_sees_the_types(run, data):
    weights = transformers.AutoModel.from_pretrained(run).embeddings.token_type_embeddings.weight
    start = transformers.AutoModel.from_pretrained(json.loads((run / "sftdata_run.json").read_text())["base_model"])
    moved = (weights - start.embeddings.token_type_embeddings.weight).abs().max(dim=1).values
    assert (moved > 1e-4).all()


def test_predictions_are_those_of_transformers(run):
    rows = make_pairs(12)
    found = predict(run, [row["text"] for row in rows], [row["other"] for row in rows], batch_size=5)
    best = expected_logits(run, rows).softmax(dim=-1).max(dim=-1)
    assert [one["probability"] for one in found] == pytest.approx(best.values.tolist(), rel=1e-4)
    names = ["animal", "place", "thing"]
    assert [one["label"] for one in found] == [names[place] for place in best.indices]
    assert list(found[0]) == ["text", "text_pair", "label", "probability"]


def test_pairs_are_predicted_from_the_columns_of_a_file(run, tmp_path):
    rows = [{"text": row["text"], "text_pair": row["other"], "id": place} for place, row in enumerate(make_pairs(3))]
    file = write_jsonl(tmp_path / "ask.jsonl", rows)
    program = "from sftdata.cli import main; main()"
    command = [sys.executable, "-c", program, "predict", str(run), str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers == predict(run, *([row[name] for row in rows] for name in ("text", "text_pair")))
    refused = subprocess.run([*command, "--text", "alone"], capture_output=True, text=True)
    assert (refused.returncode, "--text is a single text" in refused.stderr) == (2, True)


def test_pairs_and_single_texts_are_not_taken_for_each_other(run, tmp_path, text_recipe, bert):
    with pytest.raises(UsageError, match="was trained on two texts a row"):
        predict(run, ["a single text"])
    with pytest.raises(UsageError, match="found 2 texts and 1 second texts"):
        predict(run, ["a", "b"], ["c"])
    sftdata.prepare(sftdata.load_recipe(text_recipe(output={"dir": "single"})))
    train(tmp_path / "single", settings(bert, tmp_path / "other", max_steps=1), progress=False)
    with pytest.raises(UsageError, match="was trained on single texts"):
        predict(tmp_path / "other", ["a"], ["b"])
    with pytest.raises(TrainingError, match=r"tokenizer|pairs of texts"):
        evaluate(run, tmp_path / "single")


def test_adapters_get_the_types_too(data, bert, tmp_path):
    lora = {"r": 2, "target_modules": ["query", "value"]}
    train(data, settings(bert, tmp_path / "lora", max_steps=2, lora=lora), progress=False)
    [found] = predict(tmp_path / "lora", ["the quick fox"], ["a dog"])
    assert 0 < found["probability"] <= 1
    assert evaluate(tmp_path / "lora", data)["rows"] == sftdata.read_manifest(data).splits["test"].rows


def test_a_model_without_types_learns_from_pairs(data, tmp_path):
    sizes = {"vocab_size": 200, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 64}
    transformers.DistilBertModel(transformers.DistilBertConfig(**sizes)).save_pretrained(tmp_path / "distil")
    train(data, settings(tmp_path / "distil", tmp_path / "run", max_steps=1), progress=False)
    assert predict(tmp_path / "run", ["the fox"], ["a dog"])[0]["label"] in ("animal", "place", "thing")


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_the_other_tasks_of_whole_texts_learn_from_pairs_too(pair_recipe, tmp_path, bert, task):
    sftdata.prepare(sftdata.load_recipe(pair_recipe(task=task)))
    train(tmp_path / "out", settings(bert, tmp_path / "run", max_steps=3), progress=False)
    rows = make_pairs(12)
    found = predict(tmp_path / "run", [row["text"] for row in rows], [row["other"] for row in rows], batch_size=5)
    logits = expected_logits(tmp_path / "run", rows)
    if task == "multilabel":
        found_values = [list(one["probabilities"].values()) for one in found]
        assert np.array(found_values) == pytest.approx(logits.sigmoid().numpy(), rel=1e-4)
    else:
        assert [one["score"] for one in found] == pytest.approx(logits[:, 0].tolist(), rel=1e-4)
    split = sftdata.load_split(tmp_path / "out", "test")
    tested, targets = expected_logits(tmp_path / "run", map(row_of, split)), torch.tensor([r["labels"] for r in split])
    if task == "multilabel":
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(tested, targets.float())
    else:
        wanted = torch.nn.functional.mse_loss(tested[:, 0], targets)
    assert evaluate(tmp_path / "run", tmp_path / "out")["loss"] == pytest.approx(wanted.item(), rel=1e-5)
