"""TRL's own trainer takes our shards, and our packs, as they are: it prepares nothing and changes no label."""

from itertools import pairwise

import datasets
import pytest
import torch
import transformers
import trl
from tiny import VOCABULARY, random_turns, write_dataset

import sftdata
from sftdata.records import IGNORE_INDEX, Task

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and torch's advice about processors and kernels


@pytest.fixture
def turns(tmp_path):
    (tmp_path / "in").mkdir()
    splits = {"train": random_turns(40, 1), "validation": random_turns(8, 2)}
    return write_dataset(tmp_path / "in", Task.CAUSAL_LM, splits, vocab_size=VOCABULARY)


def make_model():
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=512, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    return transformers.LlamaForCausalLM(config)


def make_trainer(folder, tokenizer, data, **settings):
    loaded = datasets.load_from_disk(str(data))
    arguments = trl.SFTConfig(
        output_dir=str(folder / "run"),
        max_steps=1,
        per_device_train_batch_size=4,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
        **settings,
    )
    processing = transformers.PreTrainedTokenizerFast.from_pretrained(tokenizer)
    return trl.SFTTrainer(
        make_model(),
        arguments,
        train_dataset=loaded["train"],
        eval_dataset=loaded["validation"],
        processing_class=processing,
    )


@pytest.fixture
def nothing_is_prepared(monkeypatch):
    """Fail when TRL maps, filters or packs a dataset."""

    def refuse(*_, **__):
        raise AssertionError("TRL prepares the dataset")

    for name in ("map", "filter"):
        monkeypatch.setattr(datasets.Dataset, name, refuse)
    monkeypatch.setattr(trl.SFTTrainer, "_prepare_dataset", refuse)


def test_the_guard_sees_what_trl_prepares_by_itself(turns, tmp_path, chat_tokenizer, nothing_is_prepared):
    with pytest.raises(AssertionError, match="TRL prepares"):
        trl.SFTTrainer(
            make_model(),
            trl.SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none"),
            train_dataset=datasets.load_from_disk(str(turns))["train"],
            processing_class=transformers.PreTrainedTokenizerFast.from_pretrained(chat_tokenizer),
        )


def watch(trainer):
    """Keep every batch that the trainer trains on, and its loss."""
    seen, compute = [], trainer.compute_loss

    def keep(model, inputs, *rest, **named):
        batch = {name: value.clone() if torch.is_tensor(value) else value for name, value in inputs.items()}
        loss = compute(model, inputs, *rest, **named)
        seen.append((batch, float(loss[0] if isinstance(loss, tuple) else loss)))
        return loss

    trainer.compute_loss = keep
    return seen


def mean_loss(examples):
    """Cross entropy of each example alone, summed and divided by the number of trained tokens."""
    total, count, model = 0.0, 0, make_model()
    for ids, labels in examples:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1]
        targets = torch.tensor(labels)[1:]
        total += float(torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="sum"))
        count += int((targets != IGNORE_INDEX).sum())
    return total / count


def ours(directory):
    return [(row["input_ids"], row["labels"]) for row in sftdata.load_split(directory)]


def test_the_shards_are_trained_on_with_their_own_labels(turns, tmp_path, chat_tokenizer, nothing_is_prepared):
    trainer = make_trainer(tmp_path, chat_tokenizer, turns)
    seen = watch(trainer)
    trainer.train()
    (batch, loss), *_ = seen
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    rows = list(zip(batch["input_ids"].tolist(), batch["labels"].tolist(), lengths, strict=True))
    examples = [(ids[:length], labels[:length]) for ids, labels, length in rows]
    assert len(examples) == 4
    assert all(example in ours(turns) for example in examples)
    assert all(set(labels[length:]) <= {IGNORE_INDEX} for _, labels, length in rows)
    assert loss == pytest.approx(mean_loss(examples), rel=1e-5)


def cut(batch):
    """The examples of a padding-free batch: each begins where the position is 0."""
    starts = [*(batch["position_ids"][0] == 0).nonzero().flatten().tolist(), batch["position_ids"].shape[1]]
    pairs = pairwise(starts)
    return [(batch["input_ids"][0, a:b].tolist(), batch["labels"][0, a:b].tolist()) for a, b in pairs]


def test_packs_are_trained_on_as_their_examples_alone_would_be(turns, tmp_path, chat_tokenizer, nothing_is_prepared):
    record = sftdata.export(turns, tmp_path / "packs", to="trl", capacity=48)
    assert record.packs["train"] < record.rows["train"] / 2
    trainer = make_trainer(tmp_path, chat_tokenizer, tmp_path / "packs", padding_free=True)
    seen = watch(trainer)
    trainer.train()
    (batch, loss), *_ = seen
    examples = cut(batch)
    known = [(ids, [IGNORE_INDEX, *labels[1:]]) for ids, labels in ours(turns)]  # the first token is never predicted
    assert len(examples) > 4
    assert all(example in known for example in examples)
    assert loss == pytest.approx(mean_loss(examples), rel=1e-5)


def test_a_whole_epoch_of_packs_holds_every_example_once(turns, tmp_path, chat_tokenizer, nothing_is_prepared):
    sftdata.export(turns, tmp_path / "packs", to="trl", capacity=48)
    trainer = make_trainer(tmp_path, chat_tokenizer, tmp_path / "packs", padding_free=True)
    found = [ids for batch in trainer.get_train_dataloader() for ids, _ in cut(batch)]
    assert sorted(found) == sorted(ids for ids, _ in ours(turns))
