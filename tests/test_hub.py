"""The hub is asked only where it can be reached: one message and soon, and the cache and mirrors work as ever."""

import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from huggingface_hub import constants

from sftdata import hub
from sftdata.errors import SourceError, TokenizerError, TrainingError
from sftdata.hub import hub_or_cache
from sftdata.settings.sources import SourceSettings
from sftdata.sources import find_sources, read_chunks
from sftdata.tokenizers.loading import load_tokenizer

COMMIT = "0" * 40


@pytest.fixture
def nowhere(monkeypatch, tmp_path) -> str:
    """Point huggingface_hub to an address where nobody listens, and to an empty cache."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return address


@contextmanager
def serve(files: dict[str, bytes], port: int = 0) -> Iterator[str]:
    """Be a mirror of the hub with one repository."""

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = files.get(self.path.removeprefix("/team/name/resolve/main/").partition("?")[0])
            self.send_response(404 if content is None else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            else:
                self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(files[self.path.removeprefix("/team/name/resolve/main/").partition("?")[0]])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Mirror) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_what_is_nowhere_is_one_message_and_soon(nowhere, capfd, caplog):
    with pytest.raises(TokenizerError) as refused:
        load_tokenizer("team/name")
    assert str(refused.value) == (
        "no tokenizer 'team/name': team/name is not a directory, and the hub's cache on this machine has no "
        f"tokenizer.json of that name, while {nowhere} cannot be reached ([Errno 111] Connection refused). Give a "
        "local directory with tokenizer.json, or run it again where the hub or a mirror (HF_ENDPOINT) can be reached."
    )
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not constants.HF_HUB_OFFLINE


def test_a_network_that_swallows_everything_is_not_waited_for(nowhere, monkeypatch):
    monkeypatch.setattr(hub, "CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"https://127.0.0.1:{silent.getsockname()[1]}")
        with hub_or_cache() as obstacle:
            assert obstacle
            assert constants.is_offline_mode()
        assert "cannot be reached (" in obstacle
        assert "timed out" in obstacle


def test_who_asks_for_patience_gets_it(nowhere, monkeypatch):
    asked = []

    class Session:
        def head(self, address: str, **given: object) -> None:
            asked.append((address, given["timeout"]))

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 40)
    monkeypatch.setattr("huggingface_hub.get_session", Session)
    with hub_or_cache() as obstacle:
        assert obstacle is None
    assert asked == [(nowhere, (40, 40, 40, 40))]


@pytest.mark.parametrize("address", ["hf-mirror.com", ""])
def test_a_wrong_address_of_a_mirror_is_told(nowhere, monkeypatch, address):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    with pytest.raises(TokenizerError, match=r"HF_ENDPOINT.*|hf-mirror.com cannot be reached \(.*'https://' protocol"):
        load_tokenizer("team/name")


def test_a_name_that_no_hub_could_have_is_said_to_be_one(nowhere):
    with pytest.raises(TokenizerError, match="Repo id must be in the form"):
        load_tokenizer("./team/name")


def test_files_in_the_cache_are_used_without_a_network(nowhere, tmp_path, chat_tokenizer):
    home = tmp_path / "cache" / "models--team--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "snapshots").mkdir()
    (home / "snapshots" / COMMIT).symlink_to(chat_tokenizer)
    found = load_tokenizer("team/name")
    assert found.template
    assert found.files == load_tokenizer(str(chat_tokenizer)).files
    assert "special_tokens_map.json" not in found.files, "else this does not try a file that the cache lacks"


def test_a_mirror_is_asked_as_ever(tmp_path, chat_tokenizer):
    files = {path.name: path.read_bytes() for path in chat_tokenizer.iterdir()}
    program = (
        "from sftdata.tokenizers.loading import load_tokenizer\n"
        "print(sorted(load_tokenizer('team/name').files))\n"
        "try: load_tokenizer('team/other')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    with serve(files) as address:
        environment = {**os.environ, "HF_HUB_OFFLINE": "", "HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, second = done.stdout.splitlines()
    assert first == str(sorted(files))
    assert second.startswith("TokenizerError no tokenizer 'team/other': team/other is not a directory, and the hub did")


def test_a_hub_that_was_away_is_asked_again_and_not_once_it_was_there(nowhere):
    with hub_or_cache() as obstacle:
        assert obstacle
    with serve({}, port=int(nowhere.rpartition(":")[2])), hub_or_cache() as obstacle:
        assert obstacle is None
        assert not constants.is_offline_mode()
    with hub_or_cache() as obstacle:
        assert obstacle is None, "each of many look-ups would ask once more"


def test_who_forbids_to_ask_is_told_so(nowhere, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TokenizerError, match="while HF_HUB_OFFLINE forbids to ask the hub"):
        load_tokenizer("team/name")
    assert constants.HF_HUB_OFFLINE


def test_a_model_that_is_nowhere_is_one_message_and_soon(nowhere, capfd, caplog):
    models = pytest.importorskip("sftdata.training.models")
    for ask in (models.read_config, models.local_files):
        with pytest.raises(TrainingError) as refused:
            ask("team/name")
        assert f"{nowhere} cannot be reached ([Errno 111] Connection refused); HF_ENDPOINT" in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_weights_that_the_cache_lacks_are_one_message_too(nowhere, tmp_path):
    models = pytest.importorskip("sftdata.training.models")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=10, **sizes)
    home = tmp_path / "cache" / "models--team--name"
    config.save_pretrained(home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    assert models.read_config("team/name").hidden_size == 16
    with pytest.raises(TrainingError, match=r"weights of 'team/name' cannot be loaded .*cannot be reached \("):
        models.load_weights("team/name", config, models.Task.TEXT_CLASSIFICATION)


def test_a_directory_asks_no_hub(nowhere, monkeypatch, chat_tokenizer, tmp_path):
    def forbidden(address: str) -> None:
        raise AssertionError(address)

    monkeypatch.setattr(hub, "_find_obstacle", forbidden)
    assert load_tokenizer(str(chat_tokenizer)).template
    models = pytest.importorskip("sftdata.training.models")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    assert models.read_config(str(tmp_path / "model")).model_type == "llama"


def test_a_dataset_that_is_nowhere_is_one_message_and_soon(nowhere, monkeypatch, tmp_path, capfd, caplog):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(SourceError) as refused:
        find_sources([SourceSettings(dataset="team/rows")], tmp_path)
    told = f"hub:team/rows cannot be read: its cache on this machine does not have it, and {nowhere} cannot be reached"
    assert told in str(refused.value)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert not datasets.config.HF_HUB_OFFLINE


def test_others_may_ask_the_hub_while_slices_of_a_cached_dataset_are_taken(nowhere, monkeypatch, tmp_path):
    import datasets

    during = []

    def load_dataset(**given):
        during.append(constants.HF_HUB_OFFLINE)
        return datasets.Dataset.from_list([{"text": "a"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (source,) = find_sources([SourceSettings(dataset="team/rows", split="train")], tmp_path)
    during += [constants.HF_HUB_OFFLINE for _ in read_chunks(source)]
    assert during == [True, False]
