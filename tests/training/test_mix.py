"""Several prepared datasets in one run."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from tiny import LABELS, random_classes, random_turns, settings, weights, write_dataset

from sftdata.errors import TrainingError
from sftdata.manifest import read_manifest
from sftdata.records import Task
from sftdata.report.steps import find_plan
from sftdata.training import loop, train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.run import digest_data, read_run


@pytest.fixture(scope="module")
def other_turns(tmp_path_factory):
    splits = {"train": random_turns(30, 8)}
    return write_dataset(tmp_path_factory.mktemp("other"), Task.CAUSAL_LM, splits)


def mixed(llama, directory, other, *, repeat=False, weight=1.0, by="rows", **others):
    mix = {"datasets": [{"data": str(other), "weight": weight}], "repeat": repeat, "by": by}
    return settings(llama, directory, mix=mix, **others)


@pytest.fixture
def seen(monkeypatch):
    """Which rows the steps of a run saw, epoch by epoch."""
    rows, take_step = [], loop.take_step

    def watch(model, optimizer, setup, loaded, *more):
        rows.append((setup.plan.locate(loaded.step)[0], loaded.rows))
        return take_step(model, optimizer, setup, loaded, *more)

    monkeypatch.setattr(loop, "take_step", watch)
    return rows


@pytest.mark.parametrize("pack", [None, 60])
@pytest.mark.parametrize(("repeat", "count"), [(False, 30), (True, 60)])
def test_every_epoch_has_each_dataset_in_its_share(
    turn_data, other_turns, tiny_llama, tmp_path, seen, repeat, count, pack
):
    wanted = mixed(tiny_llama, tmp_path / "run", other_turns, repeat=repeat, epochs=2, pack=pack)
    train(turn_data, wanted, progress=False)
    for epoch in (0, 1):
        rows = np.concatenate([rows for at, rows in seen if at == epoch])
        assert Counter((rows >= 60).tolist()) == {False: count, True: count}
        assert max(Counter(rows.tolist()).values()) == (2 if repeat else 1)
    everything = Counter(np.concatenate([rows for _, rows in seen]).tolist())
    assert len(everything) == 90, "what the first epoch left out came in the second"


def test_a_mixed_run_resumes_and_names_its_rows(turn_data, other_turns, tiny_llama, tmp_path, seen):
    others = {"epochs": 2, "save_steps": 3, "keep": 9, "weight": 2.0, "by": "tokens"}
    whole = train(turn_data, mixed(tiny_llama, tmp_path / "whole", other_turns, **others), progress=False)
    train(turn_data, mixed(tiny_llama, tmp_path / "cut", other_turns, **others), progress=False)
    for step in list_checkpoints(tmp_path / "cut"):
        if step > 3:
            shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    seen.clear()
    again = mixed(tiny_llama, tmp_path / "cut", other_turns, **others)
    assert train(turn_data, again, resume=True, progress=False).resumed_from == 3
    last, expected = (weights(tmp_path / name / f"checkpoint-{whole.steps}") for name in ("cut", "whole"))
    assert all(torch.equal(last[name], expected[name]) for name in expected)
    splits, plan = find_plan(tmp_path / "cut")
    assert [len(split) for split in splits] == [60, 30]
    assert [rows.tolist() for _, rows in seen] == [np.concatenate(units).tolist() for units in plan.iterate(3)]


def test_another_share_is_another_run(turn_data, other_turns, tiny_llama, tmp_path):
    train(turn_data, mixed(tiny_llama, tmp_path / "run", other_turns, epochs=1, weight=1.0), progress=False)
    again = mixed(tiny_llama, tmp_path / "run", other_turns, epochs=1, weight=3.0)
    with pytest.raises(TrainingError, match="plan: the checkpoint has"):
        train(turn_data, again, resume=True, progress=False)


def test_the_record_and_the_checkpoints_have_the_digest_of_all_data(turn_data, other_turns, tiny_llama, tmp_path):
    train(turn_data, mixed(tiny_llama, tmp_path / "run", other_turns, max_steps=1), progress=False)
    state = json.loads((tmp_path / "run" / "checkpoint-1" / "state.json").read_text())
    both = digest_data(read_manifest(turn_data), [read_manifest(other_turns)])
    assert read_run(tmp_path / "run").data_digest == state["identity"]["data"] == both
    assert both != digest_data(read_manifest(turn_data))


def test_datasets_that_do_not_go_together_are_named_with_all_differences(class_data, tiny_bert, tmp_path):
    names = LABELS[::-1]
    data = write_dataset(
        tmp_path / "odd", Task.TEXT_CLASSIFICATION, {"train": random_classes(9, 1)}, label_names=names, vocab_size=60
    )
    with pytest.raises(TrainingError, match=r"train\.mix: these do not go together with") as caught:
        train(class_data, mixed(tiny_bert, tmp_path / "run", data, epochs=1), progress=False)
    assert f"label names {names}, expected {LABELS}" in str(caught.value)
    assert not (tmp_path / "run").exists()
