"""transformers' Trainer takes a step on the shards of every task, with a stock collator and our extra columns."""

import datasets
import pytest
import torch
import transformers

import sftdata
from sftdata.records import IGNORE_INDEX

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
AUGMENT = [{"random_swap": {"copies": 1}}]
"""So that there is a column parent_id, with nulls in it."""

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")


def bert(kind, tokenizer, **settings):
    return kind(transformers.BertConfig(vocab_size=len(tokenizer), **SIZE, **settings))


def llama(tokenizer):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **SIZE))


def bart(tokenizer):
    widths = {f"{part}_{key}": 16 for part in ("encoder", "decoder") for key in ("ffn_dim",)}
    counts = {f"{part}_{key}": 1 for part in ("encoder", "decoder") for key in ("layers", "attention_heads")}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.BartConfig(vocab_size=len(tokenizer), d_model=16, **widths, **counts, **special)
    return transformers.BartForConditionalGeneration(config)


CLASSIFICATION = transformers.BertForSequenceClassification
TASKS = {
    "text": (
        lambda tokenizer: bert(CLASSIFICATION, tokenizer, num_labels=3),
        transformers.DataCollatorWithPadding,
    ),
    "multilabel": (
        lambda tokenizer: bert(CLASSIFICATION, tokenizer, num_labels=3, problem_type="multi_label_classification"),
        transformers.DataCollatorWithPadding,
    ),
    "regression": (
        lambda tokenizer: bert(CLASSIFICATION, tokenizer, num_labels=1),
        transformers.DataCollatorWithPadding,
    ),
    "pair": (
        lambda tokenizer: bert(CLASSIFICATION, tokenizer, num_labels=3),
        transformers.DataCollatorWithPadding,
    ),
    "tag": (
        lambda tokenizer: bert(transformers.BertForTokenClassification, tokenizer, num_labels=3),
        transformers.DataCollatorForTokenClassification,
    ),
    "translation": (bart, transformers.DataCollatorForSeq2Seq),
    "chat": (llama, transformers.DataCollatorForSeq2Seq),
}


def load_tokenizer(folder):
    pad = {"pad_token": "<|im_end|>"} if "<|im_end|>" in (folder / "tokenizer.json").read_text() else {}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **(pad or {"pad_token": "[PAD]"})
    )


def train_a_step(model, collator, train, folder, kind=transformers.Trainer):
    """Let the trainer take one step; return its batch on the way, and the loss."""
    batches = []

    def keep(features):
        batches.append((features, collator(features)))
        return batches[-1][1]

    settings = (
        transformers.Seq2SeqTrainingArguments if kind is transformers.Seq2SeqTrainer else transformers.TrainingArguments
    )
    arguments = settings(
        output_dir=str(folder / "run"),
        max_steps=1,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    loss = kind(model, arguments, train_dataset=train, data_collator=keep).train().training_loss
    return batches[0][1], loss


@pytest.mark.parametrize("kind", TASKS)
def test_a_step_on_every_task_whatever_other_columns_there_are(request, tmp_path, kind):
    augment = {} if kind in ("pair", "translation") else {"augment": AUGMENT}
    sftdata.prepare(sftdata.load_recipe(request.getfixturevalue(f"{kind}_recipe")(**augment)))
    train = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    assert "row_id" in train.column_names
    assert ("parent_id" in train.column_names) == bool(augment)
    make, collator = TASKS[kind]
    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer")
    trainer = transformers.Seq2SeqTrainer if kind == "translation" else transformers.Trainer
    batch, loss = train_a_step(make(tokenizer), collator(tokenizer), train, tmp_path, trainer)
    assert loss > 0
    rows = [
        (ids[: int(length)], labels)
        for ids, labels, length in zip(
            batch["input_ids"].tolist(), batch["labels"].tolist(), batch["attention_mask"].sum(dim=1), strict=True
        )
    ]
    ours = [(row["input_ids"], row["labels"]) for row in sftdata.load_split(tmp_path / "out")]
    for ids, labels in rows:
        found = [label for tokens, label in ours if tokens == ids]
        assert found, "a row that is not in the shards"
        assert any(same(labels, label) for label in found)


def same(padded, label):
    """Whether labels are those of a row, padded with -100 behind."""
    if not isinstance(label, list):
        return padded == label
    return padded[: len(label)] == label and set(padded[len(label) :]) <= {IGNORE_INDEX}


def test_a_padding_free_batch_of_the_stock_collator_keeps_the_labels(tmp_path, chat_recipe):
    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    train = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer")
    collator = transformers.DataCollatorWithFlattening()
    batch, loss = train_a_step(llama(tokenizer), collator, train, tmp_path)
    assert loss > 0
    trained = batch["labels"][batch["labels"] != IGNORE_INDEX]
    assert torch.equal(trained, batch["input_ids"][batch["labels"] != IGNORE_INDEX])
    assert 0 < len(trained) < batch["input_ids"].numel()


def test_columns_that_a_trainer_keeps_by_order_stop_it_and_are_easy_to_leave_out(tmp_path, text_recipe):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    train = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    collator = transformers.DataCollatorWithPadding(load_tokenizer(tmp_path / "out" / "tokenizer"))
    with pytest.raises(ValueError, match="row_id"):
        collator([train[0], train[1]])
    assert set(collator(list(train.remove_columns("row_id").select(range(2))))) == {
        "input_ids",
        "attention_mask",
        "labels",
    }


def test_the_collator_for_language_modelling_is_the_one_to_stay_away_from(tmp_path, chat_recipe):
    """It makes labels of its own, of every token: docs/interop.md warns of it."""
    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer")
    rows = [{"input_ids": row["input_ids"]} for row in sftdata.load_split(tmp_path / "out")[:2]]
    batch = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)(rows)
    kept = batch["labels"] != IGNORE_INDEX
    assert torch.equal(batch["labels"][kept], batch["input_ids"][kept])
    assert kept.sum() > sum(
        label != IGNORE_INDEX for row in sftdata.load_split(tmp_path / "out")[:2] for label in row["labels"]
    )
