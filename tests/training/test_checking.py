import shutil
import sys
import threading
from functools import partial

import pytest
from tiny import settings

from sftdata.errors import VerificationError
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, train
from sftdata.training.checking import ShardChecks


class FakeSplit:
    """Its shard 7 is damaged."""

    def check_shard(self, number):
        if number == 7:
            raise VerificationError("shard 7")


def test_what_one_thread_was_told_is_told_to_the_one_that_saves():
    checks = ShardChecks()
    checks.begin(FakeSplit(), 7)
    checks._thread.submit(int).result()
    for _ in range(2):
        with pytest.raises(VerificationError, match="shard 7"):
            checks.raise_found()
    with pytest.raises(VerificationError, match="shard 7"):
        checks.settle()


def test_a_thread_may_gather_while_another_settles(request):
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    checks, faults, over = ShardChecks(), [], threading.Event()

    def gather():
        try:
            while not over.is_set():
                checks.begin(FakeSplit(), 1)
                checks.raise_found()
        except BaseException as fault:
            faults.append(fault)

    other = threading.Thread(target=gather)
    other.start()
    for _ in range(3000):
        checks.settle()
    over.set()
    other.join()
    checks.settle()
    assert faults == []
    assert checks._pending == []


def test_no_score_is_given_for_a_damaged_shard(class_data, tiny_bert, tmp_path):
    data = shutil.copytree(class_data, tmp_path / "data")
    train(data, settings(tiny_bert, tmp_path / "run", max_steps=1), progress=False)
    split = load_split(data, "test")
    path, labels = data / split.shards[0].file, split.shard(0)["labels"].chunk(0).to_numpy()
    content = path.read_bytes()
    assert content.count(labels.tobytes()) == 1
    path.write_bytes(content.replace(labels.tobytes(), ((labels + 1) % 3).tobytes()))
    with pytest.raises(VerificationError, match="content has changed"):
        evaluate(tmp_path / "run", data)
