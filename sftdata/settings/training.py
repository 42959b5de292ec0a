"""How a model is trained: the recipe's `train`."""

from typing import Literal

from pydantic import Field, field_validator

from sftdata.documents import Settings, Text


class MixedDataset(Settings):
    """Another prepared dataset that is trained from."""

    data: Text
    """The directory that `prepare` wrote, relative to the recipe file; same task, tokenizer and labels."""
    weight: float = Field(default=1.0, gt=0)
    """Its share of an epoch, beside the other weights."""


class MixSettings(Settings):
    """How several prepared datasets share an epoch."""

    datasets: tuple[MixedDataset, ...]
    """The others, beside this recipe's own."""
    weight: float = Field(default=1.0, gt=0)
    """The share of this recipe's own dataset; weights need not add up to 1."""
    by: Literal["rows", "tokens"] = "rows"
    """Whether weights are shares of the examples or of their tokens."""
    repeat: bool = False
    """With it every example is in each epoch, those of datasets that are too small for their share several times;
    without it no example is twice in an epoch, and what is left over comes in the next."""

    @field_validator("datasets")
    @classmethod
    def _check_datasets(cls, datasets: tuple[MixedDataset, ...]) -> tuple[MixedDataset, ...]:
        if not datasets:
            raise ValueError("found no dataset, expected at least one")
        return datasets


class LoraSettings(Settings):
    """Low-rank adapters (Hu et al. 2021) instead of full fine-tuning."""

    r: int = Field(default=16, ge=1)
    """Rank of the update."""
    alpha: float = Field(default=32, gt=0)
    """The update is scaled by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the modules that get an adapter."""


class TrainSettings(Settings):
    """How a model is trained. One step sees `batch_size * accumulate` examples, or packs, on all devices together."""

    model: Text
    """A local directory or a name on the hub."""
    output_dir: Text
    """Where checkpoints and the final model go, relative to the recipe file."""
    epochs: float = Field(default=1, gt=0)
    """Passes over the training part; may be a fraction."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimiser steps, even inside an epoch."""
    pack: int | None = Field(default=None, ge=1)
    """Put whole examples together in packs of at most so many tokens, which a step then counts instead of examples."""
    batch_size: int = Field(default=16, ge=1)
    """Examples, or packs, in one forward and backward pass."""
    accumulate: int = Field(default=1, ge=1)
    """Passes whose gradients add up to one optimiser step."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """The highest learning rate of the schedule."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay; biases and norms have none."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to zero after the warm-up."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from zero."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """`bf16` computes in bfloat16 with float32 master weights; `auto` means bf16 on a GPU that has it, else float32."""
    gradient_checkpointing: bool = False
    """Compute the layers once more in the backward pass instead of keeping what is in them: less memory, more time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU when there is one."""
    eval_batch_size: int | None = Field(default=None, ge=1)
    """Examples in one evaluation pass; twice `batch_size` when it is not given."""
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; once an epoch when it is not given."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints to keep, beside the best."""
    metric: str | None = None
    """Chooses the best checkpoint. By default `macro_f1` for classes and labels, `entity_f1` for tags that spell
    entities, `mse` for scores, `loss` for text, where `bleu` and `chrf` compare written ones. See training.md."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better metric."""
    log_steps: int = Field(default=10, ge=1)
    """Steps between two logged values."""
    seed: int = 0
    """Decides the order of examples, dropout and new weights."""
    lora: LoraSettings | None = None
    """Train adapters of this shape; full fine-tuning when it is not given."""
    fold: int | None = Field(default=None, ge=0)
    """Train on all folds but this one, which is the validation part; without it each fold is trained in its turn."""
    mix: MixSettings | None = None
    """Train from other prepared datasets too, in these shares."""
