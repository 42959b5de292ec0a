"""The recipe: one frozen model of the whole run, read from one YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from sftdata.documents import Settings, Text, check_mapping, read_document
from sftdata.errors import RecipeError
from sftdata.functions import split_function
from sftdata.records import Task
from sftdata.settings.augmentation import AugmentationStep
from sftdata.settings.balancing import BalanceSettings
from sftdata.settings.cleaning import CleanSettings
from sftdata.settings.deduplication import DecontaminateSettings, DeduplicateSettings
from sftdata.settings.limits import Limit
from sftdata.settings.sources import SourceSettings
from sftdata.settings.splitting import SplitSettings
from sftdata.settings.tokenizing import TokenizeSettings, TrainTokenizerSettings
from sftdata.settings.training import TrainSettings

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

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

    def resolve_training(self, train: TrainSettings) -> TrainSettings:
        """Return `train` with its paths as seen from the recipe file."""
        builds = split_function(train.model)
        changed: dict[str, Any] = {
            "model": str(self.resolve(train.model)) if builds else local_or_hub(self._base, train.model),
            "output_dir": str(self.resolve(train.output_dir)),
        }
        if train.callback:
            changed["callback"] = str(self.resolve(train.callback))
        if train.mix:
            others = (one.model_copy(update={"data": str(self.resolve(one.data))}) for one in train.mix.datasets)
            changed["mix"] = train.mix.model_copy(update={"datasets": tuple(others)})
        return train.model_copy(update=changed)

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


AnyRecipe = Recipe | Mapping[str, Any] | str | Path
"""A recipe, or what `load_recipe` makes one of."""


def load_recipe(recipe: AnyRecipe, base: str | Path | None = None) -> Recipe:
    """Read a recipe file, or check a mapping that says what such a file does.

    Args:
        recipe: a path; a mapping with the keys of the YAML; or a recipe, which is returned as it is.
        base: where the relative paths in a mapping start from: the working directory when it is not given.

    Raises:
        RecipeError: with all faults at once.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, Mapping | str | Path):
        raise RecipeError(
            "what was given", [f"found {type(recipe).__name__}, expected a file, a mapping of its keys, or a recipe"]
        )
    if isinstance(recipe, Mapping):
        loaded, folder = check_mapping(recipe, Recipe, RecipeError, Path(base or "")), Path(base or "")
    else:
        loaded, folder = read_document(Path(recipe), Recipe, RecipeError), Path(recipe).parent
    loaded._base = folder
    return loaded


def local_or_hub(base: Path, name: str) -> str:
    """Return the local directory that `name` means as seen from `base`, or `name` itself, for the hub."""
    local = base / name
    return str(local) if local.exists() else name
