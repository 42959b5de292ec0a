import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.settings.splitting import SplitSettings, plan_sizes

parts = st.floats(0, 10) | st.integers(2, 400) | st.just(0)


def fault_of(**wishes):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is what is tested
        SplitSettings(**wishes)
    return str(caught.value)


def test_the_defaults_are_those_of_the_recipe():
    settings = SplitSettings()
    assert (settings.train, settings.validation, settings.test) == (0.9, 0.05, 0.05)
    assert settings.part_names() == ("train", "validation", "test")


def test_folds_have_no_validation_part_and_a_test_part_only_when_it_is_asked_for():
    assert SplitSettings(folds=5).part_names() == ("train",)
    assert SplitSettings(folds=5, test=0.1).part_names() == ("train", "test")
    assert "each fold in turn is the validation part" in fault_of(folds=5, validation=0.1)


@pytest.mark.parametrize("name", ["validation", "test"])
@pytest.mark.parametrize("value", [1, True, -1, -0.5, float("inf"), float("nan"), "many"])
def test_a_part_is_a_share_or_at_least_two_rows(name, value):
    assert f"\n{name}" in fault_of(**{name: value})


@pytest.mark.parametrize("value", [8, 2, 0, -1.0, True])
def test_training_is_a_share_above_zero(value):
    assert "\ntrain\n" in fault_of(train=value)


def test_weights_that_look_like_the_old_ones_but_are_numbers_of_rows_are_refused():
    assert "training takes what counted parts leave" in fault_of(train=8, validation=1, test=1)
    assert SplitSettings(train=8.0, validation=1.0, test=1.0).train == 8
    assert SplitSettings(train=1, validation=0, test=0).part_names() == ("train",)


def test_stable_goes_with_neither_numbers_of_rows_nor_strata():
    assert "number of rows for test" in fault_of(method="stable", test=500)
    assert "beside stratify" in fault_of(method="stable", stratify="label")


@pytest.mark.parametrize("settings", [SplitSettings(test=1.0), SplitSettings(folds=3, test=20)])
def test_settings_survive_json(settings):
    again = SplitSettings.model_validate_json(settings.model_dump_json())
    assert again == settings
    assert plan_sizes(again, 100) == plan_sizes(settings, 100)


@given(st.floats(0.001, 10), parts, parts, st.integers(0, 3000))
@quick
def test_sizes_add_up_and_are_the_quotas_rounded(train, validation, test, rows):
    wishes = [wish if isinstance(wish, float) or wish else 0.0 for wish in (validation, test)]
    settings = SplitSettings(train=train, validation=wishes[0], test=wishes[1])
    counted = sum(wish for wish in wishes if isinstance(wish, int))
    if counted and counted >= rows:
        with pytest.raises(ValueError, match=f"found {rows:,} rows, expected more than the {counted:,}"):
            plan_sizes(settings, rows)
        return
    sizes = plan_sizes(settings, rows)
    assert sum(sizes) == rows
    assert len(sizes) == len(settings.part_names())
    assert rows == 0 or sizes[0] >= 1
    given_wishes = [train, *(wish for wish in wishes if wish)]
    weight = sum(wish for wish in given_wishes if isinstance(wish, float))
    for wish, size in zip(given_wishes, sizes, strict=True):
        quota = wish if isinstance(wish, int) else (rows - counted) * wish / weight
        assert abs(size - quota) < (1 if sizes[0] > 1 else 2)
        assert isinstance(wish, float) or sizes[0] == 1 or size == wish


def test_one_tenth_of_thirty_is_three():
    assert plan_sizes(SplitSettings(train=0.8, validation=0.1, test=0.1), 30) == [24, 3, 3]
    assert plan_sizes(SplitSettings(test=500, validation=0), 10_000) == [9500, 500]
    assert plan_sizes(SplitSettings(train=0.001, validation=0, test=1.0), 1) == [1, 0]
