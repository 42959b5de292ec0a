"""What the stages of a recipe do, in words."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from sftdata.recipe import Recipe
from sftdata.schema import Schema
from sftdata.settings.limits import Limit
from sftdata.settings.splitting import SplitSettings
from sftdata.settings.tokenizing import TokenizeSettings


def describe_stages(recipe: Recipe, schema: Schema) -> list[tuple[str, str]]:
    """Return what each stage of a recipe does, in the order in which a run goes through them."""
    return list(_describe(recipe, schema))


def _describe(recipe: Recipe, schema: Schema) -> Iterator[tuple[str, str]]:
    columns = ", ".join(schema.columns)
    limit = describe_limit(recipe.max_rejected)
    yield "validate", f"every row against the schema {schema.name} ({columns}), for {recipe.task}; {limit}"
    if recipe.clean:
        yield "clean", list_settings(recipe.clean)
    if recipe.decontaminate:
        files = ", ".join(recipe.decontaminate.files)
        yield "decontaminate", f"reject rows that share {recipe.decontaminate.ngram} words in a row with {files}"
    yield "deduplicate", "; ".join(_describe_duplicates(recipe))
    yield "split", _describe_split(recipe.split)
    if recipe.balance:
        yield "balance", f"the training part: {list_settings(recipe.balance)}"
    if recipe.augment:
        steps = (f"{step.name} ({list_settings(step.settings)})".replace(" ()", "") for step in recipe.augment)
        yield "augment", f"copies of training rows by {', '.join(steps)}"
    yield "tokenize", _describe_tokenizing(recipe.tokenize)


def describe_limit(limit: Limit) -> str:
    """Say how many rows may be rejected."""
    if isinstance(limit, float):
        return (
            "any number of rows may be rejected" if limit == 1 else f"at most {limit:.4g} of all rows may be rejected"
        )
    return f"at most {limit:,} rows may be rejected" if limit else "no row may be rejected"


def list_settings(settings: BaseModel) -> str:
    """List what was set, and not to its default: a name alone where it was switched on."""
    given = settings.model_dump(exclude_defaults=True)
    return ", ".join(_say(name, value) for name, value in given.items() if value is not False)


def _say(name: str, value: Any) -> str:
    if value is True:
        return name
    if isinstance(value, dict):
        return f"{name} {' '.join(_say(key, inner) for key, inner in value.items() if inner is not None)}"
    if isinstance(value, list | tuple):
        return f"{name} {' '.join(map(str, value))}"
    return f"{name} {value}"


def _describe_duplicates(recipe: Recipe) -> Iterator[str]:
    settings, fields = recipe.deduplicate, ""
    if settings.fields:
        fields = f" by {', '.join(settings.fields)}"
    yield (
        f"drop rows that equal an earlier one{fields}"
        if settings.exact
        else "equal rows stay, on one side of the split"
    )
    if settings.near and settings.near.action == "drop":
        yield f"drop near-duplicates, {settings.near.threshold:g} of their shingles shared"
    elif settings.near:
        yield f"near-duplicates, {settings.near.threshold:g} of their shingles shared, stay on one side of the split"
    if settings.conflicts != "keep":
        yield f"the same text with different labels: {settings.conflicts}"


def _describe_split(split: SplitSettings) -> str:
    parts = [f"{name} {getattr(split, name):g}" for name in split.part_names()]
    said = [f"{split.folds} folds" if split.folds else ", ".join(parts)]
    said += [f"and test {split.test:g}"] if split.folds and split.test else []
    said += [f"alike by {split.stratify}"] if split.stratify else []
    said += [f"rows of one {split.group} together"] if split.group else []
    said += ["each row by itself, so that new rows move no old one"] if split.method == "stable" else []
    return ", ".join([*said, f"seed {split.seed}"])


def _describe_tokenizing(settings: TokenizeSettings) -> str:
    own = settings.train_tokenizer
    said = (
        f"with a {own.kind} tokenizer of at most {own.vocab_size:,} tokens, fitted on the training part" if own else ""
    )
    what = {"reject": "longer rows are rejected", "truncate": "longer rows are cut", "split": "longer rows are split"}
    special = {"escape": "as plain characters", "allow": "as these tokens", "reject": ""}
    parts = [said or f"with {settings.tokenizer}", f"at most {settings.max_length:,} tokens, {what[settings.overflow]}"]
    if settings.chat_template is not None:
        parts.append(f"chat template {settings.chat_template or 'none'}")
    if settings.train_on == "last":
        parts.append("only the last response is trained")
    if special[settings.special_tokens_in_text]:
        parts.append(f"control tokens in texts {special[settings.special_tokens_in_text]}")
    return ", ".join(parts)
