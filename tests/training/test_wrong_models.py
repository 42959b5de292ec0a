"""A person's mistake with a model is one message through the command line: what was found, and what to do."""

import gc
import json
import shutil
import sys

import pytest
import torch
import transformers
from tiny import LABELS, VOCABULARY, settings, weights

from sftdata.cli import main
from sftdata.training import evaluate, train

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture
def refuse(tmp_path, monkeypatch, capfd):
    """Train through the command line; return the message, in one line."""

    def train_and_fail(data, model) -> str:
        monkeypatch.setattr(gc, "set_threshold", lambda *_: None)  # for one process, not for all tests
        arguments = ["train", "--data", str(data), "--model", str(model), "--out", str(tmp_path / "run")]
        monkeypatch.setattr(sys, "argv", ["sftdata", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert err.startswith("error: ")
        assert not (tmp_path / "run").exists()
        return " ".join(err.split())

    return train_and_fail


def test_a_path_that_does_not_exist(refuse, turn_data, tmp_path):
    message = refuse(turn_data, tmp_path / "nowhere")
    assert f"found '{tmp_path}/nowhere', expected a directory with config.json or the name of a model" in message


def test_a_directory_without_a_configuration(refuse, turn_data, tmp_path):
    (tmp_path / "model").mkdir()
    assert "has no config.json; it holds nothing. Give a directory that" in refuse(turn_data, tmp_path / "model")
    (tmp_path / "model" / "weights.bin").write_text("")
    assert "has no config.json; it holds weights.bin." in refuse(turn_data, tmp_path / "model")


def test_a_configuration_that_is_damaged_or_of_an_unknown_model(refuse, turn_data, tiny_llama, tmp_path):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    for content, expected in (
        ("{", "is not a valid JSON file"),
        ('{"model_type": "of tomorrow"}', "model type `of tomorrow`"),
        ('{"model_type": "llama", "num_attention_heads": "x"}', "field 'num_attention_heads'"),
    ):
        (model / "config.json").write_text(content)
        assert expected in refuse(turn_data, model)


def test_a_file_of_weights(refuse, turn_data, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    message = refuse(turn_data, tmp_path / "model.safetensors")
    assert "model.safetensors' is a file; weights in one file lack what training needs, unless it is .gguf." in message
    assert message.endswith("Give the directory or the hub's name of the model that it was made from.")


def test_adapters_without_their_model(refuse, turn_data, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "adapter_config.json").write_text("{}")
    assert "holds adapters, no model. Merge them into their model" in refuse(turn_data, tmp_path / "model")


@pytest.mark.parametrize("length", [0, 4, 500, -8])
def test_weights_that_are_cut(refuse, turn_data, tiny_llama, tmp_path, length):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:length])
    message = refuse(turn_data, model)
    assert f"the weights of '{model}' cannot be loaded for causal_lm (" in message
    assert "if a file is damaged" in message


def test_weights_that_are_not_there_or_no_weights(refuse, turn_data, tiny_llama, tmp_path):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    (model / "model.safetensors").unlink()
    assert "cannot be loaded for causal_lm (Error no file named model.safetensors" in refuse(turn_data, model)
    (model / "pytorch_model.bin").write_text("no pickle")
    assert "cannot be loaded for causal_lm (" in refuse(turn_data, model)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_hidden_layers": 3}, "lack 9 of the model's tensors, such as model.layers.2."),
        ({"intermediate_size": 48}, "have other shapes than config.json says for 6 of the model's tensors, such as "),
    ],
)
def test_weights_that_are_not_all_there_are_not_drawn_at_random(
    refuse, turn_data, tiny_llama, tmp_path, change, expected
):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | change))
    assert expected in refuse(turn_data, model)


def test_a_language_model_without_its_head(refuse, turn_data, tmp_path):
    config = transformers.LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=32, **SIZES)
    transformers.LlamaModel(config).save_pretrained(tmp_path / "model")
    assert "lack 1 of the model's tensors, such as lm_head.weight" in refuse(turn_data, tmp_path / "model")


def test_an_encoder_learns_no_text(refuse, turn_data, tiny_bert, tmp_path):
    message = refuse(turn_data, tiny_bert)
    assert (
        f"'{tiny_bert}' (bert) is an encoder: each of its tokens sees the ones that it would have to predict" in message
    )


@pytest.mark.parametrize("kind", [transformers.T5Config, transformers.BartConfig])
def test_an_encoder_decoder_is_no_decoder(refuse, turn_data, tmp_path, kind):
    kind(vocab_size=VOCABULARY).save_pretrained(tmp_path / "model")
    assert "is an encoder-decoder, which learns targets from sources" in refuse(turn_data, tmp_path / "model")


def test_a_model_that_has_no_classifier(refuse, class_data, tmp_path):
    transformers.CLIPTextConfig(vocab_size=VOCABULARY).save_pretrained(tmp_path / "model")
    assert "cannot be loaded for text_classification (" in refuse(class_data, tmp_path / "model")


def test_an_encoder_that_decodes_learns_text(turn_data, tmp_path):
    config = transformers.BertConfig(vocab_size=VOCABULARY, is_decoder=True, max_position_embeddings=32, **SIZES)
    transformers.BertLMHeadModel(config).save_pretrained(tmp_path / "model")
    train(turn_data, settings(tmp_path / "model", tmp_path / "run", max_steps=1), progress=False)


def make_classifier(directory, names):
    """A fine-tuned classifier whose head nobody would draw: all of it is 7."""
    config = transformers.BertConfig(vocab_size=VOCABULARY, max_position_embeddings=32, **SIZES)
    config.id2label = dict(enumerate(names))
    model = transformers.BertForSequenceClassification(config)
    torch.nn.init.constant_(model.classifier.weight, 7)
    model.save_pretrained(directory)
    return directory


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (LABELS, True),
        (("LABEL_0", "LABEL_1", "LABEL_2"), True),
        (("x", "y"), False),
        (("x", "y", "z"), False),
        (LABELS[::-1], False),
    ],
)
def test_a_head_for_other_labels_is_drawn_anew_and_that_is_said(class_data, tmp_path, capsys, names, kept):
    model = make_classifier(tmp_path / "model", names)
    train(class_data, settings(model, tmp_path / "run", max_steps=1, learning_rate=1e-9))
    head = weights(tmp_path / "run")["classifier.weight"]
    assert head.shape == (3, 16)
    assert bool((head > 6).all()) is kept
    assert head.abs().max() < 1 or kept
    said = f"tells {len(names)} ({', '.join(names)}) labels apart, the data has 3 (ant, bee, cat): it gets a new head"
    assert (said in capsys.readouterr().err) is not kept
    body = [name for name in weights(tmp_path / "run") if not name.startswith("classifier.")]
    begun = weights(model)
    assert all(torch.allclose(weights(tmp_path / "run")[name], begun[name], atol=1e-6) for name in body)


def test_a_new_head_is_the_same_for_the_same_seed_and_adapters_find_their_model_again(class_data, tmp_path):
    model = make_classifier(tmp_path / "model", ("x", "y"))
    for name in "ab":
        train(class_data, settings(model, tmp_path / name, max_steps=1, lora={"r": 2}), progress=False)
    first, second = (weights(tmp_path / name, "adapter_model.safetensors") for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert evaluate(tmp_path / "a", class_data) == evaluate(tmp_path / "b", class_data)


def test_a_masked_language_model_without_a_pooler_can_classify(class_data, tmp_path):
    config = transformers.BertConfig(vocab_size=VOCABULARY, max_position_embeddings=32, **SIZES)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    train(class_data, settings(tmp_path / "model", tmp_path / "run", max_steps=1), progress=False)
