"""The recipe: one frozen model of the whole run, read from one YAML file."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from sftdata.documents import Settings, Text, read_document
from sftdata.errors import RecipeError
from sftdata.records import Task
from sftdata.settings.augmentation import AugmentationStep
from sftdata.settings.balancing import BalanceSettings
from sftdata.settings.cleaning import CleanSettings
from sftdata.settings.deduplication import DecontaminateSettings, DeduplicateSettings
from sftdata.settings.limits import Limit
from sftdata.settings.sources import SourceSettings
from sftdata.settings.splitting import SplitSettings
from sftdata.settings.tokenizing import TokenizeSettings, TrainTokenizerSettings

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


TRAINED = (Task.TEXT_CLASSIFICATION, Task.CAUSAL_LM)
"""The tasks that models can be trained for."""

_STRATA: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: ("label",),
    Task.MULTILABEL: ("labels",),
    Task.REGRESSION: ("score",),
}
"""What a split of each task can be stratified by, beside the length."""

_OWNERS = {
    "chat_template": Task.CAUSAL_LM,
    "chat_template_arguments": Task.CAUSAL_LM,
    "date": Task.CAUSAL_LM,
    "train_on": Task.CAUSAL_LM,
    "max_target_length": Task.SEQ2SEQ,
    "label_all_pieces": Task.TOKEN_CLASSIFICATION,
}
"""Settings of `tokenize` that only one task has."""


def parse_size(value: Any) -> Any:
    """Turn `256MB` into a number of bytes; leave a number as it is."""
    if not isinstance(value, str | bool | float):
        return value
    value = str(value)
    number = value.strip().rstrip("BbKkMmGgIi").strip()
    unit = value.strip()[len(number) :].strip().upper() or "B"
    try:
        return round(float(number) * UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"found {value!r}, expected a size such as 256MB or 1GiB") from None


class OutputSettings(Settings):
    """Where shards go."""

    dir: Text
    """The output directory, relative to the recipe file."""
    shard_size: Annotated[int, BeforeValidator(parse_size), Field(ge=1)] = 256 * 10**6
    """Most bytes of one shard; `256MB`, `1GiB` or a number of bytes."""


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
    """How a model is trained. One step sees `batch_size * accumulate` examples."""

    model: Text
    """A local directory or a name on the hub."""
    output_dir: Text
    """Where checkpoints and the final model go, relative to the recipe file."""
    epochs: float = Field(default=1, gt=0)
    """Passes over the training part; may be a fraction."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimiser steps, even inside an epoch."""
    batch_size: int = Field(default=16, ge=1)
    """Examples in one forward and backward pass."""
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
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU when there is one."""
    eval_batch_size: int | None = Field(default=None, ge=1)
    """Examples in one evaluation pass; twice `batch_size` when it is not given."""
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; once an epoch when it is not given."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints to keep, beside the best."""
    metric: str | None = None
    """Chooses the best checkpoint: `loss`, `accuracy`, `macro_f1`; for text `loss`, `perplexity`, `token_accuracy`."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better metric."""
    log_steps: int = Field(default=10, ge=1)
    """Steps between two logged values."""
    seed: int = 0
    """Decides the order of examples, dropout and new weights."""
    lora: LoraSettings | None = None
    """Train adapters of this shape; full fine-tuning when it is not given."""


class Recipe(Settings):
    """The whole run."""

    task: Task
    """What the model learns."""
    schema_name: Text = Field(alias="schema")
    """A schema file, relative to the recipe file, or the name of one that ships with sftdata."""
    sources: tuple[SourceSettings, ...]
    """Where rows come from, in order."""
    dictionary: Text | None = None
    """A file of Chinese words of your own, one a line, that are never cut; relative to the recipe file."""
    clean: CleanSettings | None = None
    """How texts are cleaned, and which rows are filtered out."""
    deduplicate: DeduplicateSettings = DeduplicateSettings()
    """Which rows say the same, and what becomes of them."""
    decontaminate: DecontaminateSettings | None = None
    """Which texts belong to an evaluation, so that no row may repeat them."""
    split: SplitSettings = SplitSettings()
    """How rows are divided."""
    balance: BalanceSettings | None = None
    """How the labels of the training part are brought into balance."""
    augment: tuple[AugmentationStep, ...] = ()
    """How changed copies of the training rows are made."""
    tokenize: TokenizeSettings
    """How rows become tokens."""
    output: OutputSettings
    """Where shards go."""
    max_rejected: Limit = 0.02
    """Most rejected rows a run may have: a share (with a point) or a number of rows (without)."""
    train: TrainSettings | None = None
    """How a model is trained from the shards."""

    _base: Path = PrivateAttr(default=Path())

    @property
    def base(self) -> Path:
        """The directory that relative paths start from: the recipe file's own."""
        return self._base

    def resolve(self, path: str) -> Path:
        """Return `path` as seen from the recipe file."""
        return self._base / path

    # Checks of fields, not of the whole model: pydantic runs the latter only where no field has a fault.

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        if not sources:
            raise ValueError("found no source, expected at least one")
        return sources

    @field_validator("split")
    @classmethod
    def _check_split(cls, split: SplitSettings, info: ValidationInfo) -> SplitSettings:
        task = info.data.get("task")
        if task and split.stratify not in (None, "length", *_STRATA.get(task, ())):
            raise ValueError(f"stratify: a {task} task has no {split.stratify}; leave stratify out, or take length")
        return split

    @field_validator("balance")
    @classmethod
    def _check_balance(cls, balance: BalanceSettings | None, info: ValidationInfo) -> BalanceSettings | None:
        task = info.data.get("task")
        if balance and task and not set(_STRATA.get(task, ())) & {"label", "labels"}:
            raise ValueError(f"a {task} task has no labels to balance; leave balance out")
        copies = balance and (balance.oversample or balance.undersample or balance.weights == "effective")
        if copies and task == Task.MULTILABEL:
            raise ValueError(f"a {task} task can be balanced by `weights: balanced` alone, for labels share their rows")
        return balance

    @field_validator("augment")
    @classmethod
    def _check_augment(cls, steps: tuple[AugmentationStep, ...], info: ValidationInfo) -> tuple[AugmentationStep, ...]:
        task = info.data.get("task")
        factored = [step.name for step in steps if step.settings.factors]
        if task and factored and not set(_STRATA.get(task, ())) & {"label", "labels"}:
            raise ValueError(f"{factored[0]}.factors: a {task} task has no labels; leave factors out")
        return steps

    @field_validator("train")
    @classmethod
    def _check_train(cls, train: TrainSettings | None, info: ValidationInfo) -> TrainSettings | None:
        task = info.data.get("task")
        if train and task and task not in TRAINED:
            raise ValueError(refuse_training(task))
        return train

    @field_validator("tokenize")
    @classmethod
    def _check_tokenize(cls, tokenize: TokenizeSettings, info: ValidationInfo) -> TokenizeSettings:
        task, default = info.data.get("task"), TokenizeSettings(tokenizer="-")
        faults = [
            f"{name}: only a {owner} task has it; leave it out"
            for name, owner in _OWNERS.items()
            if task not in (None, owner) and getattr(tokenize, name) != getattr(default, name)
        ]
        if task == Task.SEQ2SEQ and tokenize.overflow == "split":
            why = "the parts of a source and of its target would not correspond"
            faults.append(f"overflow: found 'split', expected reject or truncate; {why}")
        if own := tokenize.train_tokenizer:
            faults += _find_own_faults(own, task, info.data.get("clean"))
        if faults:
            raise ValueError("; ".join(faults))
        return tokenize


def _find_own_faults(own: TrainTokenizerSettings, task: Task | None, clean: CleanSettings | None) -> list[str]:
    """Say what a tokenizer cannot do that is fitted once the training part is known."""
    faults = []
    if task == Task.CAUSAL_LM and own.segmenter in ("whitespace", "nltk"):
        why = "it forgets the spaces, so that no label could be proved; take bpe, char, or word with jieba"
        faults.append(f"train_tokenizer.segmenter: found {own.segmenter!r} for {task}: {why}")
    if clean and clean.tokens is not None:
        why = "rows are cleaned before it is fitted; give `tokenizer`, or filter by `characters` or `words`"
        faults.append(f"train_tokenizer: clean.tokens counts tokens, but {why}")
    return faults


def refuse_training(task: Task) -> str:
    """Say why there is no training for a task, and what to do."""
    return (
        f"rows for {task} can be prepared, but sftdata trains {' and '.join(TRAINED)} only; "
        "leave `train` out, and train with transformers.Trainer on the shards"
    )


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file.

    Raises:
        RecipeError: with all faults of the file at once.
    """
    recipe = read_document(Path(path), Recipe, RecipeError)
    recipe._base = Path(path).parent
    return recipe


def local_or_hub(base: Path, name: str) -> str:
    """Return the local directory that `name` means as seen from `base`, or `name` itself, for the hub."""
    local = base / name
    return str(local) if local.exists() else name
