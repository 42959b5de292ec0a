"""How a model is trained: the recipe's `train`."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from sftdata.documents import Settings, Text

Steps = Annotated[float, Field(ge=0)] | Annotated[int, Field(ge=0)]
"""A share of all steps, written with a point, or a number of them, written without one."""


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
    """Whether weights are shares of the examples (`rows`) or of their `tokens`."""
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
    """Names of the modules that get an adapter, such as `[q_proj, v_proj]`; `all-linear` means every linear layer but
    the head."""
    modules_to_save: tuple[Text, ...] = ()
    """Names of modules that are trained as a whole beside the adapters, such as `lm_head` and `embed_tokens`."""
    use_rslora: bool = False
    """Scale the update by alpha / sqrt(r) instead (Kalajdzievski 2023)."""
    use_dora: bool = False
    """Train the size of each weight apart from its direction (DoRA, Liu et al. 2024)."""
    quantize: Literal["nf4"] | None = None
    """`nf4` keeps the frozen weights in 4 bits (QLoRA, Dettmers et al. 2023); needs `pip install 'sftdata[qlora]'`."""
    merge: bool = False
    """Save the model with the adapters merged into it, and the adapters alone in `adapter`, instead of them alone."""


class TrainSettings(Settings):
    """How a model is trained. One step sees `batch_size * accumulate` examples, or packs, on all devices together."""

    model: Text
    """A local directory, a name on the hub, a GGUF file, or a function, `module:name`, that makes a model of your own.
    The module may lie beside the recipe."""
    model_arguments: dict[str, Any] = Field(default_factory=dict)
    """What that function is called with, beside what it has to know of the data."""
    freeze: tuple[Text, ...] = ()
    """Names of weights that are not trained, as `named_parameters` has them; `*` stands for any part of a name."""
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
    accumulate: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    """Passes whose gradients add up to one optimiser step. With `auto` a step sees `batch_size` examples, or packs, in
    as few passes as the memory allows: when it runs out, the step is taken again in smaller passes."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """The highest learning rate of the schedule."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay; biases and norms have none."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """How much of its mean of the gradients AdamW keeps in a step."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """How much of its mean of their squares AdamW keeps in a step."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """What AdamW adds where it divides."""
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    """How the learning rate falls after the warm-up: `linear` and `cosine` along a line or a cosine, `constant` not at
    all, `wsd` (warm up, stay, decay) along a line in the last steps alone."""
    warmup: Steps = 0.1
    """Steps in which the learning rate rises from zero: a share of all (below 1, with a point) or a number."""
    cooldown: Steps = 0.1
    """Steps at the end in which the learning rate of `wsd` falls: a share of all or a number."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    """What the learning rate falls to."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread over all choices while training; scores have none."""
    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    """Train with noise of this size on the embeddings of the tokens (NEFTune, Jain et al. 2023), usually 5 to 15."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """`bf16` computes in bfloat16 with float32 master weights; `auto` means bf16 on a GPU that has it, else float32."""
    gradient_checkpointing: bool = False
    """Compute the layers once more in the backward pass instead of keeping what is in them: less memory, more time."""
    compile: bool = False
    """Have torch.compile make kernels for the model's layers: some minutes at the start, then faster steps."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`, or `cuda` for an NVIDIA GPU; `auto` takes a GPU when there is one."""
    fsdp: bool = False
    """Under torchrun, for what does not fit: each process keeps a part of weights, gradients and optimiser (FSDP2)."""
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
    callback: Text | None = None
    """A function, `module:name`, that is called with (part, step, values) at the start and end of a run, at each logged
    value and each evaluation. The module may lie beside the recipe."""
    seed: int = 0
    """Decides the order of examples, dropout and new weights."""
    lora: LoraSettings | None = None
    """Train adapters of this shape; full fine-tuning when it is not given."""
    fold: int | None = Field(default=None, ge=0)
    """Train on all folds but this one, which is the validation part; without it each fold is trained in its turn."""
    mix: MixSettings | None = None
    """Train from other prepared datasets too, in these shares."""

    @property
    def step_size(self) -> int:
        """Examples, or packs, that one step sees on all devices together."""
        return self.batch_size * (1 if self.accumulate == "auto" else self.accumulate)

    @field_validator("fsdp")
    @classmethod
    def _check_fsdp(cls, fsdp: bool, info: ValidationInfo) -> bool:
        if fsdp and info.data.get("accumulate") == "auto":
            raise ValueError("it needs a number for accumulate, not auto: all processes take as many passes")
        return fsdp

    @field_validator("lora")
    @classmethod
    def _check_lora(cls, lora: LoraSettings | None, info: ValidationInfo) -> LoraSettings | None:
        if lora and info.data.get("freeze"):
            raise ValueError("adapters freeze all other weights; leave freeze out")
        if lora and lora.quantize and info.data.get("fsdp"):
            raise ValueError("weights in 4 bits cannot be kept in parts; leave quantize or fsdp out")
        return lora

    @field_validator("warmup", "cooldown")
    @classmethod
    def _check_share(cls, value: float | int) -> float | int:
        if isinstance(value, float) and value >= 1:
            raise ValueError(f"found {value}, expected a share below 1, or a whole number of steps")
        return value

    @field_validator("cooldown")
    @classmethod
    def _check_cooldown(cls, cooldown: float | int, info: ValidationInfo) -> float | int:
        warmup = info.data.get("warmup", 0)
        are_shares = isinstance(warmup, float) and isinstance(cooldown, float)
        if info.data.get("schedule") == "wsd" and are_shares and warmup + cooldown > 1:
            raise ValueError(f"found {cooldown} beside a warmup of {warmup}, expected at most 1 together")
        return cooldown

    @field_validator("min_learning_rate")
    @classmethod
    def _check_minimum(cls, least: float, info: ValidationInfo) -> float:
        if "learning_rate" in info.data and least > info.data["learning_rate"]:
            highest = info.data["learning_rate"]
            raise ValueError(f"found {least:g}, expected a learning rate of at most learning_rate, {highest:g}")
        return least
