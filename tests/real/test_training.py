"""Training with real models: all-MiniLM-L6-v2 (BERT) and SmolLM2-135M-Instruct (Llama); scores, tags, topics, turns."""

import os
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from tiny import Example, settings, write_dataset

from sftdata.plan import make_plan
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, predict, train
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss
from sftdata.training.isolation import can_pack, prepare_packing
from sftdata.training.loader import Loader
from sftdata.training.models import fit_config, load_weights, quiet_transformers, read_config
from sftdata.training.split_head import can_split
from sftdata.training.steps import add_gradients

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.real

TOPICS = {
    "animal": [
        "a small furry animal that hunts mice",
        "a large bird of prey with a hooked beak",
        "a fish of deep seas",
    ],
    "food": ["a sweet cake baked with honey and nuts", "soup made from beans", "bread of rye flour, dark and sour"],
    "time": ["the day after today", "a period of ten years in which much may happen", "late in the evening"],
}
TURNS = [
    ("What is the capital of France?", "Paris."),
    ("Name a primary colour.", "Red is a primary colour, as are blue and yellow."),
    ("Say hello in German.", "Hallo!"),
    ("How many legs has a spider?", "A spider has eight legs."),
]


def asset(name: str) -> Path:
    path = Path(os.environ.get("SFTDATA_ASSETS", ROOT / ".assets")) / name
    assert (path / "config.json").is_file(), f"{path} is missing: run `make test`, or set SFTDATA_ASSETS"
    return path


@pytest.fixture(scope="module")
def topics(tmp_path_factory) -> Path:
    tokenizer = tokenizers.Tokenizer.from_file(str(asset("minilm") / "tokenizer.json"))
    tokenizer.no_padding()
    names = tuple(sorted(TOPICS))
    rows = [
        Example(tokenizer.encode(text).ids, names.index(topic))
        for place in range(3)
        for topic in names
        for text in [TOPICS[topic][place]]
    ]
    splits = {"train": rows, "validation": rows[:6], "test": rows[3:]}
    directory = tmp_path_factory.mktemp("topics")
    options = {"label_names": names, "vocab_size": 30522, "model": asset("minilm")}
    return write_dataset(directory, Task.TEXT_CLASSIFICATION, splits, **options)


@pytest.fixture(scope="module")
def turns(tmp_path_factory) -> Path:
    tokenizer = transformers.AutoTokenizer.from_pretrained(asset("smollm2"))
    rows = []
    for question, answer in TURNS * 2:
        prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        before, after = tokenizer(prompt)["input_ids"], tokenizer(f"{answer}<|im_end|>")["input_ids"]
        rows.append(Example(before + after, [-100] * len(before) + after))
    splits = {"train": rows, "validation": rows[:4], "test": rows[:3]}
    directory = tmp_path_factory.mktemp("turns")
    return write_dataset(directory, Task.CAUSAL_LM, splits, vocab_size=49152, model=asset("smollm2"))


def load(name: str, task: Task, label_names):
    with quiet_transformers():
        torch.manual_seed(0)
        return load_weights(str(asset(name)), fit_config(read_config(str(asset(name))), task, label_names), task)


def gradients(model):
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def sample_by_sample(model, split, rows):
    """Sum the loss of one unpadded example at a time over the full logits; divide by the number of targets."""
    targets = 0
    for row in rows:
        example = split[int(row)]
        logits = model(input_ids=torch.tensor([example["input_ids"]])).logits[0]
        if isinstance(example["labels"], int):
            logits, labels = logits[None], torch.tensor([example["labels"]])
        else:
            logits, labels = logits[:-1], torch.tensor(example["labels"][1:])
        torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
        targets += int((labels != -100).sum())
    return {name: gradient / targets for name, gradient in gradients(model).items()}


@pytest.mark.parametrize(
    ("name", "dtype", "bound"),
    [
        ("minilm", torch.float32, 1e-4),
        ("minilm", torch.float64, 1e-6),
        ("smollm2", torch.float32, 3e-4),  # deeper; its norms compute in float32 even in a float64 model
    ],
)
def test_a_step_has_the_gradient_of_a_sample_by_sample_loop(name, dtype, bound, topics, turns):
    task = Task.TEXT_CLASSIFICATION if name == "minilm" else Task.CAUSAL_LM
    split = load_split(topics if name == "minilm" else turns)
    model = load(name, task, split.manifest.label_names).to(dtype).eval()  # no dropout
    examples = Examples(split)
    plan = make_plan(examples.lengths, seed=1, step_size=8, epochs=1)
    steps = [Loader(examples, plan, batch_size=size).load(0) for size in (1, 2, 8)]
    if task == Task.CAUSAL_LM:
        assert can_pack(model)
        packs = make_plan(examples.lengths, seed=1, step_size=99, epochs=1, capacity=1024, rows=np.sort(steps[0].rows))
        steps.append(Loader(examples, packs, batch_size=2, packed=True).load(0))
    rows = np.sort(steps[0].rows)
    assert len(set(examples.lengths[rows])) > 2, "lengths must vary"
    expected = sample_by_sample(model, split, rows)
    size = norm(expected)

    def check(loaded, loss):
        assert np.sort(loaded.rows).tolist() == rows.tolist()
        add_gradients(model, task, loaded.batches, loaded.targets, loss, bf16=False)
        found = gradients(model)
        assert found.keys() == expected.keys()
        assert norm({key: found[key] - expected[key] for key in expected}) < bound * size

    for loaded in steps:
        check(loaded, Loss())
    assert prepare_packing(model, task, bf16=False, dense=False)
    assert can_split(model, bf16=False) is (task == Task.CAUSAL_LM)
    check(Loader(examples, plan, batch_size=8, packed=True).load(0), Loss(split=task == Task.CAUSAL_LM))


def norm(tensors) -> float:
    return float(torch.linalg.vector_norm(torch.stack([tensor.norm() for tensor in tensors.values()])))


def test_a_fine_tuned_encoder_loads_with_plain_transformers(topics, tmp_path):
    wanted = settings(asset("minilm"), tmp_path / "run", epochs=6, batch_size=9, learning_rate=5e-4)
    train(topics, wanted, progress=False)
    scores = evaluate(tmp_path / "run", topics)
    assert scores["accuracy"] > 0.8 > 0.5 > scores["baseline"]["accuracy"]
    texts = [text for topic in sorted(TOPICS) for text in TOPICS[topic]]
    found = predict(tmp_path / "run", texts, batch_size=4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    for result in found:
        probabilities = model(**tokenizer(result["text"], return_tensors="pt")).logits[0].softmax(-1)
        assert result["label"] == model.config.id2label[int(probabilities.argmax())]
        assert result["probability"] == pytest.approx(float(probabilities.max().detach()), rel=1e-4)


def test_adapters_of_a_language_model_load_with_plain_peft_and_answer(turns, tmp_path, capsys):
    import peft

    lora = {"r": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    wanted = settings(
        asset("smollm2"), tmp_path / "run", batch_size=4, max_steps=8, epochs=4, learning_rate=2e-3, lora=lora
    )
    before = evaluate_base(turns)
    result = train(turns, wanted)
    assert result.scores["loss"] < 0.5 * before
    assert capsys.readouterr().out == ""
    [answer] = predict(tmp_path / "run", ["What is the capital of France?"], max_new_tokens=8)
    with quiet_transformers():
        base = transformers.AutoModelForCausalLM.from_pretrained(asset("smollm2"), dtype=torch.float32)
        model = peft.PeftModel.from_pretrained(base, tmp_path / "run").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    turn = [{"role": "user", "content": answer["text"]}]
    inputs = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(written, skip_special_tokens=True) == answer["response"]


def evaluate_base(turns: Path) -> float:
    """The mean loss of the model before training."""
    model, split = load("smollm2", Task.CAUSAL_LM, None).eval(), load_split(turns, "validation")
    loss, targets = 0.0, 0
    for row in split:
        labels = torch.tensor(row["labels"][1:])
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        targets += int((labels != -100).sum())
    return loss / targets


def test_a_fully_tuned_language_model_loads_with_plain_transformers(turns, tmp_path):
    wanted = settings(
        asset("smollm2"), tmp_path / "run", batch_size=4, max_steps=4, epochs=2, learning_rate=5e-5, keep=1
    )
    before = evaluate_base(turns)
    result = train(turns, wanted, progress=False)
    assert result.scores["loss"] < before
    with quiet_transformers():
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    assert model.dtype == torch.float32
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    inputs = tokenizer("Paris is", return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=3, do_sample=False).shape[1] > inputs["input_ids"].shape[1]
    saved, exact = (
        load_file(tmp_path / "run" / "model.safetensors"),
        load_file(tmp_path / "run" / "checkpoint-4" / "model.safetensors"),
    )
    assert saved.keys() == exact.keys()
    assert all(torch.equal(saved[name], exact[name]) for name in saved)
    assert evaluate(tmp_path / "run", turns, "validation")["loss"] == pytest.approx(result.scores["loss"])


def encode_words(tokenizer, words, tags) -> Example:
    encoded = tokenizer.encode(words, is_pretokenized=True)
    firsts = [word if word not in encoded.word_ids[:place] else None for place, word in enumerate(encoded.word_ids)]
    return Example(encoded.ids, [-100 if word is None else tags[word] for word in firsts])


def plain_tokenizer() -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_file(str(asset("minilm") / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def test_scores_of_film_reviews_are_learned(assets, tmp_path):
    tokenizer = plain_tokenizer()
    lines = (assets / "vader_movieReviewSnippets.tsv").read_text(encoding="utf-8", errors="replace").splitlines()
    columns = [line.split("\t") for line in lines[:10200:20]]
    rows = [Example(tokenizer.encode(text).ids[:48], float(score)) for _, score, text in columns]
    splits = {"train": rows[:400], "test": rows[400:]}
    data = write_dataset(
        tmp_path / "data", Task.REGRESSION, splits, vocab_size=30522, model=asset("minilm"), batch_rows=100
    )
    wanted = settings(asset("minilm"), tmp_path / "run", epochs=1.5, batch_size=8, save_steps=99, learning_rate=2e-4)
    train(data, wanted, progress=False)
    scores = evaluate(tmp_path / "run", data)
    assert scores["spearman"] > 0.3
    assert scores["mse"] < scores["baseline"]["mse"]
    good, bad = predict(tmp_path / "run", ["A great film, moving and wonderful.", "A dull, stupid and boring film."])
    assert good["score"] > bad["score"] + 0.5


def test_chunks_of_english_sentences_are_learned(assets, tmp_path):
    tokenizer, sentences = plain_tokenizer(), (assets / "conll2000_chunks.txt").read_text().strip().split("\n\n")
    parts = [list(zip(*(line.split()[::2] for line in sentence.splitlines()), strict=True)) for sentence in sentences]
    names = ("O", *sorted({tag for _, tags in parts for tag in tags} - {"O"}))
    rows = [encode_words(tokenizer, list(words), [names.index(tag) for tag in tags]) for words, tags in parts]
    splits = {"train": rows[:-8], "test": rows[-8:]}
    options = {"label_names": names, "vocab_size": 30522, "model": asset("minilm"), "batch_rows": 10}
    data = write_dataset(tmp_path / "data", Task.TOKEN_CLASSIFICATION, splits, **options)
    wanted = settings(asset("minilm"), tmp_path / "run", epochs=14, save_steps=999, batch_size=4, learning_rate=1e-3)
    train(data, wanted, progress=False)
    scores = evaluate(tmp_path / "run", data)
    assert scores["entity_f1"] > 0.5 > scores["baseline"]["entity_f1"]
    words = list(parts[-1][0])
    [found] = predict(tmp_path / "run", [words])
    with quiet_transformers():
        model = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "run").eval()
    encoded = tokenizer.encode(words, is_pretokenized=True)
    tags = model(input_ids=torch.tensor([encoded.ids])).logits[0].argmax(-1)
    expected = [model.config.id2label[int(tags[encoded.word_ids.index(place)])] for place in range(len(words))]
    assert found["tags"] == expected
    assert {entity["kind"] for entity in found["entities"]} >= {"NP"}
