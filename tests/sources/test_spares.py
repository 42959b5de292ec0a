"""Buffers that are used again, and never while somebody holds them."""

import threading

import pytest

from sftdata.settings.sources import SourceSettings
from sftdata.sources import csv_windows, find_sources, native, read_chunks
from sftdata.sources.spares import MOST, Spares

USED = 7
"""What tests write into the first byte of a buffer; a new one has 0 there."""


@pytest.fixture
def spares(monkeypatch):
    monkeypatch.setattr(native, "scan", None)  # whose buffers hold anything
    return Spares()


def use(spares):
    buffer = spares.give(10)
    buffer[0] = USED
    spares.remember(buffer)
    return buffer


def test_a_buffer_that_nobody_holds_is_given_again_in_the_size_that_is_asked_for(spares):
    use(spares)
    for size in (10, 100, 3, 5000, 1):
        buffer = spares.give(size)
        assert len(buffer) == size
        assert buffer[0] == USED
        spares.remember(buffer)
        del buffer
    assert [spares.give(9)[0] for _ in range(2)] == [USED, 0], "it was given away and not remembered"


def test_a_buffer_that_somebody_holds_is_not(spares):
    held = use(spares)
    view = memoryview(use(spares))
    inside = {"kept": [use(spares)]}
    assert spares.give(10)[0] == 0
    del held, view, inside
    assert [spares.give(10)[0] for _ in range(4)] == [USED, USED, USED, 0]


def test_a_buffer_that_a_thread_holds_is_not(spares):
    go_on = threading.Event()
    thread = threading.Thread(target=lambda buffer: go_on.wait(60), args=(use(spares),))
    thread.start()
    assert spares.give(10)[0] == 0
    go_on.set()
    thread.join()
    del thread
    assert spares.give(10)[0] == USED


def test_the_oldest_are_forgotten(spares):
    held = [use(spares) for _ in range(MOST + 3)]
    held.clear()
    assert [spares.give(10)[0] for _ in range(MOST + 1)] == [USED] * MOST + [0]


@pytest.mark.parametrize("size", [0, 1, 4095, 2**21, 10 * 2**20 + 7])
def test_compiled_code_makes_buffers_that_can_be_written_and_resized(size):
    buffer = native.scan.make_buffer(size)
    assert type(buffer) is bytearray
    assert len(buffer) == size
    buffer[:] = bytes([5]) * size
    buffer += b"more"
    del buffer[: size // 2]
    assert buffer == bytes([5]) * (size - size // 2) + b"more"


def test_a_buffer_of_less_than_no_bytes_is_refused():
    with pytest.raises(SystemError):
        native.scan.make_buffer(-1)


@pytest.mark.parametrize("keep", [1, 2, 4, 1000])
def test_slices_keep_their_bytes_however_long_they_are_held(keep, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "WINDOW", 2**17)
    lines = [f'{number},"text {number % 7 * "x"}"\n' for number in range(200_000)]
    (tmp_path / "data.csv").write_text("id,text\n" + "".join(lines), encoding="utf-8")
    (source,) = find_sources([SourceSettings(path=str(tmp_path / "data.csv"))])
    held, seen, memory = [], [], set()
    for chunk in read_chunks(source):
        held.append(chunk.content)
        memory.add(id(chunk.content.data))
        if len(held) == keep:
            seen += [bytes(window.data) for window in held]
            held.clear()
        del chunk
    seen += [bytes(window.data) for window in held]
    assert b"".join(seen).decode() == "".join(lines)
    assert len(seen) > 10
    assert keep < 1000 or len(memory) == len(seen)
