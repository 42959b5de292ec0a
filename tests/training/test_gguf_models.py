"""A GGUF file is trained as the model that it holds, dequantised to float32."""

import json
from importlib import util

import gguf
import numpy as np
import pytest
import torch
import transformers
from test_fit import prepare_chats
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training import check_model, evaluate, train
from sftdata.training.models import load_weights, quiet_transformers, read_config

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def permute(weight, heads):
    """As llama.cpp has the rows of queries and keys: halves of a head's rotation side by side."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).transpose(0, 2, 1, 3).reshape(rows, width)


def write_gguf(path, model, tokens=(), merges=(), template=None):
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if tokens:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(list(tokens))
        writer.add_token_merges(list(merges))
    if template:
        writer.add_chat_template(template)
    for name, weight in model.state_dict().items():
        value = weight.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            value = permute(value, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name.replace("model.layers", "blk"), np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_llama(vocab_size=61):
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=512,
    )
    return transformers.LlamaForCausalLM(config)


def load(path):
    with quiet_transformers():
        return load_weights(str(path), read_config(str(path)), Task.CAUSAL_LM)


def test_logits_are_those_of_the_same_weights_in_transformers(tmp_path):
    expected = make_llama().eval()
    model = load(write_gguf(tmp_path / "tiny.gguf", expected)).eval()
    ids = torch.randint(0, 61, (3, 20))
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, expected(input_ids=ids).logits)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_finished_model_is_one_like_any_other(turn_data, tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", make_llama())
    run = tmp_path / "run"
    result = train(turn_data, settings(file, run, epochs=2), progress=False)
    assert "quantization_config" not in json.loads((run / "config.json").read_text())
    plain, found = transformers.AutoModelForCausalLM.from_pretrained(run, output_loading_info=True)
    assert not found["missing_keys"]
    torch.testing.assert_close(plain.lm_head.weight.detach(), weights(run)["lm_head.weight"])
    assert evaluate(run, turn_data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-5)
    resumed = train(turn_data, settings(file, run, epochs=2), resume=True, progress=False)
    assert resumed.resumed_from == result.steps


@pytest.mark.parametrize("lora", [None, {"r": 2, "merge": True}])
def test_a_decoder_without_a_padding_token_learns_and_says_classes_of_the_same_tokens(class_data, tmp_path, lora):
    file = write_gguf(tmp_path / "tiny.gguf", make_llama())
    result = train(class_data, settings(file, tmp_path / "run", epochs=1, lora=lora), progress=False)
    loss = evaluate(tmp_path / "run", class_data, "validation")["loss"]
    assert loss == pytest.approx(result.scores["loss"], rel=1e-5)


def test_a_file_is_not_quantised_anew(turn_data, tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", make_llama())
    with pytest.raises(TrainingError, match=r"train\.lora\.quantize: .* is GGUF, whose weights are float32"):
        train(turn_data, settings(file, tmp_path / "run", lora={"quantize": "nf4"}), progress=False)


def test_adapters_on_a_file_find_it_again(turn_data, tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", make_llama())
    result = train(turn_data, settings(file, tmp_path / "run", max_steps=3, lora={"r": 2}), progress=False)
    assert evaluate(tmp_path / "run", turn_data, "validation")["loss"] == pytest.approx(result.scores["loss"], rel=1e-5)


@pytest.fixture(scope="module")
def chats(tmp_path_factory, chat_tokenizer):
    return prepare_chats(tmp_path_factory.mktemp("chats"), chat_tokenizer)


@pytest.fixture
def held(chat_tokenizer):
    """The tokenizer's tokens, merges and template as a GGUF file has them."""
    document = json.loads((chat_tokenizer / "tokenizer.json").read_text())
    ids = document["model"]["vocab"] | {token["content"]: token["id"] for token in document["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]]
    template = json.loads((chat_tokenizer / "tokenizer_config.json").read_text())["chat_template"]
    return {"tokens": sorted(ids, key=ids.__getitem__), "merges": merges, "template": template}


def test_tokens_merges_and_template_are_compared(chats, held, tmp_path):
    model = make_llama(len(held["tokens"]) + 3)
    padded = {**held, "tokens": [*held["tokens"], "[PAD0]", "[PAD1]", "[PAD2]"]}
    notes = check_model(chats, write_gguf(tmp_path / "same.gguf", model, **padded))
    assert notes == ("of the tokenizer in same.gguf only tokens and merges were compared, not how it cuts texts",)
    other = [*padded["tokens"]]
    other[5], other[6] = other[6], other[5]
    file = write_gguf(tmp_path / "tokens.gguf", model, **{**padded, "tokens": other})
    with pytest.raises(TrainingError, match=r"tokenizer: 2 tokens have other ids, such as 5: '.*' in the data's, '"):
        check_model(chats, file)
    file = write_gguf(tmp_path / "merges.gguf", model, **{**padded, "merges": padded["merges"][::-1]})
    with pytest.raises(TrainingError, match="tokenizer: merges: "):
        check_model(chats, file)
    file = write_gguf(tmp_path / "template.gguf", model, **{**padded, "template": "{{ messages[0].content }}"})
    with pytest.raises(TrainingError, match="chat template: line 1: "):
        check_model(chats, file)
    assert len(check_model(chats, write_gguf(tmp_path / "none.gguf", model, **{**padded, "template": None}))) == 1


def test_without_tokens_nothing_is_compared_and_sizes_are(chats, turn_data, tmp_path):
    file = write_gguf(tmp_path / "bare.gguf", make_llama())
    [note] = check_model(turn_data, file)
    assert note == "the tokenizer in bare.gguf was not compared with the data's"
    with pytest.raises(TrainingError, match="vocabulary size: the data was tokenised with"):
        check_model(chats, file)


@pytest.mark.parametrize("length", [8, 0, 4000])
def test_a_damaged_file_is_told(turn_data, tmp_path, length):
    whole = write_gguf(tmp_path / "whole.gguf", make_llama()).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:length])
    with pytest.raises(TrainingError, match=r"cut\.gguf' cannot be read as GGUF \("):
        train(turn_data, settings(tmp_path / "cut.gguf", tmp_path / "run"), progress=False)


def test_a_file_without_the_package_is_told(turn_data, tmp_path, monkeypatch):
    file, find_spec = write_gguf(tmp_path / "tiny.gguf", make_llama()), util.find_spec
    monkeypatch.setattr("sftdata.training.gguf_models.find_spec", lambda name: None if name == "gguf" else find_spec)
    with pytest.raises(TrainingError, match=r"pip install 'sftdata\[gguf\]'"):
        check_model(turn_data, file)
