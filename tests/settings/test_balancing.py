import pytest

from sftdata.settings.balancing import BalanceSettings


@pytest.mark.parametrize(
    "wishes",
    [
        {"oversample": 0.0},
        {"oversample": 1.5},
        {"oversample": "smallest"},
        {"undersample": 0.5},
        {"undersample": "largest"},
        {"weights": "inverse"},
        {"beta": 1.0},
        {"beta": -0.1},
    ],
)
def test_what_makes_no_sense_is_refused(wishes):
    with pytest.raises(ValueError, match=next(iter(wishes))):
        BalanceSettings(**wishes)


def test_both_directions_must_meet_in_the_middle():
    with pytest.raises(ValueError, match="found smallest beside oversample: largest"):
        BalanceSettings(oversample="largest", undersample="smallest")
    assert BalanceSettings(oversample="median", undersample="median").weights is None
