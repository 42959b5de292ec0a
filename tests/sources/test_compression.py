import bz2
import gzip
import io
import lzma

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import SourceError
from sftdata.sources import compression
from sftdata.sources.compression import COMPRESSIONS, open_binary


def pack_zstd(content):
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(content)
    return packed.getvalue().to_pybytes()


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": pack_zstd}
TEXT = b"".join(b"%d,a line of text,%d\n" % (i, i * i) for i in range(20_000))
EMPTY_ZSTD_EXTRA = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("packed")


def read(path, content):
    path.write_bytes(content)
    with open_binary(path) as file:
        return file.read()


def refusal(path, content):
    with pytest.raises(SourceError) as caught:
        read(path, content)
    return str(caught.value)


def test_there_is_a_way_to_pack_each_compression():
    assert set(PACK) == set(COMPRESSIONS)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@given(parts=st.lists(st.binary(max_size=50), min_size=1, max_size=4), step=st.integers(1, 60))
@quick
def test_every_member_of_a_file_is_read_in_steps_of_any_size(scratch, suffix, parts, step):
    path = scratch / f"parts{suffix}"
    path.write_bytes(b"".join(map(PACK[suffix], parts)))
    with open_binary(path) as file:
        assert b"".join(iter(lambda: file.read(step), b"")) == b"".join(parts)


@pytest.mark.parametrize("suffix", ["", *COMPRESSIONS])
def test_a_file_can_be_peeked_into_and_read_by_lines(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    pack = PACK.get(suffix, bytes)
    path.write_bytes(pack(b"") + pack(TEXT[:1]) + pack(TEXT[1:]) if suffix else TEXT)
    with open_binary(path) as file:
        assert file.peek(10)[:10] == TEXT[:10]
        assert file.readlines() == TEXT.splitlines(keepends=True)
    assert file.closed


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_packing_is_told_by_the_content_whatever_the_name(tmp_path, suffix):
    for name in ("plain.csv", "other.csv.gz", "other.csv.zst", f"right{suffix.upper()}"):
        assert read(tmp_path / name, PACK[suffix](TEXT)) == TEXT


def test_text_that_begins_like_a_packed_file_is_text(tmp_path):
    for text in (b"BZh,label\n1,2\n", b"BZh91AY&S,label\n", b"\x1f,b\n", b"", b"(\xb5/,b\n", b"P*M,b\n"):
        assert read(tmp_path / "text.csv", text) == text


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_name_that_promises_a_packed_file_must_keep_it(tmp_path, suffix):
    path = tmp_path / f"reviews.csv{suffix}"
    assert "begins with b'text,label'" in refusal(path, b"text,label\nx,y\n")
    assert f"reviews.csv{suffix} cannot be read: its name ends in {suffix}, but it is empty" in refusal(path, b"")


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_file_that_is_cut_off_anywhere_is_told(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    packed = PACK[suffix](TEXT[:100]) + PACK[suffix](TEXT)
    places = [12, len(packed) // 2, len(packed) - 1]
    places += [len(PACK[suffix](TEXT[:100])) + 3]  # in the magic of the second member
    for place in places:
        message = refusal(path, packed[:place])
        assert "ends too early: the file is cut off" in message
        assert path.name in message


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_damage_is_told(tmp_path, suffix):
    packed = PACK[suffix](TEXT)
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0x55
    checked = [] if suffix == ".zst" else [bytes(damaged)]  # Arrow writes Zstandard without a checksum
    for content in (*checked, packed + b"something else", packed + bytes(20) + b"more than zeros"):
        message = refusal(tmp_path / f"bad{suffix}", content)
        assert "data is damaged (" in message
        assert "get it again" in message


def test_zeros_between_xz_streams_are_padding(tmp_path):
    packed = lzma.compress(TEXT) + bytes(8) + lzma.compress(b"more") + bytes(2**19)
    assert read(tmp_path / "padded.xz", packed) == TEXT + b"more"


def test_frames_of_zstd_that_hold_no_data_are_passed_over(tmp_path):
    packed = EMPTY_ZSTD_EXTRA + pack_zstd(TEXT) + EMPTY_ZSTD_EXTRA + pack_zstd(b"more")
    assert read(tmp_path / "extra.zst", packed) == TEXT + b"more"


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_bomb_is_refused_before_it_fills_anything(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(compression, "BOMB_SIZE", 2**21)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(PACK[suffix](bytes(2**25)))
    with open_binary(path) as file:
        assert len(file.read(2**20)) == 2**20
        with pytest.raises(SourceError, match=r"text does not pack that well \(at most 200 times\)"):
            file.read(2**25)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_small_file_may_pack_as_well_as_it_likes(tmp_path, suffix):
    assert len(read(tmp_path / f"zeros{suffix}", PACK[suffix](bytes(2**24)))) == 2**24


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_large_file_that_packs_as_text_does_is_no_bomb(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(compression, "BOMB_SIZE", len(TEXT) // 4)
    assert read(tmp_path / f"text{suffix}", PACK[suffix](TEXT)) == TEXT


def test_xz_that_needs_too_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "XZ_MEMORY", 2**20)
    assert "data is damaged (Memory usage limit exceeded)" in refusal(tmp_path / "a.xz", lzma.compress(TEXT))


def test_a_name_of_any_bytes_is_opened(tmp_path):
    for suffix in COMPRESSIONS:
        path = tmp_path / f"caf\udce9 文件{suffix}"
        assert read(path, PACK[suffix](TEXT)) == TEXT


def test_a_plain_file_is_not_copied(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_bytes(TEXT)
    with open_binary(path) as file:
        assert isinstance(file.raw, io.FileIO)
