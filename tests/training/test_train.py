import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import LABELS, VOCABULARY, Example, random_classes, random_turns, settings, weights, write_dataset

import sftdata.training.loop as loop
from sftdata.errors import DataError, OutputError, TrainingError, VerificationError
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, milestones, predict, steps, train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.metrics import Scores
from sftdata.training.optimization import make_optimizer


def script_scores(monkeypatch, values):
    """Make each evaluation of a run give the next of these macro F1 scores."""
    left = iter(values)
    monkeypatch.setattr(milestones, "score", lambda *_: Scores({"loss": 1.0, "accuracy": 0.5, "macro_f1": next(left)}))


def test_training_learns_and_saves_a_model_for_plain_transformers(class_data, tiny_bert, tmp_path):
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=20, learning_rate=0.01), progress=False)
    scores = evaluate(tmp_path / "run", class_data)
    assert scores["accuracy"] > 0.85 > scores["baseline"]["accuracy"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {name: index for index, name in enumerate(LABELS)}
    split = load_split(class_data, "test")
    found = [int(model(input_ids=torch.tensor([row["input_ids"]])).logits.argmax()) for row in split]
    labels = [row["labels"] for row in split]
    assert np.mean(np.array(found) == labels) == pytest.approx(scores["accuracy"])
    again = evaluate(tmp_path / "run", class_data, "validation")
    assert {name: again[name] for name in result.scores} == pytest.approx(result.scores)


def test_a_language_model_is_saved_as_it_was_scored_in_float32(turn_data, tiny_llama, tmp_path):
    result = train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=4), progress=False)
    saved, best = weights(tmp_path / "run"), weights(tmp_path / "run" / f"checkpoint-{result.best_step}")
    assert saved.keys() == best.keys()
    assert all(torch.equal(saved[name], best[name]) for name in saved)
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    again = evaluate(tmp_path / "run", turn_data, "validation")
    assert {name: again[name] for name in result.scores} == pytest.approx(result.scores)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    assert model.dtype == torch.float32
    assert model.generate(torch.tensor([[5, 12]]), max_new_tokens=3, do_sample=False).shape == (1, 5)


def test_scores_of_a_language_model_are_those_of_a_loop_over_examples(turn_data, tiny_llama, tmp_path):
    train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=1), progress=False)
    scores = evaluate(tmp_path / "run", turn_data, batch_size=4)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run", dtype=torch.float32)
    loss, correct, tokens = 0.0, 0, 0
    for row in load_split(turn_data, "test"):
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].detach()
        for place, label in enumerate(row["labels"][1:]):
            if label != -100:
                loss -= float(logits[place].log_softmax(-1)[label])
                correct += int(logits[place].argmax()) == label
                tokens += 1
    assert scores["trained_tokens"] == tokens
    assert scores["loss"] == pytest.approx(loss / tokens, rel=1e-5)
    assert scores["token_accuracy"] == pytest.approx(correct / tokens)
    assert scores["perplexity"] == pytest.approx(math.exp(loss / tokens), rel=1e-4)


def test_evaluation_does_not_depend_on_the_batch_size(class_data, tiny_bert, tmp_path):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=2), progress=False)
    one, many = (evaluate(tmp_path / "run", class_data, batch_size=size) for size in (1, 32))
    assert one["per_class"] == many["per_class"]
    assert one["loss"] == pytest.approx(many["loss"], rel=1e-5)
    json.dumps(many, allow_nan=False)


def test_the_baseline_is_the_majority_of_the_training_split(tmp_path, tiny_bert):
    rows = random_classes(40, 1)
    train_rows = [row for row in rows if row.labels == 2] + [row for row in rows if row.labels != 2][:4]
    test_rows = [row for row in random_classes(30, 2) if row.labels == 0] + [row for row in rows if row.labels == 2][:2]
    data = write_dataset(
        tmp_path / "data", Task.TEXT_CLASSIFICATION, {"train": train_rows, "test": test_rows}, label_names=LABELS
    )
    result = train(data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    assert (result.metric, result.scores, result.best_step) == (None, {}, result.steps)
    baseline = evaluate(tmp_path / "run", data)["baseline"]
    assert baseline["answer"] == "cat"
    assert baseline["accuracy"] == pytest.approx(2 / len(test_rows))


def test_the_best_checkpoint_is_kept_and_becomes_the_model(class_data, tiny_bert, tmp_path, monkeypatch):
    script_scores(monkeypatch, [0.1, 0.9, 0.3, 0.2, 0.4])
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=5, keep=1), progress=False)
    assert (result.best_step, result.steps, result.scores["macro_f1"]) == (16, 40, 0.9)
    assert list_checkpoints(tmp_path / "run") == [16, 40]
    saved, best = weights(tmp_path / "run"), weights(tmp_path / "run" / "checkpoint-16")
    last = weights(tmp_path / "run" / "checkpoint-40")
    assert all(torch.equal(saved[name], best[name]) for name in best)
    assert any(not torch.equal(saved[name], last[name]) for name in last)


def test_patience_counts_evaluations_without_a_better_metric(class_data, tiny_bert, tmp_path, monkeypatch):
    script_scores(monkeypatch, [0.5, 0.4, 0.6, 0.6, 0.1, 0.9])
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=9, patience=2), progress=False)
    assert (result.stopped_early, result.steps, result.best_step) == (True, 5 * 8, 3 * 8)
    again = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=9, patience=2), resume=True, progress=False)
    assert (again.stopped_early, again.steps) == (True, 5 * 8)


def test_a_lower_loss_is_better(class_data, tiny_bert, tmp_path, monkeypatch):
    losses = iter([0.5, 0.2, 0.4])
    monkeypatch.setattr(
        milestones, "score", lambda *_: Scores({"loss": next(losses), "accuracy": 0.0, "macro_f1": 0.0})
    )
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=3, metric="loss"), progress=False)
    assert (result.best_step, result.metric) == (16, "loss")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(class_data, dropout_bert, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(class_data, settings(dropout_bert, tmp_path / name, epochs=1, seed=seed), progress=False)
    first, same, other = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_accumulation_trains_the_same_model(turn_data, tiny_llama, tmp_path):
    for name, cut in (("one", (8, 1)), ("two", (2, 4))):
        wanted = settings(tiny_llama, tmp_path / name, epochs=1, batch_size=cut[0], accumulate=cut[1])
        train(turn_data, wanted, progress=False)
    one, two = (weights(tmp_path / name / "checkpoint-8") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)


def test_bfloat16_trains_with_float32_weights(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "run", epochs=6, precision="bf16")
    result = train(turn_data, wanted, progress=False)
    assert result.scores["loss"] < math.log(VOCABULARY) - 0.5
    assert {tensor.dtype for tensor in weights(tmp_path / "run" / "checkpoint-48").values()} == {torch.float32}


def test_a_loss_that_is_not_finite_names_its_rows_and_leaves_no_checkpoint(
    class_data, tiny_bert, tmp_path, monkeypatch
):
    original, calls = steps.add_gradients, []

    def explode(*args, **others):
        calls.append(np.concatenate([batch.rows for batch in args[2]]))
        loss = original(*args, **others)
        return loss * float("nan") if len(calls) == 3 else loss

    monkeypatch.setattr(steps, "add_gradients", explode)
    with pytest.raises(TrainingError, match="step 3: loss nan") as caught:
        train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    expected = {f"train:{row}" for row in calls[2]}
    named = str(caught.value).split("rows: ")[1].split(". Look")[0].split(", ")
    assert set(named) == expected
    assert list_checkpoints(tmp_path / "run") == []


def test_biases_and_norms_do_not_decay(tiny_bert, tmp_path):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    optimizer = make_optimizer(model, settings(tiny_bert, tmp_path, weight_decay=0.3))
    decays = {id(w): group["weight_decay"] for group in optimizer.param_groups for w in group["params"]}
    for name, weight in model.named_parameters():
        assert decays[id(weight)] == (0.0 if "bias" in name or "LayerNorm" in name else 0.3), name


def test_the_log_holds_what_was_measured(class_data, tiny_bert, tmp_path):
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=2, log_steps=4), progress=False)
    log = EventAccumulator(str(tmp_path / "run" / "logs"))
    log.Reload()
    assert [event.step for event in log.Scalars("train/loss")] == [4, 8, 12, 16]
    assert {"train/learning_rate", "train/grad_norm", "train/tokens_per_second"} <= set(log.Tags()["scalars"])
    logged = {event.step: event.value for event in log.Scalars("validation/macro_f1")}
    assert logged[result.best_step] == pytest.approx(result.scores["macro_f1"])


def test_lines_go_to_stderr_when_it_is_no_terminal(class_data, tiny_bert, tmp_path, capsys):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, log_steps=4))
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith(("Writing model shards", "Loading"))]
    assert out == ""
    assert [line.split("  ")[0] for line in lines] == ["step 4/8", "step 8/8", "step 8/8"]
    assert "tokens/s" in lines[0]
    assert "macro_f1" in lines[2]


def test_a_bar_shows_steps_loss_and_speed(class_data, tiny_bert, tmp_path, capsys):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, log_steps=4), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "8/8" in err
    assert "loss" in err


def test_ctrl_c_says_how_to_go_on(class_data, tiny_bert, tmp_path, monkeypatch, capsys):
    original, calls = loop.take_step, []

    def interrupt(*args):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(loop, "take_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, save_steps=2))
    assert "stopped after step 5; the same command with --resume goes on after step 4" in capsys.readouterr().err


def test_a_directory_that_is_not_a_run_is_refused(class_data, tiny_bert, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(OutputError, match=r"not a run of sftdata: it holds thesis\.txt"):
        train(class_data, settings(tiny_bert, tmp_path / "mine"), resume=True, progress=False)
    with pytest.raises(OutputError, match="is a file"):
        train(class_data, settings(tiny_bert, tmp_path / "mine" / "thesis.txt"), progress=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_run_is_not_overwritten_unless_it_is_resumed(class_data, tiny_bert, tmp_path):
    train(class_data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)
    with pytest.raises(TrainingError, match=r"already holds a run.*--resume.*--out"):
        train(class_data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "/nowhere/at/all"}, "found '/nowhere/at/all', expected a directory with config.json"),
        ({"metric": "f2"}, "macro_f1, accuracy, loss"),
        ({"lora": {"target_modules": ["nothing"]}}, "train.lora.target_modules"),
        ({"device": "cuda"}, "torch sees no GPU"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(class_data, tiny_bert, tmp_path, change, message):
    if "device" in change and torch.cuda.is_available():
        change = {"metric": "f2"}
        message = "macro_f1"
    with pytest.raises(TrainingError, match=message):
        train(class_data, settings(tiny_bert, tmp_path / "run").model_copy(update=_typed(change)), progress=False)
    assert not (tmp_path / "run").exists()


def _typed(change):
    from sftdata.settings.training import LoraSettings

    return {key: LoraSettings(**value) if key == "lora" else value for key, value in change.items()}


@pytest.mark.parametrize(("name", "value"), [("patience", 2), ("metric", "loss")])
def test_what_needs_a_validation_split_is_refused_without_one(tiny_bert, tmp_path, name, value):
    splits = {"train": random_classes(10, 1), "validation": []}
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)
    with pytest.raises(TrainingError, match=f"train.{name} needs a validation split with rows"):
        train(data, settings(tiny_bert, tmp_path / "run", **{name: value}), progress=False)


def test_a_vocabulary_that_the_model_does_not_embed_is_refused(tiny_bert, tmp_path):
    splits = {"train": random_classes(10, 1)}
    data = write_dataset(tmp_path / "d", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS, vocab_size=62)
    with pytest.raises(TrainingError, match=f"vocabulary of 62, but .* embeds {VOCABULARY} tokens"):
        train(data, settings(tiny_bert, tmp_path / "run"), progress=False)


def test_an_example_that_is_longer_than_the_model_takes_is_refused(tiny_bert, tmp_path):
    splits = {"train": [*random_classes(3, 1), Example([5] * 33, 0)]}
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)
    with pytest.raises(TrainingError, match=r"longest example has 33 tokens, but .* takes 32.*max_length to 32"):
        train(data, settings(tiny_bert, tmp_path / "run"), progress=False)


def test_an_unfinished_or_empty_dataset_is_refused(tiny_bert, tmp_path, class_data):
    with pytest.raises(VerificationError):
        train(tmp_path / "nothing", settings(tiny_bert, tmp_path / "run"), progress=False)
    splits = {"train": [], "test": random_classes(3, 1)}
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)
    with pytest.raises(DataError, match="the train split has no rows"):
        train(data, settings(tiny_bert, tmp_path / "run"), progress=False)


def test_only_a_finished_run_can_be_used_and_only_with_its_own_kind_of_data(class_data, turn_data, tiny_bert, tmp_path):
    with pytest.raises(TrainingError, match="is not a run"):
        evaluate(tmp_path, class_data)
    train(class_data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)
    with pytest.raises(TrainingError, match="task causal_lm, the run was trained with text_classification"):
        evaluate(tmp_path / "run", turn_data)
    with pytest.raises(VerificationError, match="no split 'dev'"):
        evaluate(tmp_path / "run", class_data, "dev")
    record = tmp_path / "run" / "sftdata_run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    with pytest.raises(TrainingError, match=r"unfinished run.*--resume"):
        predict(tmp_path / "run", ["text"])


def test_the_package_can_be_imported_without_torch_and_train_says_what_to_install(tmp_path):
    code = """
import sys
for name in ("torch", "transformers", "peft"): sys.modules[name] = None
import importlib.util
find = importlib.util.find_spec
import sftdata.plan, sftdata.training as training
training.find_spec = lambda name: None if name == "torch" else object()
from sftdata.settings.training import TrainSettings
from sftdata.errors import TrainingError
try:
    training.train("data", TrainSettings(model="m", output_dir="o"))
except TrainingError as error:
    assert error.exit_code == 2
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert "torch, not installed here: pip install 'sftdata[train]'" in done.stdout


def test_a_split_without_trained_tokens_in_a_row_is_refused(tiny_llama, tmp_path):
    rows = [*random_turns(5, 1), Example([4, 5, 6], [4, -100, -100])]
    data = write_dataset(tmp_path / "data", Task.CAUSAL_LM, {"train": rows})
    with pytest.raises(DataError, match=r"1 of 6 rows train nothing.*train:5"):
        train(data, settings(tiny_llama, tmp_path / "run"), progress=False)


def test_the_tokenizer_that_made_the_data_goes_with_the_run(tiny_bert, tmp_path):
    data = write_dataset(
        tmp_path / "data", Task.TEXT_CLASSIFICATION, {"train": random_classes(8, 1)}, label_names=LABELS
    )
    (data / "tokenizer").mkdir()
    (data / "tokenizer" / "tokenizer.json").write_text("of the data")
    (data / "tokenizer" / "chat_template.jinja").write_text("in force")
    train(data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)
    assert (tmp_path / "run" / "tokenizer.json").read_text() == "of the data"
    assert (tmp_path / "run" / "chat_template.jinja").read_text() == "in force"
