"""On real texts and MiniLM's tokenizer: pairs, sets of labels and scores are those that transformers would be given."""

import json
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pytest
import transformers
from examples import write_jsonl

import sftdata

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "samples"


def prepare(tmp_path: Path, schema: dict, tokenizer: Path, **recipe) -> sftdata.Manifest:
    (tmp_path / "schema.yaml").write_text(json.dumps({"name": "s", "task": recipe["task"], **schema}))
    tokenize = {"tokenizer": str(tokenizer), "max_length": 256, **recipe.pop("tokenize", {})}
    document = {"schema": "schema.yaml", "tokenize": tokenize, "output": {"dir": "out"}, "max_rejected": 0, **recipe}
    (tmp_path / "recipe.yaml").write_text(json.dumps(document))
    return sftdata.prepare(sftdata.load_recipe(tmp_path / "recipe.yaml"))


def examples(tmp_path: Path) -> dict[int, dict]:
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    return {int(row["row_id"].partition(":")[2]) - 1: row for part in loaded.values() for row in part}


def glosses() -> list[dict]:
    """Each gloss beside the one after it, with both topics and the parts of speech as labels."""
    rows = pl.read_csv(SAMPLES / "wordnet_topics.csv").rows()
    pairs = zip(rows, rows[1:] + rows[:1], strict=True)
    return [
        {
            "text": text,
            "other": other,
            "labels": sorted({topic, topic.partition(".")[0], next_topic}),
            "same": str(topic == next_topic),
        }
        for (text, topic), (other, next_topic) in pairs
    ]


@pytest.mark.parametrize("longest", [256, 40, 21, 12])
@pytest.mark.parametrize("part", ["same", "labels"])
def test_pairs_of_glosses_have_the_ids_types_and_cuts_that_minilm_gives_them(tmp_path, assets, longest, part):
    rows = glosses()
    task = "multilabel" if part == "labels" else "text_classification"
    schema = {
        "columns": {"text": {}, "other": {}, part: {"dtype": "list[str]" if part == "labels" else "str"}},
        "parts": {"text": "text", "text_pair": "other", "labels" if part == "labels" else "label": part},
    }
    write_jsonl(tmp_path / "data.jsonl", rows)
    settings = {"max_length": longest, "overflow": "truncate"}
    sources = [{"path": "data.jsonl"}]
    manifest = prepare(tmp_path, schema, assets / "minilm", task=task, sources=sources, tokenize=settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets / "minilm")
    texts, others = ([row[name] for row in rows] for name in ("text", "other"))
    expected = tokenizer(texts, others, truncation="longest_first", max_length=longest)
    found = examples(tmp_path)
    assert sorted(found) == list(range(5001))
    cut = 0
    for place, example in found.items():
        assert example["input_ids"] == expected["input_ids"][place]
        assert example["token_type_ids"] == expected["token_type_ids"][place]
        cut += len(example["input_ids"]) == longest
        if task == "multilabel":
            held = [name for name, has in zip(manifest.label_names, example["labels"], strict=True) if has]
            assert held == rows[place]["labels"]
        else:
            assert manifest.label_names[example["labels"]] == rows[place]["same"]
    assert (cut > 100) == (longest < 100)
    assert manifest.tokenizer.backend.startswith(("tokie", "fastokens", "gigatoken"))


def test_scores_of_reviews_are_those_of_the_file(tmp_path, assets):
    source = assets / "vader_movieReviewSnippets.tsv"
    columns = {"id": {"dtype": "int"}, "score": {"dtype": "float"}, "text": {"checks": {"not_blank": True}}}
    header = {"header": list(columns), "quoting": False}
    manifest = prepare(
        tmp_path,
        {"columns": columns, "parts": {"text": "text", "score": "score"}},
        assets / "minilm",
        task="regression",
        sources=[{"path": str(source), **header}],
        split={"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": "score", "seed": 7},
    )
    lines = [line.split("\t") for line in source.read_bytes().decode().split("\r\n") if line]
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets / "minilm")
    expected = tokenizer([text for _, _, text in lines])["input_ids"]
    found = examples(tmp_path)
    assert len(found) == len(lines) == manifest.rows.written == 10_605
    for place, example in found.items():
        assert example["labels"] == float(np.float32(lines[place][1]))
        assert example["input_ids"] == expected[place]
    means = [np.mean(part["labels"]) for part in datasets.load_from_disk(str(tmp_path / "out")).values()]
    assert np.ptp(means) < 0.1
