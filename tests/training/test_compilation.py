"""torch.compile: the same gradient, the same names, and a message where it cannot be."""

import shutil

import pytest
import torch
from test_gradients import assert_same, first_step, gradients, load
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import train
from sftdata.training.compilation import compile_layers, explain_failures, run_as_written
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss
from sftdata.training.sharding import find_layers
from sftdata.training.steps import add_gradients

pytestmark = [  # torch's own imports, and what it hides where warnings are no errors
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")


@pytest.fixture(scope="module")
def models(tiny_bert, tiny_llama, tiny_t5):
    return {Task.CAUSAL_LM: tiny_llama, Task.SEQ2SEQ: tiny_t5}, tiny_bert


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task.TEXT_CLASSIFICATION, ["BertLayer"] * 2),
        (Task.CAUSAL_LM, ["LlamaDecoderLayer"] * 2),
        (Task.SEQ2SEQ, ["T5Block"] * 4),
    ],
)
def test_the_layers_of_a_model_are_found(task, expected, models):
    assert [type(layer).__name__ for layer in find_layers(load(task, models))] == expected


def test_a_model_without_layers_is_compiled_whole():
    model = torch.nn.LSTM(2, 2)
    assert find_layers(model) == []
    compile_layers(model)
    assert model._compiled_call_impl is not None


@needs_compiler
def test_compiled_layers_have_the_same_gradient_and_names(turn_data, models):
    expected_model, model = (load(Task.CAUSAL_LM, models) for _ in range(2))
    names = list(model.state_dict())
    compile_layers(model)
    examples = Examples(load_split(turn_data))
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(torch.compiler.is_compiling()))
    for either in (expected_model, model):
        either.train()
        for batch_size, accumulate in ((4, 2), (2, 3)):
            loaded = first_step(examples, batch_size=batch_size, accumulate=accumulate)
            add_gradients(either, Task.CAUSAL_LM, loaded.batches, loaded.targets, Loss(), bf16=False)
    assert_same(gradients(model), gradients(expected_model))
    assert list(model.state_dict()) == names
    assert calls
    assert all(calls), "the layer must really be compiled"
    with run_as_written(True), torch.inference_mode():
        model.eval()(input_ids=torch.tensor([[3, 4]]))
    assert calls[-1] is False


def test_a_run_saves_what_one_without_saves(class_data, tiny_bert, tmp_path, monkeypatch):
    """With a backend that only traces: kernels are tried above, and take long to make."""
    traced = []
    compile_module = torch.nn.Module.compile
    trace = lambda graph, _: traced.append(1) or graph.forward  # noqa: E731
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compile_module(self, backend=trace, **how))
    for name, compiled in (("plain", False), ("compiled", True)):
        chosen = settings(tiny_bert, tmp_path / name, compile=compiled, max_steps=3, save_steps=1, keep=9)
        train(class_data, chosen, progress=False)
    for place in ("", "checkpoint-2"):
        plain, compiled = weights(tmp_path / "plain" / place), weights(tmp_path / "compiled" / place)
        assert plain.keys() == compiled.keys()
        for name in plain:
            torch.testing.assert_close(compiled[name], plain[name], rtol=1e-3, atol=1e-4)
    assert traced


def test_without_a_compiler_it_is_refused(class_data, tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(TrainingError, match=r"train\.compile: .* there is no 'no-such-compiler' here"):
        train(class_data, settings(tiny_bert, tmp_path / "run", compile=True), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_compiler_that_fails_is_told_in_a_message():
    def fail(*_):
        raise ValueError("no Python.h")

    class Doubling(torch.nn.Module):
        def forward(self, values):
            return values * 2

    model = Doubling()
    model.compile(backend=fail)
    with (
        pytest.raises(TrainingError, match=r"train\.compile: the compiler failed \(.*no Python\.h"),
        explain_failures(),
    ):
        model(torch.ones(2))
