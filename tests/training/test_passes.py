"""When the memory does not suffice for a pass, the same step is taken in smaller ones, or a message says what to do."""

import gc
import weakref

import pytest
import torch
from processes import assert_close, train_on
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training import heads, milestones, train
from sftdata.training.passes import is_out_of_memory, try_pass


@pytest.fixture
def limit(monkeypatch):
    """Have passes of more than so many tokens, with their padding, run out of memory in the backward pass."""

    gc.freeze()  # so that a collection looks at what the passes made alone

    def set_limit(task, tokens, error=torch.OutOfMemoryError):
        head, taken = heads.HEADS[task], []

        def short(model, batch, loss):
            losses, logits = head(model, batch, loss)
            if model.training and batch.input_ids.numel() > tokens:
                left = [weakref.ref(losses), weakref.ref(logits)]
                taken.append((len(batch.rows), left))
                losses.register_hook(lambda _: fail(error))
            elif model.training:
                gc.collect()
                assert all(ref() is None for _, left in taken for ref in left), "a failed pass left its tensors"
            return losses, logits

        monkeypatch.setitem(heads.HEADS, task, short)
        return taken

    yield set_limit
    gc.unfreeze()


def fail(error):
    raise error("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION])
@pytest.mark.parametrize("pack", [None, 60])
def test_the_same_step_is_taken_in_smaller_passes(
    task, pack, task_data, tiny_bert, tiny_llama, tmp_path, limit, capsys
):
    model = tiny_llama if task == Task.CAUSAL_LM else tiny_bert
    others = {"epochs": 1, "adam_epsilon": 0.01, "log_steps": 1, "batch_size": 16}
    if pack:
        others |= {"pack": pack, "batch_size": 4}
    whole = train(task_data[task], settings(model, tmp_path / "whole", **others), progress=False)
    taken = limit(task, 70)
    cut = settings(model, tmp_path / "cut", accumulate="auto", **others)
    capsys.readouterr()
    result = train(task_data[task], cut)
    assert 1 <= len(taken) <= 4
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(said) == len(taken)
    assert "step 1: out of memory with" in said[0]
    assert result.steps == whole.steps
    assert_close(weights(tmp_path / "cut"), weights(tmp_path / "whole"), rtol=1e-4, atol=1e-6)
    logged = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("cut", "whole")]
    assert len(logged[0]) == len(logged[1])


def test_ranks_cut_their_passes_each_for_itself(class_data, tiny_bert, tmp_path):
    others = {"epochs": 1, "adam_epsilon": 0.01, "batch_size": 16}
    train(class_data, settings(tiny_bert, tmp_path / "one", **others), progress=False)
    fault = """
import torch
from sftdata.records import Task
from sftdata.training import heads
head = heads.HEADS[Task.TEXT_CLASSIFICATION]
def short(model, batch, loss):
    if rank == 1 and model.training and len(batch.rows) > 2:
        raise torch.OutOfMemoryError("out of memory")
    return head(model, batch, loss)
heads.HEADS[Task.TEXT_CLASSIFICATION] = short
"""
    wanted = settings(tiny_bert, tmp_path / "two", accumulate="auto", **others)
    train_on(2, class_data, wanted, tmp_path / "log", fault=fault)
    assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, "auto"])
def test_an_example_that_does_not_fit_is_named(class_data, tiny_bert, tmp_path, limit, accumulate):
    limit(Task.TEXT_CLASSIFICATION, 24)
    wanted = settings(tiny_bert, tmp_path / "run", accumulate=accumulate, batch_size=1 if accumulate == 1 else 16)
    with pytest.raises(TrainingError, match=r"out of memory with a single example, train:\d+, of 25 tokens\. Set grad"):
        train(class_data, wanted, progress=False)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_a_shortage_on_any_device_says_what_to_lower(class_data, tiny_bert, tmp_path, monkeypatch, error):
    def short(*_):
        raise error

    monkeypatch.setitem(heads.HEADS, Task.TEXT_CLASSIFICATION, short)
    with pytest.raises(TrainingError, match=r"step 1: .*batch_size 8\. Lower batch_size .*`accumulate: auto` does"):
        train(class_data, settings(tiny_bert, tmp_path / "run"), progress=False)


def test_a_shortage_in_an_evaluation_and_beside_the_passes_says_what_to_change(
    class_data, tiny_bert, tmp_path, monkeypatch
):
    monkeypatch.setattr(milestones, "run_model", lambda *_, **__: fail(torch.OutOfMemoryError))
    with pytest.raises(TrainingError, match=r"evaluation after step 8: out of memory with train\.eval_batch_size 16"):
        train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: fail(torch.OutOfMemoryError))
    with pytest.raises(TrainingError, match="out of memory beside the passes: weights, gradients"):
        train(class_data, settings(tiny_bert, tmp_path / "other", epochs=1), progress=False)


def test_other_errors_are_no_shortage():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        try_pass(lambda: fail_with_shapes())


def fail_with_shapes():
    raise RuntimeError("shapes do not match")
