"""Fixtures over `tiny`: models and prepared datasets that are made once a session."""

import os
from pathlib import Path

import pytest
from tiny import LABELS, make_tiny_bert, make_tiny_llama, random_classes, random_turns, write_dataset

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
def class_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": random_classes(60, 1), "validation": random_classes(20, 2), "test": random_classes(25, 3)}
    return write_dataset(tmp_path_factory.mktemp("classes"), Task.TEXT_CLASSIFICATION, splits, label_names=LABELS)


@pytest.fixture(scope="session")
def turn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": random_turns(60, 1), "validation": random_turns(20, 2), "test": random_turns(25, 3)}
    return write_dataset(tmp_path_factory.mktemp("turns"), Task.CAUSAL_LM, splits)
