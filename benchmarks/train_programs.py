"""One trainer that `train.py` compares, in a process of its own; what it found stands in the last line, as JSON.

usage: python benchmarks/train_programs.py NAME DATA MODEL --task TASK --batch N [--accumulate N] [--pack N] [--warm N]

An epoch over the prepared dataset DATA, without evaluation. Time runs from the end of step `warm`, or from the
beginning of the first one, to the end of the last; loading a model and saving it are not counted. Tokens are without
padding.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as sftdata sets it: for all alike
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

SEED, RATE = 7, 1e-6
PAD = "<pad>"
ON_GPU = torch.cuda.is_available()


@dataclass
class Clock:
    """What was seen of the steps that count.

    Attributes:
        warm: steps before that are not counted.
        steps: taken, those included.
        tokens: of each counted step, maybe still on the device.
        losses: of each counted step, its mean.
        began: when the first one that counts did.
        processor: seconds of processors until then.
    """

    warm: int
    steps: int = 0
    tokens: list[Any] = field(default_factory=list)
    losses: list[Any] = field(default_factory=list)
    began: float = 0.0
    processor: float = 0.0

    def begin(self) -> None:
        """Note that a step begins."""
        if self.steps == self.warm:
            self.began, self.processor = now(), time.process_time()
            if ON_GPU:
                torch.cuda.reset_peak_memory_stats()

    def end(self, loss: Any) -> None:
        """Note that a step has ended."""
        self.steps += 1
        if self.steps > self.warm:
            self.losses.append(loss)

    def see(self, tokens: Any) -> None:
        """Count the tokens of what goes through the model in this step."""
        if self.steps >= self.warm:
            self.tokens.append(tokens)

    def stop(self) -> dict[str, Any]:
        """Return what was found."""
        ended, processor = now(), time.process_time()
        peak = (
            torch.cuda.max_memory_allocated() if ON_GPU else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        return {
            "seconds": ended - self.began,
            "processor": processor - self.processor,
            "steps": self.steps - self.warm,
            "tokens": sum(int(count) for count in self.tokens),
            "loss": sum(float(loss) for loss in self.losses) / len(self.losses),
            "peak": peak,
        }


def now() -> float:
    """Return the time, when the device has done all that it was told."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def train_ours(given: argparse.Namespace, clock: Clock, out: str) -> dict[str, Any]:
    """Train with sftdata."""
    from sftdata.settings.training import TrainSettings
    from sftdata.training import loop, train

    take, found = loop.take_step, {}

    def watch(*args: Any, **named: Any) -> Any:
        clock.begin()
        step = take(*args, **named)
        clock.see(step.loaded.tokens)
        clock.end(step.loss_sum / step.loaded.targets)
        if step.loaded.step + 1 == found["steps"]:
            found.update(clock.stop())
        return step

    plan = loop.make_loader

    def open_plan(model: Any, setup: Any, *rest: Any) -> Any:
        found["steps"] = setup.plan.steps
        return plan(model, setup, *rest)

    loop.take_step, loop.make_loader = watch, open_plan
    settings = TrainSettings(
        model=given.model,
        output_dir=out,
        batch_size=given.batch,
        accumulate=given.accumulate,
        pack=given.pack,
        learning_rate=RATE,
        seed=SEED,
        log_steps=1000,
    )
    train(given.data, settings, progress=False)
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return found | {"mfu": next((line["mfu"] for line in reversed(lines) if line.get("mfu")), None)}


def load_model(given: argparse.Namespace, classes: int) -> Any:
    """Load the model in float32, as all of them train it."""
    import transformers

    if given.task == "text_classification":
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            given.model, dtype=torch.float32, num_labels=classes
        )
    return transformers.AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)


def shared_arguments(given: argparse.Namespace, out: str) -> dict[str, Any]:
    """Return what both of the others are told."""
    return {
        "output_dir": out,
        "num_train_epochs": 1,
        "per_device_train_batch_size": given.batch,
        "gradient_accumulation_steps": given.accumulate,
        "learning_rate": RATE,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,
        "seed": SEED,
        "bf16": ON_GPU,
        "use_cpu": not ON_GPU,
        "logging_steps": 1000,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
    }


def watch_trainer(trainer: Any, clock: Clock) -> dict[str, Any]:
    """Run a Trainer and look at its steps."""
    import transformers

    losses: list[Any] = []
    step = trainer.training_step

    def training_step(model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        mask = inputs.get("attention_mask")
        clock.see(inputs["input_ids"].numel() if mask is None else mask.sum())
        losses.append(loss := step(model, inputs, *rest))
        return loss

    class Watch(transformers.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.end(sum(losses))
            losses.clear()

    trainer.training_step = training_step
    trainer.add_callback(Watch())
    trainer.train()
    return clock.stop()


def train_trainer(given: argparse.Namespace, clock: Clock, out: str, sampling: str = "random") -> dict[str, Any]:
    """Train with transformers' Trainer on the same shards."""
    import datasets
    import transformers

    dataset = datasets.load_from_disk(given.data)["train"].select_columns(["input_ids", "labels"])
    tokenizer = pad_only()
    pads = transformers.DataCollatorForSeq2Seq(tokenizer)
    if given.task == "text_classification":
        pads = transformers.DataCollatorWithPadding(tokenizer)
    labels = dataset.features["labels"]
    arguments = transformers.TrainingArguments(**shared_arguments(given, out), train_sampling_strategy=sampling)
    model = load_model(given, getattr(labels, "num_classes", 0))
    return watch_trainer(transformers.Trainer(model, arguments, train_dataset=dataset, data_collator=pads), clock)


def pad_only() -> Any:
    """Return a tokenizer that is good for padding with id 0."""
    import tokenizers
    import transformers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({PAD: 0}, unk_token=PAD))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token=PAD, eos_token=PAD)


def train_grouped(given: argparse.Namespace, clock: Clock, out: str) -> dict[str, Any]:
    """Train with Trainer, rows of like length in a batch: no longer a random order."""
    return train_trainer(given, clock, out, sampling="group_by_length")


def train_trl(given: argparse.Namespace, clock: Clock, out: str) -> dict[str, Any]:
    """Train with TRL's SFTTrainer; in packs, which `sftdata export` has made, where `pack` is given."""
    import datasets
    import trl

    import sftdata

    data = Path(given.data)
    if given.pack:
        data = Path(out) / "packs"
        sftdata.export(given.data, data, to="trl", capacity=given.pack)
    dataset = datasets.load_from_disk(str(data))["train"]
    arguments = trl.SFTConfig(
        **shared_arguments(given, out),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        padding_free=bool(given.pack),
    )
    trainer = trl.SFTTrainer(load_model(given, 0), arguments, train_dataset=dataset, processing_class=pad_only())
    return watch_trainer(trainer, clock)


PROGRAMS: dict[str, Callable[[argparse.Namespace, Clock, str], dict[str, Any]]] = {
    "ours": train_ours,
    "trainer": train_trainer,
    "grouped": train_grouped,
    "trl": train_trl,
}


def main() -> None:
    """Train and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--task", default="causal_lm")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--pack", type=int)
    parser.add_argument("--warm", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        found = PROGRAMS[given.program](given, Clock(given.warm), str(Path(out) / "run"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
