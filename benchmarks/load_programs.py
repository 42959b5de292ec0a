"""One loader that `load.py` compares, in a process of its own on one core; what it found stands in the last line.

usage: python benchmarks/load_programs.py NAME DATA --packs FILE [--copies N] [--step N] [--check]
       python benchmarks/load_programs.py plan DATA --lengths N

Without `--step` it loads an epoch; with it, as after a crash: everything is opened anew and the first batch from that
step on is loaded. Imports are not counted. A copy is the same data again, so that there are steps enough.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

SEED = 7
BATCH = 16
"""Examples of a padded batch; of these conversations they have about as many tokens as a pack."""

CAPACITY = 2048
"""Tokens of a pack. A batch of packs has one."""

REPLAYED = 2000
"""Steps that are replayed where all are too many; the time is scaled."""


class Data(NamedTuple):
    """What to load.

    Attributes:
        folder: a prepared dataset.
        packs: the file that TRL's packed copy is kept in.
        copies: how often the data stand in the epoch.
        step: where to begin.
    """

    folder: Path
    packs: Path
    copies: int
    step: int


def load_ours(data: Data, kind: str) -> Iterable[Any]:
    """Yield sftdata's batches. Each copy is opened and checked on its own."""
    from sftdata.plan import make_plan
    from sftdata.shards.reader import load_split
    from sftdata.training.examples import Examples
    from sftdata.training.loader import Loader

    examples = Examples(*(load_split(data.folder) for _ in range(data.copies)))
    packed = kind != "padded"
    units, capacity = (1, CAPACITY) if packed else (BATCH, None)
    plan = make_plan(examples.lengths, seed=SEED, step_size=units, epochs=1, capacity=capacity)
    loader = Loader(examples, plan, batch_size=units, packed=packed, fixed=kind == "fixed", start=data.step)
    return (batch for loaded in loader for batch in loaded.batches)


def open_dataset(data: Data) -> Any:
    """Open the same shards with `datasets`."""
    import datasets

    return repeat(datasets.load_from_disk(str(data.folder))["train"].select_columns(["input_ids", "labels"]), data)


def repeat(dataset: Any, data: Data) -> Any:
    """Put copies of a dataset behind it."""
    import datasets

    return datasets.concatenate_datasets([dataset] * data.copies) if data.copies > 1 else dataset


def pad_with(data: Data) -> Callable[[list[Any]], Any]:
    """Return the stock collator that pads ids and labels."""
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq

    return DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(data.folder / "tokenizer"))


def skip(loader: Any, data: Data) -> Iterable[Any]:
    """Go to a step as `transformers.Trainer` does."""
    from accelerate import skip_first_batches

    return skip_first_batches(loader, data.step) if data.step else loader


def load_usual(data: Data, workers: int) -> Iterable[Any]:
    """Return the batches of torch's DataLoader."""
    from torch.utils.data import DataLoader

    dataset = open_dataset(data)
    loader = DataLoader(dataset, BATCH, shuffle=True, collate_fn=pad_with(data), num_workers=workers)
    return skip(loader, data)


def load_streamed(data: Data) -> Iterable[Any]:
    """Return the batches of the dataset as a stream, as it is used where data do not fit on a machine."""
    from torch.utils.data import DataLoader

    return skip(DataLoader(open_dataset(data).to_iterable_dataset(), BATCH, collate_fn=pad_with(data)), data)


def load_stateful(data: Data, workers: int, state: Any = None) -> Iterable[Any]:
    """Return the batches of torchdata's loader; with a state, from there on."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    dataset = open_dataset(data)
    loader = StatefulDataLoader(dataset, BATCH, shuffle=True, collate_fn=pad_with(data), num_workers=workers)
    if state is not None:
        loader.load_state_dict(state)
    return loader


def state_at(data: Data, workers: int) -> Any:
    """Return the state at a step, which has nothing of the rows in it: of a loader over numbers, as many as rows."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    loader = StatefulDataLoader(
        range(len(open_dataset(data))), BATCH, shuffle=True, collate_fn=len, num_workers=workers
    )
    for _, _ in zip(range(data.step), loader, strict=False):
        pass
    return loader.state_dict()


def pack_as_trl(data: Data) -> Any:
    """Pack as SFTTrainer does before its first step, or take what was packed before."""
    from trl import pack_dataset

    once = data._replace(copies=1)
    return pack_dataset(open_dataset(once), CAPACITY, "bfd", {"cache_file_name": str(data.packs)})


def load_trl(data: Data) -> Iterable[Any]:
    """Return the batches of SFTTrainer with packing, which are free of padding."""
    from torch.utils.data import DataLoader
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    return skip(DataLoader(repeat(pack_as_trl(data), data), 1, shuffle=True, collate_fn=collate), data)


PROGRAMS: dict[str, Callable[..., Iterable[Any]]] = {
    "ours-padded": partial(load_ours, kind="padded"),
    "ours-packed": partial(load_ours, kind="packed"),
    "ours-fixed": partial(load_ours, kind="fixed"),
    "usual": partial(load_usual, workers=0),
    "usual-2": partial(load_usual, workers=2),
    "stateful": partial(load_stateful, workers=0),
    "stateful-2": partial(load_stateful, workers=2),
    "trl": load_trl,
    "streamed": load_streamed,
}


def count(batch: Any) -> list[int]:
    """Return the tokens of a batch, the sum of their ids, and how many are trained."""
    if hasattr(batch, "targets"):  # ours; it pads with 0
        places = batch.attention_mask.sum() if batch.cu_seqlens is None else batch.cu_seqlens[len(batch.rows)]
        return [int(places), int(batch.input_ids.sum()), int((batch.targets != -100).sum())]
    ids, mask = batch["input_ids"], batch.get("attention_mask")
    ids, places = (ids, ids.numel()) if mask is None else (ids * mask, int(mask.sum()))
    return [places, int(ids.sum()), int((batch["labels"] != -100).sum())]


def processor_time() -> float:
    """Return the processor time of this process and of those that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def time_epoch(name: str, data: Data, check: bool) -> dict[str, Any]:
    """Load everything once; with `check` a second time, to count."""
    prepared = 0.0
    if name == "trl":
        data.packs.unlink(missing_ok=True)
        begun = time.perf_counter()
        pack_as_trl(data)
        prepared = time.perf_counter() - begun
    begun, used = time.perf_counter(), processor_time()
    batches = sum(1 for _ in PROGRAMS[name](data))
    seconds, processor = time.perf_counter() - begun, processor_time() - used
    found = {"seconds": seconds, "processor": processor, "batches": batches, "prepared": prepared}
    if check:
        found["counts"] = [sum(of_batch) for of_batch in zip(*map(count, PROGRAMS[name](data)), strict=True)]
    return found


def time_first(name: str, data: Data, **state: Any) -> float:
    """Open everything and load one batch."""
    begun = time.perf_counter()
    next(iter(PROGRAMS[name](data, **state)))
    return time.perf_counter() - begun


def time_resume(name: str, data: Data) -> dict[str, float]:
    """Resume; a stream is replayed for some steps, as many as it takes to tell the time of all."""
    if name == "streamed":
        first, later = (time_first(name, data._replace(step=step)) for step in (0, REPLAYED))
        return {"seconds": first + (later - first) * data.step / REPLAYED}
    state = {"state": state_at(data, PROGRAMS[name].keywords["workers"])} if name.startswith("stateful") else {}
    return {"seconds": time_first(name, data, **state)}


def time_plan(folder: Path, count: int) -> dict[str, float]:
    """Plan a run over as many lengths, drawn from those of the data, and ask for a step."""
    import numpy as np

    from sftdata.plan import make_plan
    from sftdata.shards.reader import load_split

    lengths = np.random.default_rng(SEED).choice(load_split(folder).lengths(), count)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    plan = make_plan(lengths, seed=SEED, step_size=BATCH, epochs=1, capacity=CAPACITY)
    plan.units(plan.steps - 1)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    full = int(lengths.sum()) / (len(plan.arrange(0)) * CAPACITY)
    return {"seconds": seconds, "before": before * 1024, "peak": peak * 1024, "full": full}


def import_for(name: str) -> None:
    """Import what is not to be counted."""
    import torch

    torch.set_num_threads(1)
    if name.startswith("ours"):
        import sftdata.training.loader  # noqa: F401

        return
    import accelerate  # noqa: F401
    import datasets

    datasets.disable_progress_bars()
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq  # noqa: F401

    if name.startswith("stateful"):
        import torchdata.stateful_dataloader  # noqa: F401
    if name == "trl":
        from trl.trainer.sft_trainer import DataCollatorForLanguageModeling  # noqa: F401


def main() -> None:
    """Measure one program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*PROGRAMS, "plan"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--packs", type=Path)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--lengths", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if given.name == "plan":
        print(json.dumps(time_plan(given.data, given.lengths)))
        return
    import_for(given.name)
    data = Data(given.data, given.packs, given.copies, given.step)
    found = time_resume(given.name, data) if given.step else time_epoch(given.name, data, given.check)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
