"""A split as a dataset of torch: right tensors, right padding, and Trainer and SFTTrainer train from it as it is."""

import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from tiny import LABELS, VOCABULARY, Example, write_dataset

import sftdata
from sftdata.errors import TrainingError, VerificationError
from sftdata.records import IGNORE_INDEX, Task

LISTS = (Task.CAUSAL_LM, Task.SEQ2SEQ, Task.TOKEN_CLASSIFICATION)


@pytest.mark.parametrize("task", Task)
def test_examples_and_batches_are_those_of_the_split(task_data, task):
    split = sftdata.load_split(task_data[task])
    torch_split = sftdata.to_torch(split)
    assert len(torch_split) == len(split) == 60
    assert torch_split[-1]["input_ids"].tolist() == split[-1]["input_ids"]
    rows = [3, 59, 0, 17]
    batch = torch_split.collate([torch_split[row] for row in rows])
    width = max(len(split[row]["input_ids"]) for row in rows)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (4, width)
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.int64
    for line, row in enumerate(rows):
        ids, labels = split[row]["input_ids"], split[row]["labels"]
        assert batch["input_ids"][line].tolist() == ids + [0] * (width - len(ids))
        assert batch["attention_mask"][line].tolist() == [1] * len(ids) + [0] * (width - len(ids))
        found = batch["labels"][line].tolist()
        if task in LISTS:
            assert found == labels + [IGNORE_INDEX] * (len(found) - len(labels))
        else:
            assert found == labels
    assert batch["labels"].dtype == (torch.float32 if task in (Task.MULTILABEL, Task.REGRESSION) else torch.int64)


def test_pairs_keep_their_token_types(pair_recipe, tmp_path):
    sftdata.prepare(pair_recipe())
    split = sftdata.load_split(tmp_path / "out")
    train = sftdata.to_torch(split)
    batch = train.collate([train[0], train[1]])
    kept = split[0]["token_type_ids"]
    assert batch["token_type_ids"][0].tolist()[: len(kept)] == kept
    assert 1 in kept


def test_the_padding_is_the_tokenizers_own_or_what_is_given(chat_recipe, tmp_path):
    sftdata.prepare(chat_recipe())
    split = sftdata.load_split(tmp_path / "out")
    assert sftdata.to_torch(split).pad_id == 2  # <|im_end|>, which its configuration names
    assert sftdata.to_torch(split, pad_id=7).pad_id == 7


def test_a_dataloader_gives_every_row_once_and_it_pickles_as_paths_for_workers_of_one(class_data):
    train = sftdata.to_torch(sftdata.load_split(class_data))
    fresh = len(pickle.dumps(train))
    rows = [train[place]["input_ids"].tolist() for place in range(len(train))]
    assert len(pickle.dumps(train)) == fresh
    sent = pickle.loads(pickle.dumps(train))  # noqa: S301  # our own
    loader = torch.utils.data.DataLoader(sent, batch_size=7, collate_fn=sent.collate)
    found = [
        ids[:length].tolist()
        for batch in loader
        for ids, length in zip(batch["input_ids"], batch["attention_mask"].sum(1).tolist(), strict=True)
    ]
    assert found == rows


def test_what_is_not_there_and_what_was_changed_is_refused(class_data, tmp_path):
    train = sftdata.to_torch(sftdata.load_split(class_data))
    for outside in (60, -61):
        with pytest.raises(IndexError, match="split with 60 rows"):
            train[outside]
    data = shutil.copytree(class_data, tmp_path / "data")
    shard = next(data.glob("train/*.arrow"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(VerificationError, match="its content has changed"):
        sftdata.to_torch(sftdata.load_split(data))
    with pytest.raises(VerificationError, match="its content has changed"):
        sftdata.load_split(data).to_polars()
    with pytest.raises(VerificationError, match="its content has changed"):
        sftdata.load_split(data).to_datasets()


def test_weights_are_not_left_out_in_silence(tmp_path):
    rows = [Example([1, 5, 2], 0, weight=0.5), Example([1, 6, 2], 1, weight=2.0)]
    write_dataset(tmp_path, Task.TEXT_CLASSIFICATION, {"train": rows}, label_names=LABELS)
    with pytest.raises(TrainingError, match=r"have weights.*open_loader"):
        sftdata.to_torch(sftdata.load_split(tmp_path))


def test_reprs_tell_what_they_are(class_data):
    split = sftdata.load_split(class_data)
    assert repr(split) == f"<Split 'train' of {class_data}: text_classification, 60 rows, 853 tokens, 60 trained>"
    assert repr(sftdata.to_torch(split)) == f"<TorchSplit, padded with 0, of {split!r}>"


@pytest.fixture
def arguments(tmp_path):
    return {
        "output_dir": str(tmp_path / "run"),
        "num_train_epochs": 6,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "seed": 3,
        "dataloader_pin_memory": False,
    }


def losses(trainer):
    trainer.train()
    return [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]


@pytest.mark.parametrize("kind", ["classes", "turns"])
def test_trainer_takes_it_as_it_is_and_learns(kind, class_data, turn_data, tiny_bert, tiny_llama, arguments):
    data = class_data if kind == "classes" else turn_data
    torch.manual_seed(1)
    if kind == "classes":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=3)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    train, validation = (sftdata.to_torch(sftdata.load_split(data, name)) for name in ("train", "validation"))
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(**arguments),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=train.collate,
    )
    found = losses(trainer)
    assert found[-1] < 0.9 * found[0]


def test_the_first_loss_of_trainer_is_the_mean_over_the_trained_tokens(turn_data, tiny_llama, arguments):
    """So neither the collator nor Trainer makes labels of its own."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    split = sftdata.load_split(turn_data, "validation")
    validation = sftdata.to_torch(split)
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(**arguments, per_device_eval_batch_size=20),
        eval_dataset=validation,
        data_collator=validation.collate,
    )
    total, count = 0.0, 0
    for row in split:
        with torch.no_grad():
            logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
        targets = torch.tensor(row["labels"][1:])
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        count += int((targets != IGNORE_INDEX).sum())
    assert trainer.evaluate()["eval_loss"] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.filterwarnings("ignore")  # TRL's and torch's advice about processors and kernels
def test_sft_trainer_takes_a_split_as_it_is_and_learns(turn_data, tiny_llama, chat_tokenizer, arguments):
    import trl

    settings = {**arguments, "bf16": False, "gradient_checkpointing": False, "max_length": None}
    trainer = trl.SFTTrainer(
        transformers.AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32),
        trl.SFTConfig(**settings, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=sftdata.load_split(turn_data).to_datasets(),
        eval_dataset=sftdata.load_split(turn_data, "validation").to_datasets(),
        processing_class=transformers.PreTrainedTokenizerFast.from_pretrained(chat_tokenizer),
    )
    found = losses(trainer)
    assert found[-1] < 0.95 * found[0]


def test_polars_and_datasets_hold_what_the_split_holds(turn_data):
    split = sftdata.load_split(turn_data)
    assert split.to_polars().to_dicts() == list(split) == split.to_datasets().to_list()
    assert np.array_equal(split.to_polars()["input_ids"].list.len(), split.lengths())
    assert max(split.to_polars()["input_ids"].explode()) < VOCABULARY
