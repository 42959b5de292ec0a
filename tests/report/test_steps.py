import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import sftdata
from sftdata.errors import TrainingError, UsageError
from sftdata.report.steps import data_of, find_plan, has_plan, step_view, steps_line

TRAIN = {"model": "none", "output_dir": "run", "batch_size": 3, "accumulate": 2, "epochs": 2, "seed": 5}


def shown(view) -> str:
    console = Console(file=StringIO(), width=200, highlight=False)
    console.print(view)
    return console.file.getvalue()


@pytest.fixture
def prepared(tmp_path, chat_recipe):
    def prepare(**train) -> Path:
        recipe = chat_recipe(train=TRAIN | train)
        sftdata.prepare(sftdata.load_recipe(recipe))
        return tmp_path / "out"

    return prepare


@pytest.mark.parametrize("pack", [None, 600])
def test_a_step_names_the_file_and_record_of_each_of_its_rows(prepared, pack):
    out = prepared(pack=pack)
    (split,), plan = find_plan(out)
    text = shown(step_view([split], plan, 2))
    rows = [row for unit in plan.units(1) for row in unit.tolist()]
    assert f"step 2 of {plan.steps}, epoch 1:" in text
    assert f"{len(rows)} examples, {sum(len(split[row]['input_ids']) for row in rows):,} tokens" in text
    found = re.findall(r"(\w+:\d+) +(\S+chats\.jsonl|chats\.jsonl) +(\d+) +([\d,]+)$", text, re.MULTILINE)
    assert [line[0] for line in found] == [split[row]["row_id"] for row in rows]
    assert [int(line[2]) for line in found] == [int(split[row]["row_id"].split(":")[1]) for row in rows]
    assert [int(line[3].replace(",", "")) for line in found] == [len(split[row]["input_ids"]) for row in rows]
    assert ("packs" in text) == (pack is not None)


def test_the_steps_of_a_row_are_those_whose_rows_it_is_among(prepared):
    (split,), plan = find_plan(prepared())
    seen = [step + 1 for step in range(plan.steps) if any(7 in unit for unit in plan.units(step))]
    assert len(seen) == 2
    assert steps_line(plan, 7) == f"seen by steps {seen[0]}, {seen[1]} of {plan.steps} steps"
    short = find_plan(prepared(max_steps=1))[1]
    unseen = next(row for row in range(len(split)) if not any(row in unit for unit in short.units(0)))
    assert steps_line(short, unseen) == "seen by none of 1 steps"
    many = find_plan(prepared(epochs=30))[1]
    assert "and 10 more of" in steps_line(many, 7)


@pytest.mark.parametrize("step", [0, -1, 99])
def test_a_step_that_is_not_there_is_refused(prepared, step):
    splits, plan = find_plan(prepared())
    with pytest.raises(UsageError, match=f"found {step}; the run has steps 1 to {plan.steps}"):
        step_view(splits, plan, step)


def test_a_dataset_without_a_train_part_has_no_steps(tmp_path, chat_recipe):
    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    assert not has_plan(tmp_path / "out")
    with pytest.raises(UsageError, match="no `train` part"):
        find_plan(tmp_path / "out")


@pytest.mark.parametrize(("fold", "planned"), [(None, False), (1, True)])
def test_a_dataset_with_folds_has_no_steps_but_those_of_a_fold(tmp_path, chat_recipe, fold, planned):
    recipe = chat_recipe(train=TRAIN | {"fold": fold}, split={"folds": 3})
    sftdata.prepare(sftdata.load_recipe(recipe))
    assert has_plan(tmp_path / "out") == planned
    if not planned:
        with pytest.raises(UsageError, match="has folds, each of which is trained by a run of its own"):
            find_plan(tmp_path / "out")
        return
    (split,), plan = find_plan(tmp_path / "out")
    seen = {row for units in plan.iterate() for unit in units for row in unit.tolist()}
    assert seen == {row for row, home in enumerate(split.folds().tolist()) if home != fold}


def test_a_run_whose_data_is_gone_says_where_it_was(tmp_path):
    record = tmp_path / "sftdata_run.json"
    record.write_text(
        '{"version": "0", "status": "running", "task": "causal_lm", "label_names": null, "base_model": "m",'
        f' "settings": {{"model": "m", "output_dir": "o"}}, "data": "{tmp_path}/gone", "data_digest": "",'
        ' "tokenizer_digest": ""}'
    )
    assert data_of(tmp_path) == tmp_path / "gone"
    with pytest.raises(TrainingError, match=r"was trained from .*gone: .*is not a directory"):
        find_plan(tmp_path)
