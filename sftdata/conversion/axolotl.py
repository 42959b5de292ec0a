"""A configuration of axolotl as a recipe."""

import json
from pathlib import Path
from typing import Any

from sftdata.conversion import training
from sftdata.conversion.axolotl_data import Kind, find_kind, put_sources, tell_rest
from sftdata.conversion.axolotl_keys import PREFERENCE, RUNNING, WITHOUT, PretrainingDataset
from sftdata.conversion.axolotl_training import put_train
from sftdata.conversion.draft import Draft
from sftdata.conversion.paths import model_name, seen_from
from sftdata.conversion.reading import Foreign
from sftdata.conversion.schemas import SAYS_SOMETHING, Content
from sftdata.conversion.templates import CHATML, Prompt, split_space, write_frame_template, write_prompt_template
from sftdata.errors import ConfigurationError, TokenizerError


def convert(draft: Draft, config: Path, recipe: Path) -> Content:
    """Fill the draft of a recipe; return the schema of its rows.

    Raises:
        ConfigurationError: when it asks for what sftdata does not do at all.
    """
    if faults := _find_faults(draft):
        raise ConfigurationError(str(config), faults)
    draft.put("task", "causal_lm")
    plain = "pretraining_dataset" in draft.given
    entries = _list_datasets(draft)
    faults = put_sources(draft, entries, recipe)
    kinds = _find_kinds(entries, faults, plain)
    if faults:
        raise ConfigurationError(str(config), faults)
    for number, entry in enumerate(entries):
        tell_rest(draft, entry.as_given(), f"datasets.{number}")
    has_validation = _put_parts(draft)
    _put_tokenize(draft, kinds[0], entries[0].as_given(), recipe)
    put_train(draft, recipe)
    training.put_saving(draft, None)
    training.put_evaluation(draft, has_validation)
    _put_rest(draft)
    draft.settle(WITHOUT, RUNNING)
    return kinds[0].content


def _find_faults(draft: Draft) -> list[str]:
    faults = [f"{key}: missing" for key in ("base_model", "learning_rate") if key not in draft.given]
    faults += ["datasets: missing"] * (not {"datasets", "pretraining_dataset"} & draft.given.keys())
    faults += [f"{key}: {PREFERENCE}" for key in ("rl", "reward_model", "process_reward_model") if draft.get(key)]
    if draft.get("adapter") not in (None, "lora", "qlora"):
        faults.append(f"adapter: found {draft.get('adapter')}, expected lora or qlora, or none for all weights")
    draft.leave("rl", "reward_model", "process_reward_model")
    return faults


def _list_datasets(draft: Draft) -> list[Foreign]:
    """Return the datasets; what is pretrained on is one whose text is trained as a whole."""
    found = draft.get("datasets") or draft.get("pretraining_dataset") or []
    found = [found] if isinstance(found, str) else found
    return [PretrainingDataset.model_validate({"path": entry}) if isinstance(entry, str) else entry for entry in found]


def _find_kinds(entries: list[Foreign], faults: list[str], plain: bool) -> list[Kind]:
    kinds = []
    for number, entry in enumerate(entries):
        given = entry.as_given()
        if plain:
            column = given.get("text_column", given.get("field", "text"))
            kinds.append(Kind({"columns": {column: SAYS_SOMETHING}, "parts": {"text": column}}))
            continue
        try:
            kinds.append(find_kind(given))
        except ValueError as fault:
            faults.append(f"datasets.{number}.{fault}")
    if len({json.dumps(kind.content, sort_keys=True) + repr(kind.prompt) for kind in kinds}) > 1:
        faults.append(
            "datasets: they have other types or columns, and a recipe has one schema. Convert a configuration for each "
            "kind, prepare each recipe, and name the others' output.dir in train.mix of the one that you train"
        )
    return kinds


def _put_parts(draft: Draft) -> bool:
    if draft.get("dataset_exact_deduplication"):
        draft.put("deduplicate.exact", True, "dataset_exact_deduplication")
        text = "rows that differ in letter case, width of characters or blanks alone count as equal here"
        draft.differ(text, "dataset_exact_deduplication")
    draft.leave("dataset_exact_deduplication")
    text = "prepare them by a recipe of their own, and measure the model on it: sftdata evaluate RUN --data DIR"
    draft.lack(text, "test_datasets")
    return training.put_split(draft, "val_set_size", draft.get("seed", 42))


def _put_tokenize(draft: Draft, kind: Kind, dataset: dict[str, Any], recipe: Path) -> None:
    name = draft.get("tokenizer_config", draft.get("base_model"))
    draft.put("tokenize.tokenizer", model_name(recipe, name), "tokenizer_config", "base_model")
    if kind.prompt:
        _put_prompt(draft, kind.prompt, kind.part, name)
    elif "text" not in kind.content["parts"]:
        _put_template(draft, dataset, recipe)
    draft.leave("chat_template", "chat_template_jinja", *(["eot_tokens"] if kind.prompt else []))
    if "chat_template_kwargs" in draft.given:
        draft.put("tokenize.chat_template_arguments", draft.get("chat_template_kwargs"), "chat_template_kwargs")
    draft.put("tokenize.max_length", draft.get("sequence_len", 512), "sequence_len")
    _put_overflow(draft, plain="text" in kind.content["parts"])
    draft.lack(
        "prompts are never trained; for text that is trained as a whole there is the type completion", "train_on_inputs"
    )
    draft.lack("put the system prompt into the data, as a first turn", "default_system_message")
    draft.differ("a response ends with the control token that the chat template puts behind it", "eot_tokens")
    _put_tokens(draft)


def _put_prompt(draft: Draft, prompt: Prompt, part: str, tokenizer: str) -> None:
    """Write the prompt of a type into a template, which begins as the tokenizer begins a text."""
    from sftdata.stages.tokenization.setup import find_wrapping
    from sftdata.tokenizers.loading import load_tokenizer

    try:
        found = load_tokenizer(tokenizer)
        beginning = "".join(found.reference.id_to_token(i) or "" for i in find_wrapping(found)[0])
        draft.chosen.append(f"the prompt begins with {beginning or 'nothing'}, as the tokenizer begins texts")
    except TokenizerError:
        beginning = ""
        draft.warn(
            f"the tokenizer {tokenizer} is not at hand. If it puts a token before texts (Llama's, Mistral's and "
            "Gemma's do), write {{- bos_token -}} where the prompt begins in the template beside the recipe"
        )
    if split_space(prompt)[1]:
        draft.warn("the space at the end of the prompt is trained with the response: a token of it may hold both")
    end = (draft.get("special_tokens") or {}).get("eos_token")
    draft.files[".jinja"] = write_prompt_template(prompt, part, beginning, end)
    draft.put("tokenize.chat_template", ".jinja", "datasets", remark="writes the prompt that this type makes")
    draft.differ("axolotl does not use it for datasets of this type, and neither does the recipe", "chat_template")


def _put_template(draft: Draft, dataset: dict[str, Any], recipe: Path) -> None:
    """Give the recipe the chat template, where it is not the tokenizer's own."""
    jinja = dataset.get("chat_template_jinja", draft.get("chat_template_jinja"))
    name = dataset.get("chat_template", "jinja" if jinja else draft.get("chat_template", "tokenizer_default"))
    keys = ("chat_template", "chat_template_jinja", "datasets")
    if jinja and Path(jinja).is_file():
        draft.put("tokenize.chat_template", seen_from(recipe, jinja), *keys)
    elif jinja:
        draft.files[".jinja"] = jinja
        draft.put("tokenize.chat_template", ".jinja", *keys)
    elif name == "chatml":
        draft.files[".jinja"] = write_frame_template(CHATML)
        draft.put("tokenize.chat_template", ".jinja", *keys)
        draft.warn(
            "the line break behind a response is trained, which axolotl leaves out; no tool calls", "chat_template"
        )
    elif not name.startswith("tokenizer_default"):
        text = (
            f"axolotl has a template of its own called {name}, and the recipe takes the tokenizer's: the same for the "
            "model that it is named after. For another model save a template in a file, and give tokenize.chat_template"
        )
        draft.warn(text, "chat_template")
    elif "_fallback_" in name:
        draft.warn("the tokenizer's own template; prepare refuses a tokenizer that has none", "chat_template")


def _put_overflow(draft: Draft, *, plain: bool) -> None:
    strategy = draft.get("excess_length_strategy", "drop")
    if plain:
        draft.put("tokenize.overflow", "split", remark="a longer text becomes several examples, as there")
        draft.leave("excess_length_strategy")
        return
    draft.put("tokenize.overflow", "truncate" if strategy == "truncate" else "reject", "excess_length_strategy")
    if strategy == "raise":
        draft.put("max_rejected", 0, "excess_length_strategy", remark="any rejected row ends the run")
    if strategy == "drop":
        draft.warn(
            "axolotl leaves out longer rows; here they are kept in rejected.jsonl as `too_long`, and a run in which "
            "more than max_rejected of the rows are rejected fails",
            "excess_length_strategy",
            "sequence_len",
        )


def _put_tokens(draft: Draft) -> None:
    tokens = draft.get("special_tokens") or {}
    if set(tokens) <= {"pad_token"} or all(not value for value in tokens.values()):
        draft.accept("what is padded is never trained, whatever fills it", "special_tokens")
    else:
        text = "they are the tokenizer's own here; to change them save a tokenizer that has them, and give its folder"
        draft.differ(text, "special_tokens")
    text = "add them to the tokenizer and to the model first, and save both in one folder"
    draft.lack(text, "tokens")
    draft.warn(
        "a text that spells a control token becomes that token there; here its row is rejected as "
        "`special_token_in_text`. `tokenize.special_tokens_in_text: allow` does as axolotl does"
    )


def _put_rest(draft: Draft) -> None:
    draft.differ("it is a cache there; what prepare writes stands in output.dir", "dataset_prepared_path")
    draft.differ("to go on with a run that was stopped: sftdata train RECIPE --resume", "resume_from_checkpoint")
    draft.differ("to go on with a run that was stopped: sftdata train RECIPE --resume", "auto_resume_from_checkpoints")
    draft.lack("train.accumulate: auto finds passes that fit", "auto_find_batch_size")
    if draft.get("saves_per_epoch") == 1:
        draft.accept("checkpoints are written once an epoch", "saves_per_epoch")
    else:
        text = "the recipe saves once an epoch; give train.save_steps a number of steps for more"
        draft.differ(text, "saves_per_epoch")
    training.put_logging(draft)
    if "eval_batch_size" in draft.given:
        draft.put("train.eval_batch_size", draft.get("eval_batch_size"), "eval_batch_size")
    if "early_stopping_patience" in draft.given:
        draft.put("train.patience", draft.get("early_stopping_patience"), "early_stopping_patience")
        draft.differ("it counts evaluations, one an epoch", "early_stopping_patience")
