"""Write text with a model, greedily."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.records import IGNORE_INDEX
from sftdata.tokenizers.loading import Tokenizer
from sftdata.training.distributed import ALONE, Ranks, gather_all
from sftdata.training.examples import Examples
from sftdata.training.scoring import cut_split, take_turns
from sftdata.training.sharding import without_gradients


def write_tokens(
    model: Any, tokens: torch.Tensor, mask: torch.Tensor, *, pad_id: int, max_new_tokens: int
) -> list[list[int]]:
    """Return the ids that a model writes for each line of a batch, without what fills up shorter ones.

    Args:
        model: in evaluation mode.
        tokens: padded on the left for a decoder alone, on the right for an encoder; shape `[lines, width]`, int64.
        mask: 1 where there is a token, of the same shape.
        pad_id: what fills lines.
        max_new_tokens: most ids of a line.
    """
    with without_gradients(model):
        written = model.generate(
            input_ids=tokens.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=pad_id,
        )
    before = 1 if model.config.is_encoder_decoder else tokens.shape[1]
    return [_cut_behind_end(line, model) for line in written[:, before:].cpu().numpy()]


def _cut_behind_end(line: NDArray[np.int64], model: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    found = np.flatnonzero(np.isin(line, [] if ends is None else ends))
    ids: list[int] = line[: found[0] + 1 if len(found) else None].tolist()
    return ids


def write_texts(
    model: Any, tokenizer: Tokenizer, examples: Examples, *, batch_size: int, bf16: bool, ranks: Ranks = ALONE
) -> tuple[list[str], list[str]]:
    """Write a text for each source of a split with a seq2seq model; ranks share the sources, and get all.

    It may write as many tokens as the longest target has.

    Returns:
        The references, which are the targets as decoded from their ids, and what was written; a text an example each.
    """
    texts: dict[int, tuple[str, str]] = {}
    most, batches = int(examples.targets.max()), cut_split(examples, batch_size)
    model.eval()
    for rows in take_turns(batches, ranks, filler=batches[0]):
        batch, pad_id = examples.gather(rows), int(model.config.pad_token_id or 0)
        mask = torch.from_numpy(np.arange(batch.longest) < examples.lengths[rows, None]).long()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            written = write_tokens(model, batch.input_ids, mask, pad_id=pad_id, max_new_tokens=most)
        targets = [line[line != IGNORE_INDEX].tolist() for line in batch.targets.numpy()]
        for row, ids, target in zip(rows.tolist(), written, targets, strict=True):
            texts[row] = (tokenizer.reference.decode(target), tokenizer.reference.decode(ids))
    of_all = {row: pair for part in gather_all(ranks, texts) for row, pair in part.items()}
    references, found = zip(*(of_all[row] for row in range(len(examples))), strict=True)
    return list(references), list(found)
