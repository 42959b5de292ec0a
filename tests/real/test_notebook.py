"""The notebook of the samples runs from top to bottom in a kernel, with a real model, and says what it should."""

import copy
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

SAMPLES = Path(__file__).parents[2] / "samples"

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(SAMPLES / "quickstart.ipynb", as_version=4)


@pytest.fixture(scope="module")
def cells(notebook, assets, tmp_path_factory):
    """The code cells by id, as they stand after a run."""
    folder = tmp_path_factory.mktemp("samples")
    for name in ("wordnet_topics.csv", "wordnet_topics.schema.yaml"):
        shutil.copy(SAMPLES / name, folder)
    (folder / "models").mkdir()
    (folder / "models" / "minilm").symlink_to(assets / "minilm")
    ran = copy.deepcopy(notebook)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": ""}
    client = NotebookClient(ran, timeout=300, startup_timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return {cell.id: cell for cell in ran.cells if cell.cell_type == "code"}


def said(cell):
    """What a cell prints and shows as text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(texts)


def test_outputs_stay_out_of_the_repository(notebook):
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_nothing_is_warned_about(cells):
    """Apart from tqdm's advice to install widgets, when it is first imported in a kernel without them."""
    texts = [output["text"] for cell in cells.values() for output in cell.outputs if output.get("name") == "stderr"]
    advice = "TqdmWarning: IProgress not found"
    assert [text for text in texts if advice not in text or text.count("Warning") > 1] == []


def test_each_step_shows_what_it_did(cells):
    assert "2 rejected" in said(cells["validate"])
    assert "text:not_blank" in said(cells["rejected"])
    assert "0 rejected + 0 duplicates" in said(cells["prepare"])
    assert "[CLS]" in said(cells["look"])
    assert "'attention_mask': (8, " in said(cells["loader"])


def test_the_model_learns(cells):
    scores = eval(said(cells["evaluate"]))  # noqa: S307  # what our own cell shows
    assert scores["accuracy"] > 0.75 > scores["always the most frequent topic"]
    assert "noun.animal" in said(cells["predict"])
