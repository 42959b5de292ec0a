"""A real GGUF file, quantised to 4 bits by others: its tokenizer is the data's, its weights still know a capital."""

import os
from pathlib import Path

import pytest
import tokenizers
import torch

from sftdata.records import Task
from sftdata.training.gguf_models import _compare_tokens
from sftdata.training.models import load_weights, quiet_transformers, read_config

ROOT = Path(__file__).resolve().parents[2]
ASSETS = Path(os.environ.get("SFTDATA_ASSETS", ROOT / ".assets"))
FILE = ASSETS / "SmolLM2-135M-Instruct.Q4_1.gguf"
pytestmark = pytest.mark.real


def test_tokens_and_merges_are_those_of_the_model_that_it_was_made_from():
    import gguf

    fields = gguf.GGUFReader(FILE).fields
    held = {name: fields[name].contents() for name in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")}
    assert len(held["tokenizer.ggml.tokens"]) == 49152
    assert _compare_tokens(ASSETS / "smollm2", held) == []
    held["tokenizer.ggml.merges"] = held["tokenizer.ggml.merges"][1:]
    assert _compare_tokens(ASSETS / "smollm2", held) != []


def test_dequantised_weights_know_what_they_knew():
    with quiet_transformers():
        model = load_weights(str(FILE), read_config(str(FILE)), Task.CAUSAL_LM).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(ASSETS / "smollm2" / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode("The capital of France is").ids])
    with torch.inference_mode():
        assert tokenizer.decode([int(model(input_ids=ids).logits[0, -1].argmax())]) == " Paris"
