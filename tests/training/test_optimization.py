"""The learning rate of every step, and the optimiser."""

import itertools

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import settings

from sftdata.errors import TrainingError
from sftdata.training import train
from sftdata.training.optimization import clip_gradients, learning_rate, make_optimizer, phases, trained_weights


def rates(tmp_path, steps, **others):
    given_settings = settings(tmp_path, tmp_path, learning_rate=2.0, **others)
    return [learning_rate(step, steps, given_settings) for step in range(steps)]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_learning_rate_rises_then_falls_and_is_never_zero(kind, tmp_path):
    found = rates(tmp_path, 50, schedule=kind)
    assert found[:6] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.0])
    assert all(left > right > 0 for left, right in itertools.pairwise(found[5:]))
    assert found[5 + 45 // 3] == pytest.approx(2 * (2 / 3 if kind == "linear" else 0.75))
    assert rates(tmp_path, 1, schedule=kind, warmup=0) == [2.0]


def test_a_constant_one_stays_where_it_is(tmp_path):
    assert rates(tmp_path, 6, schedule="constant", warmup=2) == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_wsd_stays_between_warm_up_and_decay(tmp_path):
    assert rates(tmp_path, 10, schedule="wsd", warmup=2, cooldown=4) == [1, 2, 2, 2, 2, 2, 2, 1.5, 1, 0.5]
    assert rates(tmp_path, 10, schedule="wsd", warmup=0.2, cooldown=0.4) == [1, 2, 2, 2, 2, 2, 2, 1.5, 1, 0.5]


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_it_falls_to_the_least_rate(kind, tmp_path):
    found = rates(tmp_path, 1000, schedule=kind, warmup=0, cooldown=0.5, min_learning_rate=0.5)
    assert found[-1] == pytest.approx(0.5, abs=0.01)
    assert min(found) == found[-1] > 0.5


def test_cosine_and_linear_agree_with_transformers(tmp_path):
    for kind in ("linear", "cosine", "constant_with_warmup"):
        weight = torch.nn.Parameter(torch.zeros(2))
        optimizer = torch.optim.SGD([weight], lr=2.0)
        reference = transformers.get_scheduler(kind, optimizer, num_warmup_steps=7, num_training_steps=40)
        expected = []
        for _ in range(40):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            reference.step()
        found = rates(tmp_path, 40, schedule=kind.removesuffix("_with_warmup"), warmup=7)
        assert found[7:] == pytest.approx(expected[7:])
        assert found[:6] == pytest.approx(expected[1:7]), "ours is above zero in the first step"


@given(
    steps=st.integers(1, 200),
    kind=st.sampled_from(["linear", "cosine", "constant", "wsd"]),
    warmup=st.floats(0, 0.99) | st.integers(0, 50),
    cooldown=st.floats(0, 0.99) | st.integers(0, 50),
    least=st.floats(0, 2),
)
def test_every_step_has_a_rate_between_zero_and_the_highest(tmp_path_factory, steps, kind, warmup, cooldown, least):
    place = tmp_path_factory.getbasetemp()
    try:
        chosen = {"schedule": kind, "warmup": warmup, "cooldown": cooldown, "min_learning_rate": least}
        rising, falling = phases(steps, settings(place, place, learning_rate=2.0, **chosen))
        found = rates(place, steps, **chosen)
    except (TrainingError, ValidationError):
        assert isinstance(warmup, int) or kind == "wsd"
        return
    assert all(0 < rate <= 2.0 for rate in found)
    assert found[:rising] == sorted(found[:rising])
    assert found[rising:] == sorted(found[rising:], reverse=True)
    assert kind not in ("constant", "wsd") or set(found[rising : steps - falling]) <= {2.0}


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"schedule": "polynomial"}, "'linear', 'cosine', 'constant' or 'wsd'"),
        ({"warmup": 1.5}, r"found 1\.5, expected a share below 1, or a whole number of steps"),
        ({"warmup": -3}, "greater than or equal to 0"),
        ({"schedule": "wsd", "warmup": 0.7, "cooldown": 0.4}, "expected at most 1 together"),
        ({"min_learning_rate": 0.1}, "at most learning_rate, 0.005"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"adam_beta2": 1.0}, "less than 1"),
        ({"neftune_noise_alpha": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(others, says, tmp_path):
    with pytest.raises(ValidationError, match=says):
        settings(tmp_path, tmp_path, **others)


@pytest.mark.parametrize("others", [{"warmup": 9}, {"schedule": "wsd", "warmup": 4, "cooldown": 5}])
def test_a_run_with_fewer_steps_than_its_schedule_is_refused(others, class_data, tiny_bert, tmp_path):
    with pytest.raises(TrainingError, match=r"found train\.warmup \d.*, but the run has 8 steps in all"):
        train(class_data, settings(tiny_bert, tmp_path / "run", **others), progress=False)
    assert not (tmp_path / "run").exists()


def test_the_optimiser_takes_what_the_settings_say(tiny_bert, tmp_path):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    wanted = settings(tiny_bert, tmp_path, adam_beta1=0.8, adam_beta2=0.95, adam_epsilon=1e-6)
    for group in make_optimizer(model, wanted).param_groups:
        assert (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-6)


@pytest.mark.parametrize("most", [0.1, 1.0, 1e9])
def test_gradients_are_clipped_as_torch_does_it(most, tmp_path):
    ours, theirs = (_take_steps(clip, most, tmp_path) for clip in (clip_gradients, _clip_as_torch))
    assert ours[0] == pytest.approx(theirs[0])
    assert most != 1.0 or min(ours[0]) < most < max(ours[0])
    for left, right in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)


def test_a_step_behind_a_clipped_one_is_not_clipped(tmp_path):
    torch.manual_seed(1)
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = make_optimizer(torch.nn.ParameterList([weight]), settings(tmp_path, tmp_path))
    for size in (100.0, 0.5):
        weight.grad = torch.full((3,), size)
        clip_gradients(optimizer, 1.0)
    optimizer.step()
    assert weight.grad.tolist() == [0.5] * 3


def _clip_as_torch(optimizer, most):
    return torch.nn.utils.clip_grad_norm_(trained_weights(optimizer), most)


def _take_steps(clip, most, tmp_path):
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))
    optimizer, norms = make_optimizer(model, settings(tmp_path, tmp_path)), []
    for size in (0.01, 1.0, 30.0, 0.1, 3.0):
        (model(torch.randn(11, 5)) * size).square().sum().backward()
        norms.append(float(clip(optimizer, most)))
        optimizer.step()
        optimizer.zero_grad()
    return norms, [weight.detach() for weight in model.parameters()]
