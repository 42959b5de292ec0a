import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.units import find_units, first_rows

keys = st.none() | st.integers(0, 12)
rows_of = st.lists(st.tuples(keys, keys), max_size=40)


def spread_slowly(rows):
    """Name each row by the smallest row that a chain of shared groups or clusters leads to."""
    names = list(range(len(rows)))
    for _ in rows:
        for left, (group, cluster) in enumerate(rows):
            for right, (other_group, other_cluster) in enumerate(rows):
                if (group is not None and group == other_group) or (cluster is not None and cluster == other_cluster):
                    names[left] = names[right] = min(names[left], names[right])
    return names


def columns(rows):
    return (pl.Series([row[place] for row in rows], dtype=pl.Int64) for place in (0, 1))


@given(rows_of)
@example([(i // 2, (i + 1) // 2) for i in range(30)])
@example([(9 - i // 2, (i + 1) // 2) for i in range(20)])
@quick
def test_units_are_what_chains_of_groups_and_clusters_tie_together(rows):
    group, cluster = columns(rows)
    units = find_units(group, cluster, len(rows))
    names = spread_slowly(rows)
    assert units.dtype == np.int64
    assert units.tolist() == [sorted(set(names)).index(name) for name in names]
    assert find_units(cluster, group, len(rows)).tolist() == units.tolist()
    assert find_units(group.cast(pl.String), cluster, len(rows)).tolist() == units.tolist()


@given(rows_of)
@quick
def test_chunks_and_slices_make_no_difference(rows):
    group, cluster = columns(rows)
    units = find_units(group, cluster, len(rows)).tolist()
    chunked = pl.concat([group[:3], group[3:]], rechunk=False)
    sliced = pl.concat([pl.Series([7, None, 3]), cluster], rechunk=True)[3:]
    assert find_units(chunked, sliced, len(rows)).tolist() == units


def test_without_keys_every_row_is_a_unit_and_nulls_share_nothing():
    assert find_units(None, None, 3).tolist() == [0, 1, 2]
    assert find_units(pl.Series([None, None, 1, 1]), None, 4).tolist() == [0, 1, 2, 2]
    assert find_units(None, None, 0).tolist() == []
    assert first_rows(pl.Series(["b", "a", None, "b", None])).tolist() == [0, 1, 2, 0, 4]


def test_a_long_chain_is_one_unit():
    place = np.random.default_rng(7).permutation(100_000)
    units = find_units(pl.Series(place // 2), pl.Series((place + 1) // 2), len(place))
    assert (units == 0).all()
