"""Compare the chat template that a dataset was rendered with to a model's own."""

from pathlib import Path

import jinja2
import jinja2.meta

from sftdata.manifest import Manifest, digest_text
from sftdata.stages.tokenization.setup import without_template
from sftdata.tokenizers.loading import TOOL_TEMPLATE, find_templates, load_tokenizer
from sftdata.tokenizers.template_environment import TemplateEnvironment

_FILES = ("chat_template.jinja", "tokenizer_config.json", TOOL_TEMPLATE)


def compare_templates(ours: Path, theirs: Path) -> list[str]:
    """Return a line for each template that is not the same, and for each token that it writes otherwise.

    Args:
        ours: the directory of the data's tokenizer, in which the template in force stands.
        theirs: that of a model or run; what it lacks is no difference.
    """
    own, other = _templates_in(ours), _templates_in(theirs)
    shared = sorted(own.keys() & other.keys())
    found = [
        f"chat template{'' if name == 'default' else f' {name}'}: {_find_difference(own[name], other[name])}"
        for name in shared
        if not _say_the_same(own[name], other[name])
    ]
    return found + _compare_named_tokens([own[name] for name in shared], ours, theirs)


def compare_with_recipe(manifest: Manifest, ours: Path, theirs: Path) -> tuple[list[str], list[str]]:
    """Compare the data's template with the one that the recipe would have taken from this model.

    Args:
        manifest: of the data.
        ours: the directory of the data's tokenizer.
        theirs: that of the model.

    Returns:
        Differences, and what is worth saying: a template that was chosen, or that the model has not seen, is no fault.
    """
    chosen, has_template = manifest.recipe.get("tokenize", {}).get("chat_template"), "default" in _templates_in(theirs)
    differences, told = compare_templates(ours, theirs), ""
    if has_template and not differences:
        return [], []
    if isinstance(chosen, str):
        differences, told = [], f"the recipe's {chosen}, not with the model's own" if has_template else ""
    elif _only_joins(manifest, ours):
        differences = _compare_joined(ours, theirs)
        told = "no chat template, though the model has one" if has_template and not differences else ""
    elif not has_template and (theirs / "tokenizer.json").is_file():
        told = "that of its tokenizer, and the model has none"
    return differences, [
        f"the data was rendered with {told}; the finished model is saved with the data's"
    ] if told else []


def _templates_in(folder: Path) -> dict[str, str]:
    """Return the templates by name; beside the one in a file, those that tokenizer_config.json names otherwise."""
    files = {name: (folder / name).read_bytes() for name in _FILES if (folder / name).is_file()}
    return find_templates({name: files[name] for name in files.keys() - {_FILES[0]}}) | find_templates(files)


def _only_joins(manifest: Manifest, ours: Path) -> bool:
    """Tell whether the data's template only puts texts together: for plain text, and with `chat_template: false`."""
    joined = without_template(load_tokenizer(str(ours))).template
    return joined is not None and digest_text(joined) == manifest.chat_template_digest


def _compare_joined(ours: Path, theirs: Path) -> list[str]:
    """Compare what begins and ends a text with what the model's tokenizer would put there."""
    if not (theirs / "tokenizer.json").is_file():
        return []
    mine, other = (without_template(load_tokenizer(str(folder))).template or "" for folder in (ours, theirs))
    return [] if mine == other else [f"chat template: {_find_difference(mine, other)}"]


def _compare_named_tokens(templates: list[str], ours: Path, theirs: Path) -> list[str]:
    """Compare `bos_token`, `eos_token` and the like, where a template writes them."""
    environment = TemplateEnvironment(None)
    read = {name for text in templates for name in jinja2.meta.find_undeclared_variables(environment.parse(text))}
    names = sorted(name for name in read if name.endswith("_token"))
    if not names or not (theirs / "tokenizer.json").is_file():
        return []
    mine, other = (load_tokenizer(str(folder)).named_tokens() for folder in (ours, theirs))
    return [
        f"{name}, which the chat template writes: {mine.get(name)!r} in the data's, {other.get(name)!r} in the model's"
        for name in names
        if mine.get(name) != other.get(name)
    ]


def _say_the_same(ours: str, theirs: str) -> bool:
    """Tell whether two templates parse alike: comments, spaces in tags and a last newline change nothing."""
    environment = TemplateEnvironment(None)
    try:
        return ours == theirs or environment.parse(ours) == environment.parse(theirs)
    except jinja2.TemplateSyntaxError:
        return False


def _find_difference(ours: str, theirs: str) -> str:
    pairs = enumerate(zip(ours, theirs, strict=False))
    start = next((place for place, (mine, other) in pairs if mine != other), min(len(ours), len(theirs)))
    mine, other = (text[max(0, start - 20) : start + 40] for text in (ours, theirs))
    line = ours[:start].count("\n") + 1
    return f"line {line}: {mine!r} in the data's, {other!r} in the model's"
