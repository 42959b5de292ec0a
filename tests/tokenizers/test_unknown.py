"""Which id stands for what a vocabulary has not, for every kind of model."""

import pytest
import tokenizers
from tokenizers import models

from sftdata.tokenizers.loading import load_tokenizer

VOCABULARY = {"a": 0, "[UNK]": 1}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.WordPiece(VOCABULARY, unk_token="[UNK]"), 1),
        (models.WordLevel(VOCABULARY, unk_token="[UNK]"), 1),
        (models.BPE(VOCABULARY, [], unk_token="[UNK]"), 1),
        (models.BPE(VOCABULARY, []), None),
        (models.WordLevel(VOCABULARY, unk_token="nowhere"), None),
        (models.Unigram([("a", -1.0), ("b", -2.0), ("<unk>", 0.0)], unk_id=2), 2),
        (models.Unigram([("a", -1.0)]), None),
    ],
)
def test_the_unknown_id_is_that_of_the_model(tmp_path, model, expected):
    tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(str(tmp_path)).unknown_id == expected
