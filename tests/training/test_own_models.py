"""Any module is trained, saved, resumed, evaluated and used: what a function that the recipe names returns."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import own_lstm
import pytest
import torch
from test_gradients import assert_same, first_step, gradients, reference_gradients
from tiny import VOCABULARY, random_classes, random_turns, settings, weights, write_dataset

from sftdata.errors import TrainingError
from sftdata.manifest import read_manifest
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, train
from sftdata.training.checkpoint import checkpoint_path, list_checkpoints
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss
from sftdata.training.models import load_weights
from sftdata.training.opening import open_config
from sftdata.training.run import read_run
from sftdata.training.steps import add_gradients

HERE = Path(__file__).parent
FUNCTIONS = {
    Task.CAUSAL_LM: "write",
    Task.TEXT_CLASSIFICATION: "classify",
    Task.MULTILABEL: "classify",
    Task.REGRESSION: "classify",
    Task.TOKEN_CLASSIFICATION: "tag",
}


def own(function, output_dir, **others):
    return settings(HERE / f"own_lstm:{function}", output_dir, **others)


@pytest.fixture(params=FUNCTIONS)
def task(request):
    return request.param


class Alone(torch.nn.Module):
    """Calls a module of one's own as the reference loop calls a model."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, input_ids):
        taken = {"attention_mask": torch.ones_like(input_ids)} if isinstance(self.module, own_lstm.Reader) else {}
        found = self.module(input_ids=input_ids, **taken)
        return SimpleNamespace(logits=found if isinstance(found, torch.Tensor) else found.logits)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(1, 8), (4, 2)])
def test_a_step_has_the_gradient_of_a_sample_by_sample_loop(task, task_data, tmp_path, batch_size, accumulate):
    data = task_data[task]
    torch.manual_seed(0)
    config = open_config(data, own(FUNCTIONS[task], tmp_path))
    model, split = load_weights(str(HERE / "own_lstm:any"), config, task), load_split(data)
    loaded = first_step(Examples(split), batch_size=batch_size, accumulate=accumulate)
    model.train()
    loss = add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(Alone(model.module), split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)


def test_every_task_but_seq2seq_is_trained_and_evaluated(task, task_data, tmp_path):
    data, run = task_data[task], tmp_path / "run"
    begun = train(data, own(FUNCTIONS[task], tmp_path / "begun", max_steps=1, learning_rate=1e-9), progress=False)
    result = train(data, own(FUNCTIONS[task], run, epochs=8, learning_rate=2e-2), progress=False)
    assert result.scores["loss"] < 0.9 * begun.scores["loss"]
    assert evaluate(run, data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-5)
    assert not (run / "config.json").exists()
    card = (run / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: pytorch\n"), "no base model that a hub would know"
    assert f"from `{HERE / 'own_lstm'}:{FUNCTIONS[task]}`" in card
    module = getattr(own_lstm, FUNCTIONS[task])
    names = read_manifest(data).label_names or ("score",)
    plain = module(VOCABULARY) if task == Task.CAUSAL_LM else module(VOCABULARY, names)
    plain.load_state_dict(weights(run))  # by its own names, without sftdata


def test_seq2seq_is_refused(task_data, tmp_path):
    with pytest.raises(TrainingError, match="seq2seq trains encoder-decoders of transformers alone"):
        train(task_data[Task.SEQ2SEQ], own("write", tmp_path / "run"), progress=False)


def test_weights_come_from_the_seed_alone_and_arguments_reach_the_function(turn_data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        given = {"max_steps": 1, "seed": seed, "model_arguments": {"width": 20}, "learning_rate": 1e-9}
        train(turn_data, own("write", tmp_path / name, **given), progress=False)
    first, same, other = (weights(tmp_path / name)["head.weight"] for name in "abc")
    assert first.shape == (VOCABULARY, 20)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_a_resumed_run_ends_bit_by_bit_where_an_unbroken_one_does(turn_data, tmp_path):
    wanted = {"epochs": 3, "save_steps": 2, "keep": 20, "model_arguments": {"dropout": 0.3}}
    train(turn_data, own("write", tmp_path / "whole", **wanted), progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    steps = list_checkpoints(tmp_path / "broken")
    middle = steps[len(steps) // 2]
    for step in steps:
        if step > middle:
            shutil.rmtree(checkpoint_path(tmp_path / "broken", step))
    result = train(turn_data, own("write", tmp_path / "broken", **wanted), resume=True, progress=False)
    assert result.resumed_from == middle < result.steps
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    wanted["model_arguments"] = {"dropout": 0.1}
    with pytest.raises(TrainingError, match="model_arguments: the checkpoint has"):
        train(turn_data, own("write", tmp_path / "broken", **wanted), resume=True, progress=False)


def test_folds_answer_together(tmp_path):
    splits, names = {"train": random_classes(40, 1), "test": random_classes(10, 2)}, ("ant", "bee", "cat")
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=names, folds=2)
    train(data, own("classify", tmp_path / "run", epochs=1), progress=False)
    told = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert len(told["scores"]["macro_f1"]["values"]) == 2


def test_what_a_model_writes_is_greedy_whatever_stands_beside_it(turn_data, tmp_path):
    config = open_config(turn_data, own("write", tmp_path)).model_copy(update={"eos_token_id": 7})
    torch.manual_seed(2)
    model = load_weights("own", config, Task.CAUSAL_LM).eval()
    torch.nn.init.normal_(model.module.embed.weight)
    texts = [[5, 6], [9], [11, 12, 13, 14]]
    padded, mask = np.zeros((3, 4), dtype=np.int64), np.zeros((3, 4), dtype=np.int64)
    for line, ids in enumerate(texts):
        padded[line, 4 - len(ids) :], mask[line, 4 - len(ids) :] = ids, 1
    given = {"input_ids": torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}
    with torch.no_grad():
        found = model.generate(**given, max_new_tokens=6)[:, 4:].tolist()
        for line, ids in enumerate(texts):
            written = list(ids)
            while len(written) < len(ids) + 6 and written[-1] != 7:
                written.append(int(model.module(torch.tensor([written]))[0, -1].argmax()))
            assert found[line][: len(written) - len(ids)] == written[len(ids) :]
    assert len({tuple(line) for line in found}) > 1


def test_another_process_in_another_folder_makes_the_model_again(turn_data, tmp_path):
    shutil.copy(HERE / "own_lstm.py", tmp_path / "my_own_lstm.py")
    (tmp_path / "elsewhere").mkdir()
    program = (
        "import json, sys; from sftdata.settings.training import TrainSettings; from sftdata.training import *\n"
        "data, asked = sys.argv[1], json.loads(sys.argv[2])\n"
        "if asked: train(data, TrainSettings(**asked), progress=False)\n"
        "else: print(json.dumps(evaluate(sys.argv[3], data, device='cpu')))"
    )
    wanted = {"model": "my_own_lstm:write", "output_dir": "run", "max_steps": 3, "device": "cpu"}

    def run(folder, asked, name):
        arguments = [sys.executable, "-W", "ignore", "-c", program, str(turn_data), json.dumps(asked), name]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, env={**os.environ})
        return done.stdout, done.stderr

    assert run(tmp_path, wanted, "")[1] == ""
    scores = json.loads(run(tmp_path / "elsewhere", None, "../run")[0])
    assert scores["rows"] == 25
    assert read_run(tmp_path / "run").scores["loss"] > 0
    module = tmp_path / "my_own_lstm.py"
    module.write_text(module.read_text() + "\n")
    _, told = run(tmp_path / "elsewhere", None, "../run")
    assert f"{module}, which makes the model (my_own_lstm:write), has changed since it was trained. Put back" in told
    module.unlink()
    assert f"there is no module 'my_own_lstm' in {tmp_path} or" in run(tmp_path / "elsewhere", None, "../run")[1]


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("nothing", {}, "has no 'nothing'"),
        ("nn", {}, "own_lstm:nn is module, expected a function"),
        ("raise_at_once", {}, f"own_lstm:raise_at_once failed with RuntimeError: no {VOCABULARY} ("),
        ("make_nothing", {}, "own_lstm:make_nothing returned int, expected an nn.Module with weights"),
        ("wrong_shape", {}, "returned logits of shape [2, 4, 61], expected [2, 5, 61] here: lines, tokens, outputs"),
        ("BothWays", {}, "gives an example other logits when padding stands to the right of it"),
        ("other_input", {}, "failed with TypeError: "),
        ("FewPositions", {}, "failed with IndexError: "),
        (
            "write",
            {"widht": 3},
            "model_arguments: own_lstm:write(vocab_size, width=12, dropout=0.0): got an unexpected",
        ),
        ("write", {"vocab_size": 3}, "model_arguments: vocab_size is known from the data; leave it out"),
    ],
)
def test_what_a_person_gets_wrong_is_told_in_plain_words(turn_data, tmp_path, function, arguments, expected):
    with pytest.raises(TrainingError) as caught:
        train(turn_data, own(function, tmp_path / "run", model_arguments=arguments), progress=False)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [({"lora": {}}, "train.lora: only models of"), ({"gradient_checkpointing": True}, "train.gradient_checkpointing:")],
)
def test_what_only_models_of_transformers_have_is_refused(turn_data, tmp_path, wanted, expected):
    with pytest.raises(TrainingError, match=expected):
        train(turn_data, own("write", tmp_path / "run", **wanted), progress=False)


def test_arguments_without_a_function_and_weights_without_one_are_refused(turn_data, tiny_llama, tmp_path):
    with pytest.raises(TrainingError, match="model_arguments: only a function"):
        train(turn_data, settings(tiny_llama, tmp_path / "a", model_arguments={"width": 3}), progress=False)
    train(turn_data, own("write", tmp_path / "b", max_steps=1), progress=False)
    with pytest.raises(TrainingError, match="holds the weights of own_lstm:write, a model of one"):
        train(turn_data, settings(tmp_path / "b", tmp_path / "c"), progress=False)


@pytest.mark.parametrize("damage", ["weights", "record"])
def test_a_damaged_run_is_told(turn_data, tmp_path, damage):
    train(turn_data, own("write", tmp_path / "run", max_steps=1), progress=False)
    name = {"weights": "model.safetensors", "record": "own_model.json"}[damage]
    (tmp_path / "run" / name).write_bytes((tmp_path / "run" / name).read_bytes()[:-40])
    with pytest.raises(TrainingError, match=name):
        evaluate(tmp_path / "run", turn_data)


def test_packs_go_through_in_rows(tmp_path):
    splits = {"train": random_turns(40, 1), "validation": random_turns(10, 2)}
    data = write_dataset(tmp_path / "data", Task.CAUSAL_LM, splits)
    result = train(data, own("write", tmp_path / "run", pack=40, batch_size=2, epochs=1), progress=False)
    assert result.steps > 3
