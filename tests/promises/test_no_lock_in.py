"""Promise 7: others open what we write, and train on it without our code."""

import datasets
import pytest

import sftdata


@pytest.mark.parametrize("kind", ["text", "chat", "tag", "translation", "multilabel", "regression", "pair"])
def test_datasets_opens_the_output_with_the_same_rows(request, tmp_path, kind):
    sftdata.prepare(sftdata.load_recipe(request.getfixturevalue(f"{kind}_recipe")()))
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    manifest = sftdata.read_manifest(tmp_path / "out")
    assert list(loaded) == list(manifest.splits)
    for name in loaded:
        assert loaded[name].to_list() == list(sftdata.load_split(tmp_path / "out", name))
    types = ["token_type_ids"] if kind == "pair" else []
    assert loaded["train"].column_names == ["row_id", "input_ids", "labels", *types]


def test_class_names_travel_with_the_dataset(tmp_path, text_recipe):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    features = datasets.load_from_disk(str(tmp_path / "out"))["train"].features
    assert features["labels"].names == ["animal", "place", "thing"]


def test_transformers_trainer_takes_a_step_on_texts(tmp_path, text_recipe, text_tokenizer):
    import transformers

    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(text_tokenizer / "tokenizer.json"), pad_token="[PAD]"
    )
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=3,
        )
    )
    assert step(model, tmp_path, transformers.DataCollatorWithPadding(tokenizer)) > 0


def test_transformers_trainer_takes_a_step_on_conversations(tmp_path, chat_recipe, chat_tokenizer):
    import transformers

    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(chat_tokenizer / "tokenizer.json"), pad_token="<|im_end|>", eos_token="<|im_end|>"
    )
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    )
    assert step(model, tmp_path, transformers.DataCollatorForSeq2Seq(tokenizer)) > 0


def step(model, folder, collator):
    """Let the stock Trainer take one step on the shards; return the loss."""
    import transformers

    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=1,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    train = datasets.load_from_disk(str(folder / "out"))["train"]
    return transformers.Trainer(model, arguments, train_dataset=train, data_collator=collator).train().training_loss
