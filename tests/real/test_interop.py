"""Real conversations and translations, exported for others and read back: TRL's packs, and text as it was said."""

import json
from itertools import pairwise
from pathlib import Path

import datasets
import duckdb
import polars as pl
import pytest
import torch
import transformers
import trl
from examples import prepare_here

import sftdata
from sftdata.plan import fewest_packs
from sftdata.records import IGNORE_INDEX

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "samples"
NO_THOUGHT = "<think>\n\n</think>\n\n"


def prepare(folder, assets, sample, model):
    schema = "alpaca" if sample.startswith("translation") else "messages"
    source = [{"path": str(SAMPLES / f"{sample}.jsonl")}]
    settings = {"tokenizer": str(assets / model), "max_length": 2048}
    return prepare_here(folder, task="causal_lm", schema=schema, sources=source, tokenize=settings)


@pytest.mark.parametrize("model", ["smollm2", "qwen3"])
@pytest.mark.parametrize("sample", ["translation_en_zh", "wordnet_chat"])
def test_packs_hold_every_example_once_and_are_full(tmp_path, assets, sample, model):
    out = prepare(tmp_path, assets, sample, model)
    record = sftdata.export(out, tmp_path / "packs", to="trl")
    assert record.capacity == 2048
    packed = datasets.load_from_disk(str(tmp_path / "packs"))["train"].with_format(None)
    split = sftdata.load_split(out)
    lengths = dict(zip((row["row_id"] for row in split), split.lengths().tolist(), strict=True))
    assert sorted(row_id for ids in packed["row_ids"] for row_id in ids) == sorted(lengths)
    for row in packed:
        assert row["seq_lengths"] == [lengths[row_id] for row_id in row["row_ids"]]
        assert sum(row["seq_lengths"]) == len(row["input_ids"]) <= 2048
    assert len(packed) <= fewest_packs(split.lengths(), 2048) + 1


@pytest.mark.parametrize("sample", ["translation_en_zh", "wordnet_chat"])
def test_text_is_what_was_said_and_cut_where_training_begins(tmp_path, assets, sample):
    out = prepare(tmp_path, assets, sample, "qwen3")
    sftdata.export(out, tmp_path / "text", to="jsonl", contents="text")
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets / "qwen3")
    lines = (SAMPLES / f"{sample}.jsonl").read_text(encoding="utf-8").splitlines()
    seen = 0
    for path in (tmp_path / "text").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            source = json.loads(lines[int(row["row_id"].partition(":")[2]) - 1])
            messages = source.get("messages") or [
                {"role": "user", "content": "\n".join(filter(str.strip, (source["instruction"], source["input"])))},
                {"role": "assistant", "content": source["output"]},
            ]
            whole = tokenizer.apply_chat_template(messages, tokenize=False)
            assert "".join(segment["text"] for segment in row["segments"]) == whole
            said = [segment["text"].removeprefix(NO_THOUGHT) for segment in row["segments"] if segment["label"]]
            expected = [turn["content"] + "<|im_end|>" for turn in messages if turn["role"] == "assistant"]
            assert said == [*expected[:-1], expected[-1].lstrip("\n")]  # as the template has it
            seen += 1
    assert seen == len(lines)


@pytest.mark.filterwarnings("ignore")  # TRL's advice about processors and kernels
def test_trl_trains_smollm2_on_packs_with_the_loss_of_its_examples_alone(tmp_path, assets):
    out = prepare(tmp_path, assets, "wordnet_chat", "smollm2")
    sftdata.export(out, tmp_path / "packs", to="trl", capacity=256)
    model = transformers.AutoModelForCausalLM.from_pretrained(assets / "smollm2", dtype=torch.float32)
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "run"),
        max_steps=1,
        per_device_train_batch_size=2,
        padding_free=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    trainer = trl.SFTTrainer(
        model,
        settings,
        train_dataset=datasets.load_from_disk(str(tmp_path / "packs"))["train"],
        processing_class=transformers.AutoTokenizer.from_pretrained(assets / "smollm2"),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    starts = [*(batch["position_ids"][0] == 0).nonzero().flatten().tolist(), batch["position_ids"].shape[1]]
    total, count = 0.0, 0
    with torch.no_grad():
        for start, end in pairwise(starts):
            logits = model(batch["input_ids"][:, start:end]).logits[0, :-1]
            targets = batch["labels"][0, start + 1 : end]
            total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            count += int((targets != IGNORE_INDEX).sum())
        trainer.model.eval()
        loss = trainer.compute_loss(trainer.model, dict(batch))
    assert len(starts) > 3
    assert float(loss) == pytest.approx(total / count, rel=1e-3)


def test_polars_and_duckdb_count_what_the_manifest_counts(tmp_path, assets):
    out = prepare(tmp_path, assets, "translation_en_zh", "qwen3")
    manifest = sftdata.read_manifest(out)
    sftdata.export(out, tmp_path / "parquet", to="parquet")
    for name, split in manifest.splits.items():
        files = str(tmp_path / "parquet" / f"{name}-*.parquet")
        frame = pl.scan_parquet(files).select(pl.col("input_ids").list.len().sum()).collect()
        assert frame.item() == split.tokens
        trained = "sum(len(list_filter(labels, lambda label: label <> -100)))"
        with duckdb.connect() as connection:
            found = connection.sql(f"select count(*), {trained} from '{files}'").fetchall()  # noqa: S608  # our files
        assert found == [(split.rows, split.trained_tokens)]
