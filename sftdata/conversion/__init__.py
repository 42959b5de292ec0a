"""Make recipes of the configurations of other programs, and tell what differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sftdata.conversion import axolotl, llamafactory
from sftdata.conversion.axolotl_keys import Configuration as Axolotl
from sftdata.conversion.draft import Draft as Draft
from sftdata.conversion.llamafactory_keys import Configuration as LlamaFactory
from sftdata.conversion.reading import Foreign, read_configuration
from sftdata.conversion.schemas import Content, find_shipped, write_schema
from sftdata.conversion.writing import write_recipe
from sftdata.editor_schemas import place_editor_schema
from sftdata.errors import ConfigurationError, OutputError, UsageError
from sftdata.recipe import Recipe

MODELS: Mapping[str, type[Foreign]] = {"LLaMA-Factory": LlamaFactory, "axolotl": Axolotl}
"""The programs whose configurations are known, and what these may say."""

ORDER = ("task", "schema", "sources", "deduplicate", "split", "tokenize", "output", "max_rejected", "train")


@dataclass(frozen=True)
class Converted:
    """A recipe made of another program's configuration.

    Attributes:
        draft: what was carried over, and what was not.
        recipe: the recipe file.
        files: all files that were written, the recipe first.
    """

    draft: Draft
    recipe: Path
    files: tuple[Path, ...]


def convert_recipe(
    config: str | Path, dataset_info: str | Path | None = None, out: str | Path | None = None
) -> Converted:
    """Make a recipe of a configuration of LLaMA-Factory or axolotl, and write it.

    Relative paths in the configuration are taken as those programs take them: as seen from the current folder.

    Args:
        config: the YAML or JSON file that the other program is given.
        dataset_info: LLaMA-Factory's description of its datasets; found in its `dataset_dir` when it is not given.
        out: the recipe file; named after `config`, in the current folder, when it is not given.

    Raises:
        OutputError: when a file to be written is there already.
        ConfigurationError: with all faults of the configuration at once.
        UsageError: when it is of neither program.
    """
    config = Path(config)
    recipe = Path(out) if out else Path(f"{config.stem}.recipe.yaml")
    program, said = read_configuration(config, MODELS)
    draft = Draft(program, said.as_given())
    draft.unused += said.left_empty()
    if program == "axolotl":
        if dataset_info:
            raise UsageError("--dataset-info goes with a configuration of LLaMA-Factory, and this one is of axolotl")
        content = axolotl.convert(draft, config, recipe)
    else:
        content = llamafactory.convert(draft, config, Path(dataset_info) if dataset_info else None, recipe)
    texts = _finish(draft, content, config, recipe)
    _check(draft, config)
    _write(texts)
    return Converted(draft, recipe, tuple(texts))


def _finish(draft: Draft, content: Content, config: Path, recipe: Path) -> dict[Path, str]:
    """Return the files to write: the recipe, and what it needs beside it."""
    name = recipe.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(".recipe")
    shipped = find_shipped(content)
    texts = {recipe: ""}
    if shipped:
        draft.put("schema", shipped, remark="ships with sftdata; fits as it is")
    else:
        schema = recipe.with_name(f"{name}.schema.yaml")
        draft.put("schema", schema.name, remark="beside this file")
        texts[schema] = write_schema(content, name, draft.program, config.name)
    for ending, text in draft.files.items():
        texts[recipe.with_name(name + ending)] = text
        draft.settings["tokenize"]["chat_template"] = name + ending
    draft.put("output.dir", f"out/{name}", remark="where prepare writes")
    draft.chosen.append("max_rejected: 0.02, sftdata's default: a run that rejects more of its rows fails")
    if "lora" in draft.settings["train"]:
        draft.settings["train"]["lora"] = draft.settings["train"].pop("lora")  # a mapping reads best at the end
    draft.settings = {key: draft.settings[key] for key in ORDER if key in draft.settings}
    texts[recipe] = write_recipe(draft, config)
    return texts


def _check(draft: Draft, config: Path) -> None:
    """Refuse what no recipe may say, such as a batch of no examples."""
    try:
        Recipe.model_validate(draft.settings)
    except ValidationError as cause:
        faults = [_trace(fault["loc"], fault["msg"], draft) for fault in cause.errors()]
        raise ConfigurationError(str(config), list(dict.fromkeys(faults))) from None


def _trace(place: tuple[int | str, ...], message: str, draft: Draft) -> str:
    """Return a fault of the recipe with the keys that it comes from."""
    paths = [".".join(map(str, place[:length])) for length in range(len(place), 0, -1)]
    path = next((path for path in paths if path in draft.remarks), paths[-1])
    origin = draft.remarks.get(path) or "what the recipe says"
    return f"{origin} would be {path}: {message.removeprefix('Value error, ')}"


def _write(texts: Mapping[Path, str]) -> None:
    if there := [str(path) for path in texts if path.exists() or path.is_symlink()]:
        raise OutputError(
            f"{' and '.join(there)}: there already, and convert-recipe overwrites nothing. Give another name with -o, "
            "or move it."
        )
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(_editor_line(path) + text)


def _editor_line(path: Path) -> str:
    if path.suffix == ".jinja":
        return ""
    return place_editor_schema(path, "schema" if path.name.endswith(".schema.yaml") else "recipe") + "\n"
