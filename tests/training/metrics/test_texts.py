import json

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.training.metrics import score_texts
from sftdata.training.metrics.texts import choose_tokenizer

words = st.sampled_from(["the", "cat", "sat", "on", "a", "mat", ".", "打开", "文件", "，", "Ω", "", " "])
sentences = st.lists(words, max_size=9).map(" ".join)


@given(st.lists(st.tuples(sentences, sentences | st.just("")), min_size=1, max_size=8))
@quick
def test_scores_are_those_of_sacrebleu(rows):
    references, found = map(list, zip(*rows, strict=True))
    result = score_texts(references, found)
    tokenizer = choose_tokenizer(references)
    assert result.values["bleu"] == sacrebleu.corpus_bleu(found, [references], tokenize=tokenizer).score
    assert result.values["chrf"] == sacrebleu.corpus_chrf(found, [references]).score
    assert f"tok:{tokenizer}|" in result.details["bleu_signature"]
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("references", "tokenizer"),
    [
        (["Open the file.", "Save"], "13a"),
        (["打开文件", "保存 %1"], "zh"),
        (["打开 README.md"], "13a"),
        (["打开文件", "Save"], "13a"),  # as many of both
        (["ファイルを開く", "保存する"], "char"),
        (["เปิดไฟล์"], "char"),
        (["파일 열기"], "13a"),
        (["", "123 ..."], "13a"),
    ],
)
def test_the_tokenizer_is_found_in_the_references_alone(references, tokenizer):
    assert choose_tokenizer(references) == tokenizer
    details = score_texts(references, ["打开"] * len(references)).details
    assert f"tok:{tokenizer}|" in details["bleu_signature"]


def test_chinese_is_scored_by_characters():
    references, found = ["我们打开这个文件"], ["我们打开那个文件"]
    assert score_texts(references, found).values["bleu"] > 30
    assert sacrebleu.corpus_bleu(found, [references]).score == 0  # what a tokenizer for English would say


def test_a_model_that_says_nothing_scores_0():
    result = score_texts(["a cat", "一只猫"], ["", " "])
    assert result.values == {"bleu": 0.0, "chrf": 0.0}
    assert result.details["empty_predictions"] == 2
