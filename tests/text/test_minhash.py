import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.keys import mix
from sftdata.text.minhash import EMPTY, MISSED, MOST_BINS, Bands, _fill_gaps, _probes, choose_bands, sign_shingles
from sftdata.text.shingles import Shingles

BANDS = Bands(22, 4)


def shingles_of(sets: list[list[int]]) -> Shingles:
    counts = [len(one) for one in sets]
    numbers = np.array([number for one in sets for number in one], dtype=np.uint64)
    return Shingles(mix(numbers), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_miss_hardly_a_pair_at_the_threshold_and_are_as_long_as_they_may(threshold):
    bands = choose_bands(threshold)
    assert bands.bins <= MOST_BINS
    assert (1 - threshold**bands.rows) ** bands.number <= MISSED
    longer = bands.rows + 1
    most = MOST_BINS // longer
    assert most == 0 or (1 - threshold**longer) ** most > MISSED


def test_too_low_a_threshold_is_refused():
    with pytest.raises(ValueError, match="expected at least"):
        choose_bands(0.01)


@pytest.mark.parametrize("size", [5, 20, 100, 1000])
@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8])
def test_agreement_estimates_jaccard(size, similarity):
    draws = 400
    common = round(2 * size * similarity / (1 + similarity))
    true = common / (2 * size - common)
    sets = []
    for draw in range(draws):
        start = draw * 10_000
        sets += [list(range(start, start + size)), list(range(start + size - common, start + 2 * size - common))]
    sketches = sign_shingles(shingles_of(sets), BANDS).sketches
    agree = (sketches[::2] == sketches[1::2]).mean(axis=1)
    expected = true + (1 - true) / 256  # one byte of a value agrees by chance
    standard_error = np.sqrt(true * (1 - true) / min(BANDS.bins, size) / draws)
    assert abs(agree.mean() - expected) < 4 * standard_error + 0.004


@quick
@given(st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=1, max_size=8))
def test_a_signature_depends_on_the_set_alone(sets):
    signed = sign_shingles(shingles_of(sets), BANDS)
    turned = sign_shingles(shingles_of([[*one[::-1], *one] for one in sets[::-1]]), BANDS)
    filled = signed.filled
    assert filled.tolist() == [bool(one) for one in sets]
    assert (signed.keys[filled] == turned.keys[::-1][filled]).all()
    assert (signed.sketches[filled] == turned.sketches[::-1][filled]).all()


def test_different_sets_and_different_seeds_give_different_signatures():
    sets = shingles_of([[1, 2, 3], [4, 5, 6]])
    signed, other = sign_shingles(sets, BANDS), sign_shingles(sets, BANDS, seed=1)
    assert (signed.keys[0] != signed.keys[1]).all()
    assert (signed.keys != other.keys).mean() > 0.9


@pytest.mark.parametrize("bins", [1, 2, 88, 128])
def test_every_bin_asks_all_bins_itself_first(bins):
    orders, ranks = _probes(bins)
    assert (orders[:, 0] == np.arange(bins)).all()
    assert (np.sort(orders, axis=1) == np.arange(bins)).all()
    assert (np.take_along_axis(ranks.T, orders, axis=1) == np.arange(bins)).all()


def test_an_empty_bin_borrows_from_the_first_filled_one_in_its_order():
    draw = np.random.default_rng(7)
    smallest = draw.integers(0, 2**31, (50, 22), dtype=np.uint32)
    smallest[draw.random((50, 22)) < np.linspace(0, 1, 50)[:, None]] = EMPTY
    orders, _ = _probes(22)
    expected = smallest.copy()
    for text, place in np.argwhere(smallest == EMPTY):
        filled = [asked for asked in orders[place] if smallest[text, asked] != EMPTY]
        expected[text, place] = smallest[text, filled[0]] if filled else EMPTY
    assert (_fill_gaps(smallest.copy()) == expected).all()


def test_no_texts_have_no_signatures():
    signed = sign_shingles(shingles_of([]), BANDS)
    assert (signed.keys.shape, signed.sketches.shape, signed.filled.shape) == ((0, 22), (0, 88), (0,))
