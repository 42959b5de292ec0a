"""Real tokenizers: data fits the model that it was prepared for, also once transformers has saved the tokenizer."""

import shutil
import time
from pathlib import Path

import pytest
import transformers
from examples import prepare_here

from sftdata.errors import TrainingError
from sftdata.training import check_model

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "samples"
SIZES = {"smollm2": 49152, "qwen3": 151936}


@pytest.fixture(scope="module")
def chats(assets, tmp_path_factory):
    """Conversations, by the tokenizer that made them."""
    source = [{"path": str(SAMPLES / "wordnet_chat.jsonl")}]
    made = {}
    for name in SIZES:
        tokenize, folder = {"tokenizer": str(assets / name), "max_length": 2048}, tmp_path_factory.mktemp(name)
        made[name] = prepare_here(folder, task="causal_lm", schema="messages", sources=source, tokenize=tokenize)
    return made


@pytest.fixture
def make_model(assets, tmp_path):
    """A configuration with the tokenizer of an asset."""

    def make(name: str) -> Path:
        model = tmp_path / name
        transformers.LlamaConfig(vocab_size=SIZES[name], max_position_embeddings=4096).save_pretrained(model)
        for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (assets / name / file).is_file():
                shutil.copy(assets / name / file, model)
        return model

    return make


@pytest.mark.parametrize("name", SIZES)
def test_data_fits_its_model(chats, make_model, name):
    model = make_model(name)
    assert check_model(chats[name], model) == ()
    started = time.process_time()  # torch and transformers are loaded by now
    check_model(chats[name], model)
    assert time.process_time() - started < 0.5, "without differences files are only digested"


def test_a_whole_model_of_the_hub_fits(chats, assets):
    assert check_model(chats["smollm2"], assets / "smollm2") == ()


@pytest.mark.parametrize("name", SIZES)
def test_a_tokenizer_that_transformers_saved_anew_is_the_same(chats, make_model, name):
    model = make_model(name)
    before = (model / "tokenizer.json").read_bytes()
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(model)
    assert name != "qwen3" or (model / "tokenizer.json").read_bytes() != before, "the digest must differ"
    assert check_model(chats[name], model) == ()


def test_another_model_is_refused_with_all_that_differs(chats, make_model):
    model = make_model("smollm2")
    with pytest.raises(TrainingError) as caught:
        check_model(chats["qwen3"], model)
    found = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    assert [line.split(",")[0].split(":")[:2] for line in found] == [
        ["tokenizer", " vocabulary"],
        ["tokenizer", " added tokens"],
        ["tokenizer", " merges"],
        ["tokenizer", " normalizer"],
        ["tokenizer", " pre_tokenizer"],
        ["chat template", " line 1"],
        ["vocabulary size", " the data was tokenised with a vocabulary of 151669"],
    ]
    with pytest.raises(TrainingError, match=r"tokenizer: vocabulary, 49,152 and 151,669 tokens"):
        check_model(chats["smollm2"], make_model("qwen3"))


def test_texts_fit_the_encoder_that_they_were_prepared_for(assets, tmp_path):
    tokenize, source = {"tokenizer": str(assets / "minilm"), "max_length": 256}, SAMPLES / "wordnet_topics.csv"
    recipe = {"task": "text_classification", "schema": "text_label", "sources": [{"path": str(source)}]}
    out = prepare_here(tmp_path, **recipe, tokenize=tokenize)
    assert check_model(out, assets / "minilm") == ()
    saved = shutil.copytree(assets / "minilm", tmp_path / "saved")
    transformers.AutoTokenizer.from_pretrained(saved).save_pretrained(saved)
    assert check_model(out, saved) == ()
