"""What holds excerpts of the data is published by neither git nor huggingface_hub, unless somebody wants it."""

import http.server
import json
import re
import subprocess
import threading
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from tiny import LABELS, random_classes, settings, write_dataset

from sftdata.errors import OutputError
from sftdata.records import Task
from sftdata.training import train
from sftdata.training.run import IGNORE_NAME, check_output_dir

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
PRIVATE = {"report.html", "evaluations", "out_of_fold.parquet", "label_errors.jsonl"}


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_bert):
    """A cross-validation of two folds, which has all that a run can have."""
    folder = tmp_path_factory.mktemp("publishing")
    splits = {"train": random_classes(12, seed=1)}
    data = write_dataset(folder / "data", Task.TEXT_CLASSIFICATION, splits, label_names=LABELS, folds=2)
    train(data, settings(tiny_bert, folder / "run", epochs=1, max_steps=1), progress=False)
    return folder / "run"


@pytest.fixture
def hub(monkeypatch):
    """A hub that ignores what the `.gitignore` it is sent names; what is committed stands in `taken`."""

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"id": "my-name/my-model", "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b""
            if "/preupload/" in self.path:
                asked = json.loads(body)
                names = {line.rstrip("/") for line in asked.get("gitIgnore", "").splitlines()}
                found = [
                    {
                        "path": one["path"],
                        "uploadMode": "regular",
                        "shouldIgnore": bool(names & {*one["path"].split("/")}),
                    }
                    for one in asked["files"]
                ]
                self._answer({"files": found})
            elif "/commit/" in self.path:
                parts = [json.loads(line) for line in (body or self._read_chunks()).splitlines()]
                taken.extend(part["value"]["path"] for part in parts if part["key"] == "file")
                self._answer({"commitUrl": f"{address}/my-name/my-model/commit/{'0' * 40}", "commitOid": "0" * 40})
            else:
                self._answer({"errors": [], "warnings": []})

        def _read_chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            return b"".join(parts)

        def _answer(self, document: dict[str, object]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    taken: list[str] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield HfApi(endpoint=address, token="hf_of_nobody"), taken
        server.shutdown()


def private_parts(paths):
    return {part for path in paths for part in Path(path).parts if part in PRIVATE}


def test_a_run_has_all_that_this_is_about(run):
    assert private_parts(path.relative_to(run) for path in run.rglob("*")) == PRIVATE
    assert (run / "fold-0" / IGNORE_NAME).is_file()


def test_git_passes_over_what_holds_excerpts(run):
    git = ["git", "-C", str(run.parent)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "run"], check=True)
    added = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert private_parts(added) == set()
    assert {"run/.gitignore", "run/fold-1/model.safetensors", "run/folds.json"} <= set(added)


def test_the_hub_is_told_and_nothing_of_it_is_committed(run, hub):
    api, taken = hub
    api.upload_folder(repo_id="my-name/my-model", folder_path=run)
    assert private_parts(taken) == set()
    assert {".gitignore", "folds.json", "fold-0/README.md"} <= set(taken)


def test_in_a_folder_of_a_repository_only_the_patterns_of_the_page_help(run, hub):
    api, taken = hub
    api.upload_folder(repo_id="my-name/my-model", folder_path=run, path_in_repo="there")
    assert private_parts(taken) == PRIVATE, "then the page need not warn any more"
    taken.clear()
    patterns = re.findall('"([^"]+)"', re.search(r"private = \[(.+)\]", PAGE.read_text(encoding="utf-8"))[1])
    api.upload_folder(repo_id="my-name/my-model", folder_path=run, path_in_repo="there", ignore_patterns=patterns)
    assert private_parts(taken) == set()
    assert "there/fold-0/model.safetensors" in taken
    assert not [path for path in taken if "checkpoint-" in path]


def test_what_a_person_changed_stays(class_data, tiny_bert, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / IGNORE_NAME).write_text("*\n")
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, max_steps=1), progress=False)
    assert (tmp_path / "run" / IGNORE_NAME).read_text() == "*\n"
    (tmp_path / "run" / IGNORE_NAME).unlink()
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, max_steps=1), resume=True, progress=False)
    assert not (tmp_path / "run" / IGNORE_NAME).exists()


def test_a_folder_with_more_than_a_gitignore_is_still_refused(tmp_path):
    (tmp_path / IGNORE_NAME).write_text("*\n")
    check_output_dir(tmp_path, resume=False)
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(OutputError, match=r"it holds thesis\.txt"):
        check_output_dir(tmp_path, resume=False)
