"""Adapters in all forms: they load in plain peft, merged ones in plain transformers, both say what was scored."""

import json
import shutil
from importlib import util

import numpy as np
import peft
import pytest
import torch
import transformers
from huggingface_hub import constants
from tiny import LABELS, VOCABULARY, settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, train
from sftdata.training.adapters import add_adapters, saving_options
from sftdata.training.examples import Examples
from sftdata.training.finished import load_run
from sftdata.training.models import fit_config, load_weights, quiet_transformers, read_config
from sftdata.training.run import read_run
from sftdata.training.scoring import run_model

HAS_BITS = util.find_spec("bitsandbytes") is not None
needs_bits = pytest.mark.skipif(not HAS_BITS, reason="bitsandbytes is not installed")


@pytest.fixture(scope="module")
def wide_llama(tmp_path_factory):
    """Wide enough for the blocks of 64 values that are quantised together; all weights count."""
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=32,
        initializer_range=0.1,
    )
    model = transformers.LlamaForCausalLM(config)
    return save(model, tmp_path_factory.mktemp("wide"))


def save(model, directory):
    model.save_pretrained(directory)
    return directory


def plain_loss(model, data):
    """The loss of the validation part by a model that neither sftdata nor its record has loaded."""
    outputs = run_model(model, Examples(load_split(data, "validation")), batch_size=16, bf16=False)
    return outputs.loss_sum / outputs.counts.sum()


def load_plain(base, adapter, kind=transformers.AutoModelForCausalLM, **given):
    with quiet_transformers():
        return peft.PeftModel.from_pretrained(kind.from_pretrained(base, dtype=torch.float32, **given), adapter).eval()


def open_run(run):
    with quiet_transformers():
        return load_run(run, read_run(run), torch.device("cpu"))[0]


VARIANTS = [
    {},
    {"use_rslora": True, "alpha": 4},
    {"use_dora": True},
    {"modules_to_save": ("lm_head",)},
    {"modules_to_save": ("embed_tokens", "lm_head"), "target_modules": ("q_proj", "v_proj")},
]


@pytest.mark.parametrize("lora", VARIANTS)
def test_both_forms_of_a_merged_run_say_what_was_scored(turn_data, wide_llama, tmp_path, lora):
    run, wanted = tmp_path / "run", {"r": 4, "merge": True, **lora}
    result = train(turn_data, settings(wide_llama, run, epochs=2, lora=wanted), progress=False)
    loss = pytest.approx(result.scores["loss"], rel=1e-4)
    with quiet_transformers():
        merged, found = transformers.AutoModelForCausalLM.from_pretrained(run, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    assert plain_loss(merged, turn_data) == loss
    assert plain_loss(load_plain(wide_llama, run / "adapter"), turn_data) == loss
    assert evaluate(run, turn_data, "validation")["loss"] == loss
    assert not (run / "adapter_config.json").exists()
    shape = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert {name: shape[name] for name in ("use_rslora", "use_dora")} == {
        "use_rslora": False,
        "use_dora": False,
        **{name: value for name, value in lora.items() if name.startswith("use_")},
    }
    assert "library_name: transformers" in (run / "README.md").read_text()


def test_a_head_that_is_trained_beside_its_tied_embeddings_is_kept_apart(turn_data, tiny_llama, tmp_path):
    run, wanted = tmp_path / "run", {"r": 2, "merge": True, "modules_to_save": ("lm_head",)}
    result = train(turn_data, settings(tiny_llama, run, epochs=2, lora=wanted), progress=False)
    assert json.loads((run / "config.json").read_text())["tie_word_embeddings"] is False
    assert not torch.equal(weights(run)["lm_head.weight"], weights(run)["model.embed_tokens.weight"])
    assert evaluate(run, turn_data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-4)


def test_a_finished_run_is_merged_by_resuming_it_with_merge(turn_data, tiny_llama, tmp_path):
    run = tmp_path / "run"
    result = train(turn_data, settings(tiny_llama, run, max_steps=2, lora={"r": 2}), progress=False)
    assert (run / "adapter_config.json").exists()
    wanted = settings(tiny_llama, run, max_steps=2, lora={"r": 2, "merge": True})
    again = train(turn_data, wanted, resume=True, progress=False)
    assert again.resumed_from == result.steps == 2
    assert not (run / "adapter_config.json").exists()
    with quiet_transformers():
        merged = transformers.AutoModelForCausalLM.from_pretrained(run)
    assert plain_loss(merged, turn_data) == pytest.approx(result.scores["loss"], rel=1e-4)


def test_a_merged_classifier_keeps_its_new_head(class_data, tiny_bert, tmp_path):
    run = tmp_path / "run"
    result = train(class_data, settings(tiny_bert, run, epochs=2, lora={"r": 2, "merge": True}), progress=False)
    assert evaluate(run, class_data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-4)
    with quiet_transformers():
        _, found = transformers.AutoModelForSequenceClassification.from_pretrained(run, output_loading_info=True)
    assert not found["missing_keys"]


def test_modules_that_are_not_there_are_told(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "run", lora={"modules_to_save": ("lm_hed",)})
    with pytest.raises(TrainingError, match=r"modules_to_save: the model has no module lm_hed; it has .*lm_head"):
        train(turn_data, wanted, progress=False)


def quantized(model, output_dir, **others):
    lora = {"r": 4, "quantize": "nf4", **others.pop("lora", {})}
    return settings(model, output_dir, lora=lora, **others)


def test_without_bitsandbytes_quantization_is_refused_in_plain_words(turn_data, wide_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("sftdata.training.quantization.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"needs bitsandbytes, .* pip install 'sftdata\[qlora\]'"):
        train(turn_data, quantized(wide_llama, tmp_path / "run"), progress=False)


@needs_bits
def test_frozen_weights_are_kept_in_4_bits_and_adapters_load_in_peft(turn_data, wide_llama, tmp_path):
    run = tmp_path / "run"
    begun = train(turn_data, quantized(wide_llama, tmp_path / "a", max_steps=1, learning_rate=1e-9), progress=False)
    result = train(turn_data, quantized(wide_llama, run, epochs=3), progress=False)
    assert result.scores["loss"] < 0.8 * begun.scores["loss"]
    model = open_run(run)
    layer = model.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert (type(layer).__name__, layer.weight.dtype) == ("Linear4bit", torch.uint8)
    assert layer.weight.numel() * 2 == 96 * 64
    loss = pytest.approx(result.scores["loss"], rel=1e-5)
    assert evaluate(run, turn_data, "validation")["loss"] == loss
    four = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    plain = load_plain(wide_llama, run, quantization_config=four)
    for module in plain.modules():  # else this machine may compute in bfloat16
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    assert plain_loss(plain, turn_data) == loss


@needs_bits
def test_weights_in_4_bits_say_the_same_in_training_and_in_evaluation(turn_data, wide_llama, tmp_path):
    train(turn_data, quantized(wide_llama, tmp_path / "run", max_steps=2), progress=False)
    model = open_run(tmp_path / "run")
    ids = torch.randint(0, VOCABULARY, (2, 9))
    with torch.no_grad():
        evaluated = model.eval()(input_ids=ids).logits
    assert torch.equal(model.train()(input_ids=ids).logits, evaluated)


@needs_bits
def test_a_quantized_run_is_merged_into_what_it_computed_with(turn_data, wide_llama, tmp_path):
    run = tmp_path / "run"
    result = train(turn_data, quantized(wide_llama, run, epochs=2, lora={"merge": True}), progress=False)
    assert {weight.dtype for weight in weights(run).values()} == {torch.float32}
    assert "quantization_config" not in json.loads((run / "config.json").read_text())
    assert evaluate(run, turn_data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-4)
    begun, kept = weights(wide_llama), weights(run)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.allclose(kept[name], begun[name], atol=1e-3)
    assert np.corrcoef(kept[name].flatten(), begun[name].flatten())[0, 1] > 0.9


@needs_bits
def test_a_quantized_run_resumes_bit_by_bit(turn_data, wide_llama, tmp_path):
    wanted = {"max_steps": 6, "save_steps": 3, "lora": {"dropout": 0.1}}
    train(turn_data, quantized(wide_llama, tmp_path / "whole", **wanted), progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoint-6")
    result = train(turn_data, quantized(wide_llama, tmp_path / "broken", **wanted), resume=True, progress=False)
    assert result.resumed_from == 3
    whole, broken = (weights(tmp_path / name, "adapter_model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@needs_bits
def test_a_classifier_on_weights_in_4_bits_trains_its_head(class_data, tiny_bert, tmp_path):
    result = train(class_data, quantized(tiny_bert, tmp_path / "run", epochs=2), progress=False)
    loss = evaluate(tmp_path / "run", class_data, "validation")["loss"]
    assert loss == pytest.approx(result.scores["loss"], rel=1e-5)


def test_dora_and_rank_stabilised_scales_are_what_peft_makes_of_them(tiny_llama):
    config = fit_config(read_config(str(tiny_llama)), Task.CAUSAL_LM, LABELS)
    wanted = settings(tiny_llama, tiny_llama, lora={"r": 4, "alpha": 8, "use_rslora": True, "use_dora": True}).lora
    with quiet_transformers():
        model = add_adapters(load_weights(str(tiny_llama), config, Task.CAUSAL_LM), wanted, Task.CAUSAL_LM)
    layer = model.get_base_model().model.layers[0].mlp.up_proj
    assert layer.scaling["default"] == 8 / 2
    assert "default" in layer.lora_magnitude_vector


def test_a_base_in_the_cache_of_the_hub_is_enough_without_a_network(
    turn_data, tiny_llama, tmp_path, monkeypatch, capfd
):
    home = tmp_path / "cache" / "models--team--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny_llama, home / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    wanted = settings("team/name", tmp_path / "run", epochs=1, max_steps=2, save_steps=1, lora={"r": 2})
    train(turn_data, wanted, progress=False)  # where a warning is an error
    assert evaluate(tmp_path / "run", turn_data, "validation")["loss"] > 0
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`", "ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize("targets", [("q_proj",), ("embed_tokens", "q_proj"), ("lm_head",), "all-linear"])
def test_adapters_are_saved_with_the_embeddings_that_peft_would_save(tiny_llama, targets):
    config = fit_config(read_config(str(tiny_llama)), Task.CAUSAL_LM, None)
    wanted = settings(tiny_llama, tiny_llama, lora={"target_modules": targets}).lora
    with quiet_transformers():
        model = add_adapters(load_weights(str(tiny_llama), config, Task.CAUSAL_LM), wanted, Task.CAUSAL_LM)
    by_itself = peft.get_peft_model_state_dict(model)
    assert peft.get_peft_model_state_dict(model, **saving_options(model)).keys() == by_itself.keys()
    assert any("base_layer" in name for name in by_itself) == (targets not in (("q_proj",), "all-linear"))
