"""Homophones are what a pinyin keyboard offers: other characters of the same syllable, the commonest first."""

import re
from importlib import resources

import pytest

from sftdata.text.homophones import MOST, homophones

LINES = resources.files("sftdata").joinpath("data/homophones.txt").read_text(encoding="utf-8").splitlines()
SYLLABLES = dict(line.split(": ") for line in LINES if line and not line.startswith("#"))

INITIALS = "b|p|m|f|d|t|n|l|g|k|h|j|q|x|zh|ch|sh|r|z|c|s|y|w"


def test_the_table_is_written_as_its_head_says():
    assert len(SYLLABLES) >= 390
    assert len({character for line in SYLLABLES.values() for character in line}) >= 2_500
    for syllable, characters in SYLLABLES.items():
        assert re.fullmatch(rf"(?:{INITIALS})?[aeiouü][a-zü]*", syllable), syllable
        assert len(set(characters)) == len(characters), syllable
        assert all("一" <= character <= "鿿" for character in characters), syllable


@pytest.mark.parametrize(
    "alike", ["的得地", "在再", "做作坐", "他她它", "已以", "像象", "哪那", "做坐座", "带戴", "根跟"]
)
def test_what_people_mix_up_is_there_both_ways(alike):
    for one in alike:
        assert set(alike) - {one} <= set(homophones()[one])


def test_homophones_share_a_syllable_and_are_never_the_character_itself():
    of = {}
    for syllable, characters in SYLLABLES.items():
        for character in characters:
            of.setdefault(character, set()).add(syllable)
    assert max(map(len, of.values())) <= 3
    for character, others in homophones().items():
        assert character not in others
        assert len(set(others)) == len(others)
        assert 1 <= len(others) <= MOST * len(of[character])
        assert all(of[character] & of[other] for other in others)


def test_the_commonest_come_first():
    assert homophones()["誓"].startswith("是时事")
    assert homophones()["是"].startswith("时事")


def test_the_mapping_is_made_once_and_cannot_be_changed():
    assert homophones() is homophones()
    with pytest.raises(TypeError):
        homophones()["的"] = "底"
