import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.audit import audit_split

sides_of = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2), st.none() | st.sampled_from("abc")), max_size=12)


@given(sides_of, st.data())
@quick
def test_every_key_and_pair_on_two_sides_is_counted(rows, data):
    sides = pl.DataFrame([row[:2] for row in rows], schema={"part": pl.Int8, "fold": pl.Int32}, orient="row")
    group = pl.Series([row[2] for row in rows], dtype=pl.String)
    place = st.integers(0, max(len(rows) - 1, 0))
    pairs = data.draw(st.lists(st.tuples(place, place), max_size=6 if rows else 0))
    near = pl.DataFrame(pairs, schema={"left": pl.UInt32, "right": pl.UInt32}, orient="row")
    crossing = audit_split(sides, {"groups": group}, near)
    assert crossing == {
        "groups": sum(len({row[:2] for row in rows if row[2] == name}) > 1 for name in "abc"),
        "near_pairs": sum(rows[left][:2] != rows[right][:2] for left, right in pairs),
    }
    without_folds = audit_split(sides.select("part"), {"groups": group})
    assert without_folds == {"groups": sum(len({row[0] for row in rows if row[2] == name}) > 1 for name in "abc")}
