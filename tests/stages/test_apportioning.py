import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.apportioning import fill_shares, round_shares


@st.composite
def shares_to_fill(draw):
    parts = draw(st.integers(1, 6))
    room = draw(st.lists(st.integers(0, 30), min_size=parts, max_size=parts))
    wanted = draw(st.lists(st.floats(-20, 60), min_size=parts, max_size=parts))
    weights = draw(st.lists(st.floats(0.01, 1), min_size=parts, max_size=parts))
    return wanted, weights, draw(st.integers(0, sum(room))), room


@given(shares_to_fill())
@quick
def test_shares_fill_the_total_within_their_room_and_nothing_nearer_does(filling):
    wanted, weights, total, room = filling
    shares = fill_shares(wanted, weights, total, room)
    assert sum(shares) == pytest.approx(total, abs=1e-6)
    assert all(-1e-6 <= share <= most + 1e-6 for share, most in zip(shares, room, strict=True))
    slopes = [(share - want) / weight for share, want, weight in zip(shares, wanted, weights, strict=True)]
    can_give = [slope for slope, share in zip(slopes, shares, strict=True) if share > 1e-6]
    can_take = [slope for slope, share, most in zip(slopes, shares, room, strict=True) if share < most - 1e-6]
    assert not can_give or not can_take or max(can_give) <= min(can_take) + 1e-3


@given(shares_to_fill(), st.lists(st.floats(-2, 2), min_size=6, max_size=6))
@quick
def test_rounding_keeps_the_total_and_moves_no_share_by_a_whole(filling, lead):
    wanted, weights, total, room = filling
    shares = fill_shares(wanted, weights, total, room)
    whole = round_shares(shares, total, room, lead[: len(shares)])
    assert sum(whole) == total
    assert all(abs(got - share) < 1 + 1e-6 for got, share in zip(whole, shares, strict=True))
    assert all(0 <= got <= most for got, most in zip(whole, room, strict=True))


def test_what_leads_is_rounded_up():
    assert round_shares([1.5, 1.5], 3, [9, 9], [0.0, 0.1]) == [1, 2]
    assert round_shares([1.5, 1.5], 3, [9, 9], [0.1, 0.0]) == [2, 1]
    assert round_shares([27.0, 3.0], 30, [30, 30], [0.0, 9.0]) == [27, 3]
