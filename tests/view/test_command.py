"""`sftdata view`: it prints its address, ends cleanly, and says what is wrong in one message."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from small_datasets import turns, write_dataset

from sftdata.manifest import digest_file
from sftdata.records import Task

PROGRAM = "from sftdata.cli import main; main()"


@pytest.fixture
def dataset(tmp_path, chat_tokenizer):
    out = write_dataset(tmp_path / "out", Task.CAUSAL_LM, {"train": turns(50)}, 10**6)
    (out / "tokenizer").symlink_to(chat_tokenizer)
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace("sha256:0", digest_file(chat_tokenizer / "tokenizer.json"), 1))
    return out


@contextmanager
def started(*arguments):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "view", *map(str, arguments)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def read(address):
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        return answer.read().decode()


def run(*arguments, program=PROGRAM):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})


def test_quiet_prints_the_address_alone(dataset):
    with started(dataset, "--quiet") as running:
        assert running.stdout.readline().startswith("http://127.0.0.1:")
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=20) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(dataset, number):
    with started(dataset) as running:
        address, how_to_end = running.stdout.readline().strip(), running.stdout.readline()
        with urllib.request.urlopen(f"{address}rows?q=a") as answer:  # noqa: S310
            assert answer.status == 200
            assert "server" not in answer.headers
        with ThreadPoolExecutor(8) as readers:
            pages = list(readers.map(read, [f"{address}rows?q=a&at={n}" for n in range(1, 40)]))
        assert all("looked at 50 of 50" in " ".join(page.split()) for page in pages)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.rsplit("/", 2)[0] + "/")  # noqa: S310
        assert address.startswith("http://127.0.0.1:")
        assert len(address.rsplit("/", 2)[1]) >= 40
        running.send_signal(number)
        said, complained = running.communicate(timeout=20)
    assert (running.returncode, said, complained) == (0 if number == signal.SIGINT else running.returncode, "", "")
    assert "Ctrl-C ends it" in how_to_end


def test_two_tokens_are_never_alike_and_nothing_else_on_the_machine_can_connect(dataset):
    with started(dataset) as first, started(dataset) as second:
        addresses = [running.stdout.readline().strip() for running in (first, second)]
        tokens = {address.rsplit("/", 2)[1] for address in addresses}
        assert len(tokens) == 2
        port = int(addresses[0].split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_port_that_is_taken_is_a_message(dataset):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("view", dataset, "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"error: port {port} is taken by another program; name another: --port N, or leave it out for any free one\n"
    )


def test_what_is_no_dataset_gets_the_message_of_inspect(tmp_path):
    (tmp_path / ".sftdata-unfinished").mkdir()
    shown, inspected = (run(command, tmp_path) for command in ("view", "inspect"))
    assert (shown.returncode, inspected.returncode) == (1, 1)
    assert shown.stderr == inspected.stderr
    assert "holds an unfinished run" in shown.stderr


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_what_is_not_installed_is_named_with_its_remedy(dataset, package):
    done = run("view", dataset, program=f"import sys; sys.modules[{package!r}] = None; {PROGRAM}")
    assert done.returncode == 2
    assert done.stderr == f"error: view needs {package}, which is not installed: pip install 'sftdata[view]'\n"
