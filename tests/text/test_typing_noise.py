import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.keys import mix
from sftdata.text.typing_noise import alternatives, mistype, neighbours, sound_alike

latin = st.text("abcxyzABCXYZ", min_size=4, max_size=12)


def keys_for(count, seed=0):
    return mix(np.arange(count, dtype=np.uint64) + np.uint64(seed))


def test_neighbouring_keys_touch_each_other():
    found = neighbours()
    assert set(found["g"]) == set("fhtyvb")
    assert set(found["q"]) == set("wa")
    assert len(found) == 26
    assert all(letter in found[other] for letter, others in found.items() for other in others)


@given(st.lists(latin, max_size=8), st.integers(0, 2**32))
@quick
def test_one_letter_or_two_that_stand_together_change_and_never_the_first(words, seed):
    mistyped = mistype(pl.Series(words, dtype=pl.String), keys_for(len(words), seed))
    for before, after in zip(words, mistyped, strict=True):
        places = [place for place in range(len(before)) if before[place] != after[place]]
        assert len(before) == len(after)
        assert len(places) in (1, 2)
        assert places[0] > 0
        if len(places) == 2:
            assert places[1] == places[0] + 1
            assert sorted(before) == sorted(after)
        else:
            (place,) = places
            assert after[place].lower() in neighbours()[before[place].lower()]
            assert after[place].isupper() == before[place].isupper()


def test_noise_is_spread_over_kinds_and_places():
    words = pl.Series(["planet"] * 3000)
    mistyped = mistype(words, keys_for(3000))
    swapped = sum(sorted(word) == sorted("planet") for word in mistyped)
    assert 1200 < swapped < 1800
    assert mistyped.n_unique() > 20


def test_one_character_becomes_another_of_the_same_sound():
    homophones = alternatives({"他": "她它", "在": "再"})
    words = pl.Series(["他在", "我们", "在家", "他"])
    heard = sound_alike(words, keys_for(4), homophones)
    assert heard[1] == "我们"
    assert heard[2] == "再家"
    assert heard[3] in ("她", "它")
    assert heard[0] in ("她在", "它在", "他再")
    assert set(sound_alike(pl.Series(["他在"] * 200), keys_for(200), homophones)) == {"她在", "它在", "他再"}


def test_nothing_gives_nothing():
    empty = pl.Series([], dtype=pl.String)
    assert mistype(empty, keys_for(0)).to_list() == []
    assert sound_alike(empty, keys_for(0), alternatives({})).to_list() == []
    assert sound_alike(pl.Series(["他"]), keys_for(1), alternatives({})).to_list() == ["他"]
