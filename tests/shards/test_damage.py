"""A damaged file is named and refused by readers too, and never takes the process with it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_datasets import change_table, seal, turns, write_dataset

import sftdata
from sftdata.errors import VerificationError
from sftdata.records import Task
from sftdata.shards import streams

SECOND = "train/data-00001-of-00003.arrow"


@pytest.fixture
def written(tmp_path):
    return write_dataset(tmp_path / "out", Task.CAUSAL_LM, {"train": turns(30)})


def flip(path, place=-100):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def take_another(out):
    """Put the file of another dataset, of equal size, in the place of ours."""
    other = write_dataset(out.parent / "other", Task.CAUSAL_LM, {"train": turns(30)[::-1]})
    size = (out / SECOND).stat().st_size
    alike = next(p for p in (other / "train").glob("*.arrow") if p.stat().st_size == size and p.name != SECOND[6:])
    (out / SECOND).write_bytes(alike.read_bytes())


DAMAGES = {
    "a flipped bit": (lambda out: flip(out / SECOND), "its content has changed"),
    "a shard cut short": (lambda out: (out / SECOND).write_bytes((out / SECOND).read_bytes()[:-9]), "bytes, expected"),
    "an empty shard": (lambda out: (out / SECOND).write_bytes(b""), "0 bytes, expected"),
    "a missing shard": (lambda out: (out / SECOND).unlink(), "missing"),
    "a foreign shard of equal size": (take_another, "its content has changed"),
    "a missing index": (lambda out: (out / "index/train.arrow").unlink(), "missing"),
    "a flipped bit in the index": (lambda out: flip(out / "index/train.arrow"), "its content has changed"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named_by_verify_and_when_the_file_is_first_needed(written, damage):
    spoil, message = DAMAGES[damage]
    spoil(written)
    with pytest.raises(VerificationError, match=message):
        sftdata.verify(written)
    split = sftdata.load_split(written)
    split.check_shard(0)
    with pytest.raises(VerificationError, match=message) as caught:
        split.lengths() if "index" in damage else split.check_shard(1)
    assert ("index/train.arrow" if "index" in damage else SECOND) in str(caught.value)
    assert split[25]["row_id"] == "s:25", "what is not needed is not in the way"


@pytest.mark.parametrize("damage", ["a shard cut short", "a missing shard", "an empty shard"])
def test_a_row_of_a_cut_or_missing_shard_is_refused(written, damage):
    DAMAGES[damage][0](written)
    with pytest.raises(VerificationError, match=f"{SECOND} .*sftdata verify"):
        sftdata.load_split(written)[15]


def test_a_shard_that_is_no_arrow_or_not_as_described_is_refused(written):
    size = (written / SECOND).stat().st_size
    (written / SECOND).write_bytes(b"\x00\x01\x02\x03" * (size // 4))
    with pytest.raises(VerificationError, match="no whole Arrow stream"):
        sftdata.load_split(written)[15]
    for change, message in (
        (lambda table: table.slice(1), "has 9 rows, expected 10"),
        (lambda table: table.drop(["labels"]), "expected for causal_lm"),
    ):
        out = write_dataset(written.parent / message[:3], Task.CAUSAL_LM, {"train": turns(30)})
        change_table(out, SECOND, change)
        with pytest.raises(VerificationError, match=message):
            sftdata.load_split(out)[15]


def test_an_index_of_another_length_is_refused(written):
    change_table(written, "index/train.arrow", lambda index: index.slice(1))
    with pytest.raises(VerificationError, match="has 29 rows, expected 30"):
        sftdata.load_split(written).lengths()


def test_what_has_another_digest_is_not_parsed(written, monkeypatch):
    for path in written.rglob("*.arrow"):
        flip(path)
    monkeypatch.setattr(streams, "map_stream", lambda path: pytest.fail(f"{path} was parsed"))
    with pytest.raises(VerificationError, match="of different runs"):
        sftdata.verify(written)


def read_all_ways(out: Path, file: str, seed: int) -> str:
    """Read a dataset in which some bits of a file are flipped; what may happen is rows, or a refusal."""
    chance, data = np.random.default_rng(seed), bytearray((out / file).read_bytes())
    for place in chance.integers(len(data), size=1 + seed % 3):
        data[place] ^= 1 << chance.integers(8)
    (out / file).write_bytes(data)
    return f"{count_refused(out)} refused, {seal(out) or count_refused(out)} when sealed"


def count_refused(out: Path) -> int:
    split, refused = sftdata.load_split(out), 0
    reads = [lambda: split[15], lambda: list(split), lambda: split.find("s:29"), split.lengths, split.targets]
    for read in (*reads, lambda: sftdata.verify(out)):
        try:
            read()
        except VerificationError:
            refused += 1
    return refused


FUZZ = """
import pathlib, sys
import test_damage
out, file = pathlib.Path(sys.argv[1]), sys.argv[2]
whole = (out / file).read_bytes()
for seed in range(150):
    print(seed, test_damage.read_all_ways(out, file, seed), flush=True)
    (out / file).write_bytes(whole)
    test_damage.seal(out)
"""


@pytest.mark.parametrize("file", [SECOND, "index/train.arrow"])
def test_no_flipped_bit_ends_the_process(written, file):
    """Not even where no digest is compared. In a process of its own, for a crash cannot be caught."""
    here = Path(__file__).parent
    program = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}\n{FUZZ}"
    done = subprocess.run([sys.executable, "-c", program, str(written), file], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-2000:]}"
    told = done.stdout.splitlines()
    assert len(told) == 150
    assert not any(" 0 refused" in line for line in told), "verify sees every bit"
    assert any("0 when sealed" in line for line in told) or file != SECOND, "some bits harm nothing but the digest"
