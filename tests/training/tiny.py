"""Small prepared datasets and tiny random models, made without the pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import sftdata
from sftdata.manifest import InputFile, Manifest, RowCounts, TokenizerRecord, digest_file
from sftdata.records import Task
from sftdata.settings.training import TrainSettings
from sftdata.shards.index import index_path
from sftdata.shards.layout import FOLD, PARENT, WEIGHT, WEIGHTS, dataset_dict_file, example_schema
from sftdata.shards.writer import SplitWriter

VOCABULARY = 61
LABELS = ("ant", "bee", "cat")


@dataclass(frozen=True)
class Example:
    input_ids: list[int]
    labels: Any
    weight: float | None = None
    weights: list[float] | None = None
    source: str | None = None


def write_dataset(
    directory: Path,
    task: Task,
    splits: dict[str, Sequence[Example]],
    *,
    label_names: tuple[str, ...] | None = None,
    vocab_size: int = VOCABULARY,
    batch_rows: int = 5,
    model: Path | None = None,
    folds: int | None = None,
) -> Path:
    """Write a prepared dataset, with ids of `model`: several record batches a shard, several shards a split."""
    everything = [example for examples in splits.values() for example in examples]
    weighed = [field for field in (WEIGHTS, WEIGHT) if any(getattr(one, field.name) is not None for one in everything)]
    schema = example_schema(task, label_names, [*weighed, *([PARENT, FOLD] if folds else [])])
    sources = dict.fromkeys([*splits, *(example.source for example in everything if example.source)])
    records = {}
    for name, examples in splits.items():
        writer = SplitWriter(directory, name, task, schema, shard_size=3000)
        for start in range(0, len(examples), batch_rows):
            part = examples[start : start + batch_rows]
            columns = {
                "row_id": [f"{example.source or name}:{start + i}" for i, example in enumerate(part)],
                "input_ids": [example.input_ids for example in part],
                "labels": [example.labels for example in part],
                **{field.name: [getattr(example, field.name) for example in part] for field in weighed},
            }
            if folds:
                columns |= _fold_columns(name, range(start, start + len(part)), folds)
            writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))
        records[name] = writer.close()
    rows = sum(len(examples) for examples in splits.values())
    digest = digest_file(model / "tokenizer.json") if model else "sha256:0"
    manifest = Manifest(
        version=sftdata.__version__,
        task=task,
        recipe={},
        inputs=tuple(InputFile(id=name, path=f"{name}.txt", bytes=0, digest="") for name in sources),
        rows=RowCounts(read=rows, written=rows),
        rejected_by_reason={},
        label_names=label_names,
        tokenizer=TokenizerRecord(name="none", digest=digest, backend="none", vocab_size=vocab_size, proof={}),
        chat_template_digest=None,
        splits=records,
        seed=0,
        files={index_path(name): digest_file(directory / index_path(name)) for name in splits},
    )
    (directory / "dataset_dict.json").write_text(dataset_dict_file(list(splits)))
    (directory / "manifest.json").write_text(manifest.to_json())
    return directory


def _fold_columns(name: str, rows: range, folds: int) -> dict[str, list[Any]]:
    """In the training part every tenth row is a copy of the one before it, in the same fold."""
    if name != "train":
        return {"parent_id": [None] * len(rows), "fold": [-1] * len(rows)}
    parents = [row - 1 if row % 10 == 9 else None for row in rows]
    return {
        "parent_id": [None if parent is None else f"{name}:{parent}" for parent in parents],
        "fold": [(row if parent is None else parent) % folds for row, parent in zip(rows, parents, strict=True)],
    }


def random_classes(rows: int, seed: int) -> list[Example]:
    """Texts of varied length whose class shows in their tokens: class k draws most tokens from its own range."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        label = int(source.integers(len(LABELS)))
        ids = source.integers(3 + 15 * label, 18 + 15 * label, size=source.integers(2, 24))
        examples.append(Example([1, *ids.tolist(), 2], label))
    return examples


def random_turns(rows: int, seed: int) -> list[Example]:
    """Sequences of varied length with one or two trained stretches; some begin trained."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        length = int(source.integers(2, 24))
        first = int(source.integers(3, VOCABULARY))
        ids = [3 + (first + 7 * place) % (VOCABULARY - 3) for place in range(length)]  # can be learned
        trained = source.random(length) < 0.5
        trained[0], trained[-1] = source.random() < 0.3, True
        labels = [token if keep else -100 for token, keep in zip(ids, trained, strict=True)]
        examples.append(Example(ids, labels))
    return examples


def random_label_sets(rows: int, seed: int) -> list[Example]:
    """Texts with any number of labels, each of which shows in tokens from its own range."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        has = source.random(len(LABELS)) < 0.4
        kinds = source.choice(np.flatnonzero(has), 8) if has.any() else np.full(3, len(LABELS))
        ids = 3 + 14 * kinds + source.integers(0, 14, size=len(kinds))
        examples.append(Example([1, *ids.tolist()[: source.integers(2, 9)], 2], has.astype(float).tolist()))
    return examples


def random_scores(rows: int, seed: int) -> list[Example]:
    """Texts whose score is the mean of their tokens, from -1 to 1."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        ids = source.integers(3, VOCABULARY, size=source.integers(1, 24))
        examples.append(Example([1, *ids.tolist(), 2], float(ids.mean() / 29 - 32 / 29)))
    return examples


def random_tags(rows: int, seed: int) -> list[Example]:
    """Tokens whose tag is the third of the vocabulary that they are from; every third is a further piece of a word."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        ids = source.integers(3, VOCABULARY, size=source.integers(1, 24)).tolist()
        tags = [-100 if place % 3 == 2 else (token - 3) * 3 // (VOCABULARY - 3) for place, token in enumerate(ids)]
        examples.append(Example([1, *ids, 2], [-100, *tags, -100]))
    return examples


def random_translations(rows: int, seed: int) -> list[Example]:
    """Sources whose target is the same in another order of the vocabulary, and shorter."""
    source = np.random.default_rng(seed)
    examples = []
    for _ in range(rows):
        ids = source.integers(3, VOCABULARY, size=source.integers(1, 20)).tolist()
        examples.append(Example([*ids, 2], [*(VOCABULARY + 2 - token for token in ids[::2]), 2]))
    return examples


def make_tiny_bert(directory: Path, *, dropout: float = 0.0) -> Path:
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,  # a model as small as this one learns little from smaller weights
    )
    transformers.BertModel(config).save_pretrained(directory)
    return directory


def make_tiny_llama(directory: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        dtype="bfloat16",
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    return directory


def make_tiny_t5(directory: Path, *, dropout: float = 0.0) -> Path:
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        dropout_rate=dropout,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(directory)
    return directory


def settings(model: Path, output_dir: Path, **others: Any) -> TrainSettings:
    """Settings for a tiny model on the CPU."""
    values = {"batch_size": 8, "learning_rate": 5e-3, "device": "cpu", "seed": 3, **others}
    return TrainSettings(model=str(model), output_dir=str(output_dir), **values)


def weights(directory: Path, name: str = "model.safetensors") -> dict[str, Any]:
    """Read the saved tensors of a run or checkpoint."""
    from safetensors.torch import load_file

    return dict(load_file(directory / name))
