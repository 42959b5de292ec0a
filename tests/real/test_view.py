"""What real tokenizers' ids spell for a search is the text that they were made from."""

import numpy as np
import pytest
from tokenizers import Tokenizer

from sftdata.view.spelling import find_rows, spell

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def texts(assets):
    hard = (assets / "ggml-vocab-qwen2.gguf.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    reviews = (assets / "zh_sent_pos.txt").read_text(encoding="utf-8").splitlines()[:200]
    return [text for text in [*hard, *reviews] if text.strip()]


@pytest.mark.parametrize("name", ["qwen3", "deepseek"])
def test_byte_level_ids_spell_their_text(assets, texts, name):
    tokenizer = Tokenizer.from_file(str(assets / name / "tokenizer.json"))
    spelling = spell(tokenizer)
    assert spelling.keeps_spaces
    for text in texts:
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32)
        decoded = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        assert bytes(spelling.write(ids)[1]) == decoded.encode().lower()


@pytest.mark.parametrize("name", ["qwen3", "deepseek", "minilm"])
def test_words_are_found_in_the_rows_that_have_them(assets, texts, name):
    tokenizer = Tokenizer.from_file(str(assets / name / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    spelling, ids = spell(tokenizer), np.concatenate([np.array(row, dtype=np.int32) for row in rows])
    for query in ("Hello", "不错", "nhà", "Führer", "3333", "我"):
        hits = find_rows(spelling, spelling.compile(query), ids, starts, len(rows))
        plain = ["".join(tokenizer.decode(row, skip_special_tokens=True).lower().split()) for row in rows]
        normal = tokenizer.normalizer.normalize_str(query) if tokenizer.normalizer else query
        wanted = "".join(normal.lower().split())
        expected = [place for place, text in enumerate(plain) if wanted in text]
        assert [hit.row for hit in hits] == expected
