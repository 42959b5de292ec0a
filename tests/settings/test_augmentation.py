import pytest
from pydantic import ValidationError

from sftdata.settings.augmentation import AugmentationStep


def test_a_step_is_one_name_with_its_settings():
    step = AugmentationStep.model_validate({"synonym_replacement": {"rate": 0.2, "copies": 3}})
    assert (step.name, step.settings.rate, step.settings.copies) == ("synonym_replacement", 0.2, 3)
    empty = AugmentationStep.model_validate({"random_swap": None})
    assert (empty.name, empty.settings.rate, empty.settings.side) == ("random_swap", 0.1, "input")
    assert AugmentationStep.model_validate(empty.model_dump(exclude_unset=True)) == empty


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "found nothing in one step, expected exactly one of synonym_replacement"),
        ({"random_swap": {}, "random_deletion": {}}, "found random_deletion and random_swap in one step"),
        ({"random_swop": {}}, "Extra inputs"),
        ({"random_swap": {"rate": 0}}, "greater than 0"),
        ({"random_swap": {"rate": 1.5}}, "less than or equal to 1"),
        ({"random_swap": {"copies": 0}}, "greater than or equal to 1"),
        ({"random_swap": {"factors": {"a": -1}}}, "greater than or equal to 0"),
        ({"random_swap": {"protect": [" "]}}, "pattern"),
        ({"random_swap": {"side": "output"}}, "'input' or 'all'"),
        ({"nlpaug": {"augmenter": "os:system"}}, "found 'os:system', expected a module for text inside nlpaug"),
        ({"nlpaug": {"augmenter": "nlpaug.augmenter.audio:NoiseAug"}}, "expected a module for text inside nlpaug"),
        ({"nlpaug": {}}, "Field required"),
    ],
)
def test_faults_say_what_was_expected(given, message):
    with pytest.raises(ValidationError, match=message):
        AugmentationStep.model_validate(given)
