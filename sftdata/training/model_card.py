"""The model card: what a trained model was made from and how good it is, for whoever finds it later."""

from pathlib import Path
from typing import Any

import yaml

from sftdata.functions import split_function
from sftdata.manifest import Manifest
from sftdata.records import Task
from sftdata.training.run import RunRecord

CARD_NAME = "README.md"

_PIPELINES = {
    Task.TEXT_CLASSIFICATION: "text-classification",
    Task.MULTILABEL: "text-classification",
    Task.REGRESSION: "text-classification",
    Task.TOKEN_CLASSIFICATION: "token-classification",
    Task.SEQ2SEQ: "text2text-generation",
    Task.CAUSAL_LM: "text-generation",
}


def write_card(directory: Path, record: RunRecord, manifest: Manifest) -> None:
    """Write the card of a finished run, with the front matter that model hubs read."""
    (directory / CARD_NAME).write_text(make_card(record, manifest, directory.resolve().name), encoding="utf-8")


def make_card(record: RunRecord, manifest: Manifest, name: str) -> str:
    """Return the card: where the data is from and its digests, settings, recipe, and scores on the validation part."""
    settings = record.settings.model_dump(mode="json", exclude_unset=True, exclude={"output_dir", "device"})
    parts = [
        f"---\n{_yaml(_front_matter(record))}---\n\n# {name}",
        f"Trained by sftdata {record.version} for {record.task} from `{record.base_model}`, {record.steps} steps; the "
        f"weights are those after step {record.best_step}.",
        f"## Scores\n\n{_scores(record)}",
        f"## Data\n\n{_splits(manifest)}\n\n{_digests(record, manifest)}",
        f"## Settings\n\n```yaml\n{_yaml(settings)}```",
        f"## Recipe of the data\n\n```yaml\n{_yaml(manifest.recipe)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(record: RunRecord) -> dict[str, Any]:
    is_local, is_own = Path(record.base_model).exists(), split_function(record.base_model) is not None
    lora = record.settings.lora
    return {
        **({} if is_local or is_own else {"base_model": record.base_model}),
        "library_name": "pytorch" if is_own else "peft" if lora and not lora.merge else "transformers",
        "pipeline_tag": _PIPELINES[record.task],
        "tags": ["sftdata", "sft"],
    }


def _scores(record: RunRecord) -> str:
    if not record.scores:
        return "There was no validation part."
    lines = [f"| {name} | {value:.6g} |" for name, value in record.scores.items()]
    chosen = f"On the validation part; `{record.metric}` chose the weights, so the scores flatter a little."
    return "\n".join([chosen, "", "| metric | value |", "| --- | ---: |", *lines])


def _splits(manifest: Manifest) -> str:
    lines = [
        f"| {name} | {split.rows:,} | {split.tokens:,} | {split.trained_tokens:,} |"
        for name, split in manifest.splits.items()
    ]
    return "\n".join(["| part | rows | tokens | trained |", "| --- | ---: | ---: | ---: |", *lines])


def _digests(record: RunRecord, manifest: Manifest) -> str:
    facts = {"shards": record.data_digest, "tokenizer": record.tokenizer_digest}
    facts |= {"chat template": manifest.chat_template_digest} if manifest.chat_template_digest else {}
    facts |= {f"source `{Path(source.path).name}`": source.digest for source in manifest.inputs}
    return "\n".join(["| what | digest |", "| --- | --- |", *(f"| {name} | `{of}` |" for name, of in facts.items())])


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True) if document else "{}\n"
