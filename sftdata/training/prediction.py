"""Apply a finished run to texts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from sftdata.engine import Watch
from sftdata.errors import DataError, UsageError
from sftdata.plan import micro_batches
from sftdata.records import Task
from sftdata.training.encoding import Asked, Encoded, check_texts, encode_asked
from sftdata.training.evaluation import list_thresholds
from sftdata.training.finished import find_weights, load_run
from sftdata.training.generation import write_tokens
from sftdata.training.heads import takes
from sftdata.training.metrics import choose_labels, find_scheme, find_spans
from sftdata.training.models import choose_device, quiet_transformers, read_config
from sftdata.training.positions import longest_input
from sftdata.training.run import RunRecord, fold_path, read_run

RESPONSE_TOKENS = 64
"""Most tokens of a response, where nobody says how many."""

_WRITTEN = {Task.CAUSAL_LM: "response", Task.SEQ2SEQ: "target"}
"""What a text is called that a model writes."""


def predict(
    run: str | Path,
    texts: Sequence[Asked],
    text_pairs: Sequence[str] | None,
    *,
    batch_size: int,
    device: str,
    max_new_tokens: int | None,
    watch: Watch,
) -> list[dict[str, Any]]:
    """Do what `sftdata.training.predict` says."""
    record = read_run(Path(run))
    check_texts(record, texts, text_pairs, Path(run))
    most = max_new_tokens or record.longest_target or RESPONSE_TOKENS
    members = find_members(Path(run), record)
    with quiet_transformers():
        tokenizer = transformers.AutoTokenizer.from_pretrained(members[0])
        encoded = encode_asked(tokenizer, texts, text_pairs, record.task, members[0])
        room = most if record.task == Task.CAUSAL_LM else 0
        _check_lengths(encoded, longest_input(read_config(find_weights(members[0], record))), room)
        lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
        batches = micro_batches(np.arange(len(texts)), lengths, batch_size)
        parts = [[encoded[row] for row in rows] for rows in batches]
        told = _Told(len(texts) * len(members), watch).each
        if record.task in _WRITTEN:
            model, _ = load_run(members[0], record, choose_device(device))
            answers = [_write(model, tokenizer, part, record.task, most) for part in told(parts)]
        else:
            found = _find_together(members, lambda: told(parts), record, choose_device(device))
            answers = [_tell(of_part, part, record) for of_part, part in zip(found, parts, strict=True)]
    results: list[dict[str, Any]] = [{} for _ in texts]
    for rows, of_part in zip(batches, answers, strict=True):
        for row, answer in zip(rows.tolist(), of_part, strict=True):
            results[row] = answer
    asked = [{"text": text} if isinstance(text, str) else {} for text in texts]
    if text_pairs is not None:
        asked = [{**of_row, "text_pair": text} for of_row, text in zip(asked, text_pairs, strict=True)]
    return [{**of_row, **result} for of_row, result in zip(asked, results, strict=True)]


class _Told:
    """Tells how many of so many texts are done."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._done, self._total, self._watch = 0, total, watch

    def each(self, parts: Iterable[Sequence[Encoded]]) -> Iterator[Sequence[Encoded]]:
        """Yield parts of the texts; the next one is asked for when one is done."""
        for part in parts:
            yield part
            self._done += len(part)
            self._watch("predict", self._done, self._total)


def _check_lengths(encoded: Sequence[Encoded], limit: int | None, room: int) -> None:
    for number, one in enumerate(encoded, start=1):
        if limit is not None and len(one.ids) + room > limit:
            raise DataError(
                f"text {number} has {len(one.ids)} tokens{f' and {room} to come' if room else ''}; the model takes "
                f"{limit}. Shorten it."
            )


def find_members(run: Path, record: RunRecord) -> list[Path]:
    """Return the runs whose models answer together: those of all folds of a cross-validation, else the run itself.

    Raises:
        UsageError: models that write cannot answer together.
    """
    if record.folds is None:
        return [run]
    if record.task in _WRITTEN:
        raise UsageError(
            f"{run} has a model for each of {record.folds} folds, which cannot write together. "
            f"Name one: {fold_path(run, 0)}"
        )
    return [fold_path(run, number) for number in range(record.folds)]


def _find_together(
    members: Sequence[Path], parts: Callable[[], Iterable[Sequence[Encoded]]], record: RunRecord, device: torch.device
) -> list[torch.Tensor]:
    """Return the mean of what each model finds in each part: scores, or probabilities of labels, classes or tags."""
    sums: list[torch.Tensor] = []
    for member in members:
        model, config = load_run(member, record, device)
        found = [_read(_find_logits(model, config, part), record.task) / len(members) for part in parts()]
        sums = [before + more for before, more in zip(sums, found, strict=True)] if sums else found
    return sums


def _read(logits: torch.Tensor, task: Task) -> torch.Tensor:
    if task == Task.REGRESSION:
        return logits
    return logits.sigmoid() if task == Task.MULTILABEL else logits.softmax(dim=-1)


def _find_logits(model: Any, config: Any, encoded: Sequence[Encoded]) -> torch.Tensor:
    """Return what a model makes of these texts: float32, shape `[texts, outputs]`, for tags `[texts, width, tags]`."""
    pad_id = config.get_text_config().pad_token_id or 0
    tokens, mask = _pad([one.ids for one in encoded], pad_id, left=False)
    inputs = {"input_ids": tokens.to(model.device), "attention_mask": mask.to(model.device)}
    types = [one.types for one in encoded if one.types is not None]
    if types and takes(model, "token_type_ids"):
        inputs["token_type_ids"] = _pad(types, 0, left=False)[0].to(model.device)
    with torch.inference_mode():
        logits: torch.Tensor = model(**inputs).logits.float()
    return logits


def _tell(found: torch.Tensor, encoded: Sequence[Encoded], record: RunRecord) -> list[dict[str, Any]]:
    """Say what scores or probabilities mean, an answer a text."""
    names = record.label_names or ()
    match record.task:
        case Task.REGRESSION:
            return [{"score": value} for value in found.squeeze(-1).tolist()]
        case Task.MULTILABEL:
            return _tell_labels(found.cpu().numpy(), names, list_thresholds(record))
        case Task.TOKEN_CLASSIFICATION:
            best = found.argmax(dim=-1).cpu().numpy()
            return [_tell_tags(tags, one, names) for tags, one in zip(best, encoded, strict=True)]
    likeliest = found.max(dim=-1)
    pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    return [{"label": names[place], "probability": probability} for place, probability in pairs]


def _tell_labels(
    found: NDArray[np.float32], names: Sequence[str], thresholds: NDArray[np.float32] | None
) -> list[dict[str, Any]]:
    return [
        {
            "labels": [names[place] for place in np.flatnonzero(chosen).tolist()],
            "probabilities": dict(zip(names, row.tolist(), strict=True)),
        }
        for row, chosen in zip(found, choose_labels(found, thresholds), strict=True)
    ]


def _tell_tags(tags: NDArray[np.int64], one: Encoded, names: Sequence[str]) -> dict[str, Any]:
    """Give each word the tag of its first token; name the entities where the tags spell some."""
    words, of_words = one.words or [], tags[one.firsts or []]
    told = {"tokens": words, "tags": [names[tag] for tag in of_words]}
    if find_scheme(names) is None:
        return told
    spans = find_spans(of_words, names, np.array([len(words)]))
    entities = [
        {"kind": told["tags"][start][2:], "start": start, "end": end + 1, "tokens": words[start : end + 1]}
        for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)
    ]
    return {**told, "entities": entities}


def _write(model: Any, tokenizer: Any, encoded: Sequence[Encoded], task: Task, most: int) -> list[dict[str, Any]]:
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    tokens, mask = _pad([one.ids for one in encoded], pad_id, left=task == Task.CAUSAL_LM)
    written = write_tokens(model, tokens, mask, pad_id=pad_id, max_new_tokens=most)
    return [{_WRITTEN[task]: text} for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def _pad(ids: list[list[int]], pad_id: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(tokens) for tokens in ids)
    padded = np.full((len(ids), width), pad_id, dtype=np.int64)
    mask = np.zeros_like(padded)
    for line, tokens in enumerate(ids):
        place = slice(width - len(tokens), width) if left else slice(0, len(tokens))
        padded[line, place], mask[line, place] = tokens, 1
    return torch.from_numpy(padded), torch.from_numpy(mask)
