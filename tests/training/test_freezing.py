"""Frozen weights stay bit by bit what they were, in no optimiser, whatever the run."""

import shutil

import pytest
import torch
from test_distributed import train_on
from tiny import LABELS, random_classes, settings, weights, write_dataset

from sftdata.errors import RecipeError, TrainingError
from sftdata.manifest import read_manifest
from sftdata.recipe import load_recipe
from sftdata.records import Task
from sftdata.training import train
from sftdata.training.models import quiet_transformers, read_config
from sftdata.training.optimization import make_optimizer
from sftdata.training.session import build_model

PATTERNS = ("model.embed_tokens.*", "model.layers.0.*", "model.norm.weight")


def is_frozen(name):
    return name.startswith(("model.embed_tokens.", "model.layers.0.")) or name == "model.norm.weight"


def assert_only_these_moved(begun, found):
    moved = {name for name in begun if not torch.equal(begun[name].float(), found[name])}
    assert moved == {name for name in begun if not is_frozen(name)}
    assert 0 < len(moved) < len(begun)


def test_frozen_weights_stay_and_the_others_move(turn_data, tiny_llama, tmp_path):
    train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=1, freeze=PATTERNS), progress=False)
    assert_only_these_moved(weights(tiny_llama), weights(tmp_path / "run"))


def test_the_optimizer_holds_none_of_them(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "run", freeze=PATTERNS)
    with quiet_transformers():
        model = build_model(wanted, read_config(str(tiny_llama)), read_manifest(turn_data), onto=torch.device("cpu"))
    held = {id(weight) for group in make_optimizer(model, wanted).param_groups for weight in group["params"]}
    names = {name for name, weight in model.named_parameters() if id(weight) in held}
    assert names == {name for name, _ in model.named_parameters() if not is_frozen(name)}


def test_a_resumed_run_ends_bit_by_bit_where_an_unbroken_one_does(turn_data, tiny_llama, tmp_path):
    wanted = {"max_steps": 6, "save_steps": 3, "freeze": PATTERNS}
    train(turn_data, settings(tiny_llama, tmp_path / "whole", **wanted), progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoint-6")
    result = train(turn_data, settings(tiny_llama, tmp_path / "broken", **wanted), resume=True, progress=False)
    assert result.resumed_from == 3
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    other = settings(tiny_llama, tmp_path / "broken", **{**wanted, "freeze": PATTERNS[:1]})
    with pytest.raises(TrainingError, match="freeze: the checkpoint has"):
        train(turn_data, other, resume=True, progress=False)


def test_two_ranks_leave_them_alone_too(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "two", max_steps=3, freeze=PATTERNS)
    train_on(2, turn_data, wanted, tmp_path / "log")
    assert_only_these_moved(weights(tiny_llama), weights(tmp_path / "two"))


def test_a_frozen_body_leaves_the_new_head_of_each_fold(tiny_bert, tmp_path):
    splits = {"train": random_classes(40, 1), "test": random_classes(10, 2)}
    data = write_dataset(tmp_path / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS, folds=2)
    train(data, settings(tiny_bert, tmp_path / "run", epochs=1, freeze=["bert.*"]), progress=False)
    body = weights(tiny_bert)
    for fold in ("fold-0", "fold-1"):
        found = weights(tmp_path / "run" / fold)
        assert all(torch.equal(found[f"bert.{name}"], body[name]) for name in body)
    heads = [weights(tmp_path / "run" / fold)["classifier.weight"] for fold in ("fold-0", "fold-1")]
    assert not torch.equal(*heads)


def test_tied_weights_go_by_both_names(turn_data, tiny_llama, tmp_path):
    train(turn_data, settings(tiny_llama, tmp_path / "run", max_steps=2, freeze=["lm_head.*"]), progress=False)
    begun, found = weights(tiny_llama), weights(tmp_path / "run")
    name = "model.embed_tokens.weight"
    assert torch.equal(begun[name].float(), found[name])
    assert any(not torch.equal(begun[name].float(), found[name]) for name in begun)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["model.embed_tokens"], "'model.embed_tokens' matches no weight; did you mean 'model.embed_tokens.*'?"),
        (["bert.*"], "'bert.*' matches no weight; "),
        (["*"], "train.freeze: * freezes all weights"),
        (["model.*"], "train.freeze: model.* freezes all weights"),
    ],
)
def test_a_pattern_that_fits_nothing_or_everything_is_refused(turn_data, tiny_llama, tmp_path, patterns, expected):
    with pytest.raises(TrainingError) as caught:
        train(turn_data, settings(tiny_llama, tmp_path / "run", freeze=patterns), progress=False)
    assert expected in str(caught.value)


def test_adapters_freeze_by_themselves(tmp_path):
    recipe = (
        "{task: causal_lm, schema: alpaca, sources: [{path: a.jsonl}], tokenize: {tokenizer: t}, output: {dir: o}, "
    )
    (tmp_path / "recipe.yaml").write_text(recipe + "train: {model: m, output_dir: r, lora: {r: 2}, freeze: ['a.*']}}")
    with pytest.raises(RecipeError, match=r"train\.lora: adapters freeze all other weights; leave freeze out"):
        load_recipe(tmp_path / "recipe.yaml")
