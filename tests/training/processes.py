"""Training with several processes, started by torchrun and talking over gloo; each says what it did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

CHILD = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from sftdata.errors import SftdataError
from sftdata.settings.training import TrainSettings
from sftdata.training import loop, train
from sftdata.training.distributed import read_ranks

data, wanted, log, resume, fault = json.loads(sys.argv[1])
rank, seen, sums, take_step = read_ranks().rank, [], [], loop.take_step

def watch(model, optimizer, setup, loaded, *more):
    seen.append([row for batch in loaded.batches for row in batch.rows.tolist()])
    sums.append(0)
    return take_step(model, optimizer, setup, loaded, *more)

def count(function):
    def counted(*args, **kwargs):
        if sums:
            sums[-1] += 1
        return function(*args, **kwargs)
    return counted

loop.take_step = watch
dist.all_reduce, dist.reduce_scatter_single = count(dist.all_reduce), count(dist.reduce_scatter_single)
exec(fault)
said = {"rank": rank}
try:
    wanted = wanted[rank] if isinstance(wanted, list) else wanted
    result = train(data, TrainSettings.model_validate(wanted), resume=resume, progress=False)
    said |= {"steps": result.steps, "scores": result.scores, "best": result.best_step, "from": result.resumed_from}
except SftdataError as error:
    said["error"] = str(error)
said |= {"seen": seen, "sums": sums}
Path(log, f"{rank}.json").write_text(json.dumps(said))
"""


def start(count: int, data: Path, wanted: Any, log: Path, *, resume: bool = False, fault: str = "") -> Any:
    """Train with `count` processes, each of which runs `fault` before; return what torchrun came to."""
    log.mkdir()
    dumped = [one.model_dump(mode="json") for one in wanted] if isinstance(wanted, list) else None
    asked = json.dumps([str(data), dumped or wanted.model_dump(mode="json"), str(log), resume, fault])
    program = log / "child.py"
    program.write_text(CHILD)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run([*command, asked], capture_output=True, text=True, timeout=240, env=environment)


def train_on(count: int, data: Path, wanted: Any, log: Path, **others: Any) -> list[Any]:
    """Train with `count` processes; return what each of them says."""
    done = start(count, data, wanted, log, **others)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((log / f"{rank}.json").read_text()) for rank in range(count)]


def assert_close(left: dict[str, Any], right: dict[str, Any], *, rtol: float = 2e-3, atol: float = 2e-5) -> None:
    """Compare weights, but those that have no gradient but rounding."""
    assert left.keys() == right.keys()
    assert left
    for name in left:
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding alone, which AdamW scales up
            continue
        torch.testing.assert_close(left[name], right[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
