"""On real lengths: packs of 2,048 tokens are at least 99.5 % full, or as few as lengths allow."""

import itertools
import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from sftdata.plan import fewest_packs, make_plan, pack

pytestmark = pytest.mark.real

CAPACITY = 2048


def read_translations(assets):
    catalogue = json.loads((assets / "jupyterlab_en_zh.json").read_text(encoding="utf-8"))
    return [f"{source}\n{targets[0]}" for source, targets in catalogue.items() if source]


def read_chats(assets):
    chats = json.loads((assets / "chitchat.json").read_text(encoding="utf-8")).values()
    messages = [itertools.chain.from_iterable(chat["messages"]) for chat in chats]
    return ["\n".join(message["text"] for message in of_chat) for of_chat in messages]


def read_reviews(assets):
    files = [assets / f"zh_sent_{side}.txt" for side in ("pos", "neg")]
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


ASSETS = {"translation": (read_translations, 2000), "chat": (read_chats, 6000), "reviews": (read_reviews, 35_000)}
PAIRS = ["translation-qwen3", "translation-smollm2", "chat-qwen3", "chat-smollm2", "reviews-qwen3", "reviews-minilm"]


@pytest.fixture(scope="module", params=PAIRS)
def lengths(request, assets):
    """Tokens of each text that fits into a pack."""
    asset, model = request.param.split("-")
    read, least = ASSETS[asset]
    tokenizer = Tokenizer.from_file(str(assets / model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = np.array([len(encoded.ids) for encoded in tokenizer.encode_batch_fast(read(assets))])
    fitting = tokens[(tokens > 0) & (tokens <= CAPACITY)]
    assert len(fitting) > least
    return fitting


def test_packs_of_real_texts_are_full_or_as_few_as_can_be(lengths):
    packs, bound = len(pack(lengths, CAPACITY)), fewest_packs(lengths, CAPACITY)
    full = lengths.sum() / (packs * CAPACITY)
    assert packs == bound or full >= 0.995, f"{packs} packs, {full:.3%} full; the bound is {bound}"


def test_every_real_text_is_in_one_pack_of_each_epoch(lengths):
    plan = make_plan(lengths, seed=7, step_size=4, epochs=2, capacity=CAPACITY)
    epoch = plan.epoch_steps[0]
    assert plan.steps == 2 * epoch
    partners = []
    for steps in (range(epoch), range(epoch, plan.steps)):
        packs = [unit for step in steps for unit in plan.units(step)]
        assert np.array_equal(np.sort(np.concatenate(packs)), np.arange(len(lengths)))
        assert all(0 < lengths[unit].sum() <= CAPACITY for unit in packs)
        partners.append({tuple(sorted(unit.tolist())) for unit in packs})
    assert len(partners[0] & partners[1]) < len(partners[0]) / 2, "packed anew"
