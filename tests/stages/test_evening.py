import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.evening import even_out
from sftdata.stages.kinds import sort_kinds
from sftdata.stages.strata import Strata

rows_of = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60)


def make_kinds(rows):
    """Return the kinds of rows with a unit and a stratum each."""
    units = np.unique([unit for unit, _ in rows], return_inverse=True)[1]
    codes = np.array([code for _, code in rows])
    strata = Strata(np.arange(len(rows)), codes, ("a", "b", "c", "d"))
    return sort_kinds(units, np.arange(int(units.max()) + 1, dtype=np.uint64), strata)


def deal_anyhow(kinds, draw, parts):
    places = st.integers(0, parts - 1)
    counts = np.zeros((len(kinds.sizes), parts), dtype=np.int64)
    for kind, units in enumerate(kinds.units):
        for _ in range(units):
            counts[kind, draw(places)] += 1
    return counts


def rows_of_strata(counts, kinds):
    rows = np.zeros((kinds.pool + 1, counts.shape[1]))
    np.add.at(rows, kinds.strata, kinds.amounts[:, None] * np.repeat(counts, np.diff(kinds.starts), axis=0))
    return rows


def unevenness(counts, kinds):
    rows, sizes = rows_of_strata(counts, kinds), kinds.sizes @ counts
    excess = rows - rows.sum(axis=1, keepdims=True) * sizes / sizes.sum()
    return (excess[:, sizes > 0] ** 2 / sizes[sizes > 0]).sum()


@given(rows_of)
@quick
def test_kinds_are_units_of_the_same_looks(rows):
    kinds = make_kinds(rows)
    units = sorted({unit for unit, _ in rows})
    looks = [sorted(code for other, code in rows if other == unit) for unit in units]
    codes = [code for unit in units for code in {code for other, code in rows if other == unit}]
    alone = {code for code in codes if codes.count(code) == 1}
    for kind in range(len(kinds.sizes)):
        pairs = slice(kinds.starts[kind], kinds.starts[kind + 1])
        found = dict(zip(kinds.strata[pairs].tolist(), kinds.amounts[pairs].tolist(), strict=True))
        of_kind = [look for look, its in zip(looks, kinds.of_unit, strict=True) if its == kind]
        assert len(of_kind) == kinds.units[kind] >= 1
        for look in of_kind:
            pooled = [kinds.pool if code in alone else code for code in look]
            assert found == {code: pooled.count(code) for code in pooled}
            assert len(look) == kinds.sizes[kind]
    assert (np.diff(kinds.sizes) <= 0).all()
    assert kinds.rows_of_pool() == sum(len(look) for look in looks if alone & set(look))
    assert kinds.count_rows().sum() == len(rows)


@given(rows_of, st.integers(2, 4), st.data())
@quick
def test_swaps_make_parts_more_even_and_change_no_size(rows, parts, data):
    kinds = make_kinds(rows)
    counts = deal_anyhow(kinds, data.draw, parts)
    before = counts.copy()
    swapped = even_out(counts, kinds, parts)
    assert (counts == before).all()
    assert (swapped >= 0).all()
    assert (swapped.sum(axis=1) == kinds.units).all()
    for size in set(kinds.sizes):
        of_size = kinds.sizes == size
        assert (swapped[of_size].sum(axis=0) == counts[of_size].sum(axis=0)).all()
    assert unevenness(swapped, kinds) <= unevenness(counts, kinds) + 1e-6


@given(rows_of, st.data())
@quick
def test_no_stratum_loses_its_last_unit_in_training(rows, data):
    kinds = make_kinds(rows)
    counts = deal_anyhow(kinds, data.draw, 3)
    trained = rows_of_strata(counts, kinds)[:, 0] > 0
    assert (rows_of_strata(even_out(counts, kinds, 1), kinds)[trained, 0] > 0).all()


def test_what_can_be_even_becomes_even():
    kinds = make_kinds([(row, row % 2) for row in range(20)])
    assert even_out(np.array([[10, 0], [0, 10]]), kinds, 2).tolist() == [[5, 5], [5, 5]]
