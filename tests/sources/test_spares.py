"""Buffers that are used again, and never while somebody holds them."""

import threading

from sftdata.settings.sources import SourceSettings
from sftdata.sources import csv_windows, find_sources, read_chunks
from sftdata.sources.spares import MOST, Spares


def give_marked(spares, size):
    """Return a buffer that is remembered, and of which the first byte tells that it was used."""
    buffer = spares.give(size)
    buffer[0] = 7
    spares.remember(buffer)
    return buffer


def test_a_buffer_that_nobody_holds_is_given_again_in_the_size_that_is_asked_for():
    spares = Spares()
    for size in (100, 100, 3, 5000, 1):
        buffer = spares.give(size)
        assert len(buffer) == size
        assert buffer[0] == (7 if size != 100 else buffer[0])
        buffer[0] = 7
        spares.remember(buffer)
        del buffer
    assert spares.give(9)[0] == 7
    assert spares.give(9)[0] == 0, "it was given away and not remembered"


def test_a_buffer_that_somebody_holds_is_not():
    spares = Spares()
    held = give_marked(spares, 10)
    view = memoryview(give_marked(spares, 10))
    inside = {"kept": [give_marked(spares, 10)]}
    assert spares.give(10)[0] == 0
    del held, view, inside
    assert [spares.give(10)[0] for _ in range(4)] == [7, 7, 7, 0]


def test_a_buffer_that_a_thread_holds_is_not():
    spares, go_on = Spares(), threading.Event()
    thread = threading.Thread(target=lambda buffer: go_on.wait(60), args=(give_marked(spares, 10),))
    thread.start()
    assert spares.give(10)[0] == 0
    go_on.set()
    thread.join()
    del thread
    assert spares.give(10)[0] == 7


def test_the_oldest_are_forgotten():
    spares = Spares()
    held = [give_marked(spares, 10) for _ in range(MOST + 3)]
    held.clear()
    assert [spares.give(10)[0] for _ in range(MOST + 1)] == [7] * MOST + [0]


def test_slices_keep_their_bytes_however_long_they_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "WINDOW", 2000)
    lines = [f'{number},"text {number % 7 * "x"}"\n' for number in range(3000)]
    (tmp_path / "data.csv").write_text("id,text\n" + "".join(lines), encoding="utf-8")
    (source,) = find_sources([SourceSettings(path=str(tmp_path / "data.csv"))])
    for keep in (1, 2, 4, 1000):
        held, seen = [], []
        for chunk in read_chunks(source):
            held.append(chunk.content)
            if len(held) == keep:
                seen += [bytes(window.data) for window in held]
                held.clear()
            del chunk
        seen += [bytes(window.data) for window in held]
        assert len(seen) > 10
        assert b"".join(seen).decode() == "".join(lines)
