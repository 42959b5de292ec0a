"""Fixtures over `tiny`: models and prepared datasets that are made once a session."""

import os
from pathlib import Path

import pytest
from tiny import (
    LABELS,
    make_tiny_bert,
    make_tiny_llama,
    make_tiny_t5,
    random_classes,
    random_label_sets,
    random_scores,
    random_tags,
    random_translations,
    random_turns,
    write_dataset,
)

from sftdata.records import Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may reach for the network
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as training sets it; tests import torch before it does


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def dropout_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("dropout-bert"), dropout=0.2)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session")
def task_data(tmp_path_factory: pytest.TempPathFactory, class_data: Path, turn_data: Path) -> dict[Task, Path]:
    """A prepared dataset of each task."""
    makers = {
        Task.MULTILABEL: random_label_sets,
        Task.REGRESSION: random_scores,
        Task.TOKEN_CLASSIFICATION: random_tags,
        Task.SEQ2SEQ: random_translations,
    }
    found = {Task.TEXT_CLASSIFICATION: class_data, Task.CAUSAL_LM: turn_data}
    for task, make in makers.items():
        names = LABELS if task in (Task.MULTILABEL, Task.TOKEN_CLASSIFICATION) else None
        splits = {name: make(rows, rows) for name, rows in (("train", 60), ("validation", 20), ("test", 25))}
        found[task] = write_dataset(tmp_path_factory.mktemp(task.value), task, splits, label_names=names)
    return found


@pytest.fixture(scope="session")
def class_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": random_classes(60, 1), "validation": random_classes(20, 2), "test": random_classes(25, 3)}
    return write_dataset(tmp_path_factory.mktemp("classes"), Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)


@pytest.fixture(scope="session")
def turn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": random_turns(60, 1), "validation": random_turns(20, 2), "test": random_turns(25, 3)}
    return write_dataset(tmp_path_factory.mktemp("turns"), Task.CAUSAL_LM, splits)
