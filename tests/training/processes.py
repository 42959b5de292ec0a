"""Training with several processes that talk over gloo; each says what it did.

torchrun starts them, or, where that is not what a test is about, they are forks of one process that has paid for the
imports: these take longer than the training.
"""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
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


def ask(data: Path, wanted: Any, log: Path, resume: bool, fault: str) -> str:
    """Return what `CHILD` is given: one set of settings for all processes, or one for each."""
    dumped = [one.model_dump(mode="json") for one in wanted] if isinstance(wanted, list) else None
    return json.dumps([str(data), dumped or wanted.model_dump(mode="json"), str(log), resume, fault])


def start(count: int, data: Path, wanted: Any, log: Path, *, fault: str) -> Any:
    """Train with `count` processes, each of which runs `fault` before; return what torchrun came to."""
    log.mkdir()
    program = log / "child.py"
    program.write_text(CHILD)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    asked = ask(data, wanted, log, resume=False, fault=fault)
    return subprocess.run([*command, asked], capture_output=True, text=True, timeout=240, env=environment)


SERVER = """
import gc, json, os, signal, socket, sys, traceback
import torch, torch.distributed.fsdp, torch.distributed.checkpoint, peft
import transformers.models.bert.modeling_bert, transformers.models.llama.modeling_llama
import transformers.models.t5.modeling_t5
from sftdata.training import loop, train

def run(rank, count, port, program, asked, log):
    signal.alarm(240)
    printed = os.open(f"{log}/printed-{rank}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1), os.dup2(printed, 2)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.argv = ["child", asked]
    try:
        exec(compile(program, "child", "exec"), {"__name__": "__main__"})
        return 0
    except BaseException:
        traceback.print_exc()
        return 1

def find_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

gc.freeze()
for line in sys.stdin:
    count, program, asked, log = json.loads(line)
    ranks, port = [], find_port()
    for rank in range(count):
        ranks.append(os.fork())
        if not ranks[-1]:
            code = run(rank, count, port, program, asked, log)
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]), flush=True)
"""


@cache
def open_server() -> subprocess.Popen[str]:
    """Start the process that ranks are forked from."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, **pipes)
    atexit.register(server.kill)
    return server


def train_on(count: int, data: Path, wanted: Any, log: Path, *, resume: bool = False, fault: str = "") -> list[Any]:
    """Train with `count` processes, each of which runs `fault` before; return what each of them says."""
    log.mkdir()
    server = open_server()
    print(json.dumps([count, CHILD, ask(data, wanted, log, resume, fault), str(log)]), file=server.stdin, flush=True)
    codes = json.loads(server.stdout.readline())
    printed = "\n".join(path.read_text()[-3000:] for path in sorted(log.glob("printed-*.txt")))
    assert codes == [0] * count, printed
    return [json.loads((log / f"{rank}.json").read_text()) for rank in range(count)]


def assert_close(left: dict[str, Any], right: dict[str, Any], *, rtol: float = 2e-3, atol: float = 2e-5) -> None:
    """Compare weights, but those that have no gradient but rounding."""
    assert left.keys() == right.keys()
    assert left
    for name in left:
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding alone, which AdamW scales up
            continue
        torch.testing.assert_close(left[name], right[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
