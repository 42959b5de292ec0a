"""A training configuration of LLaMA-Factory as a recipe."""

from pathlib import Path

from sftdata.conversion import training
from sftdata.conversion.distribution import put_fsdp
from sftdata.conversion.draft import Draft
from sftdata.conversion.llamafactory_data import find_dataset_info, put_data
from sftdata.conversion.llamafactory_keys import PREFERENCE, RUNNING, WITHOUT
from sftdata.conversion.paths import model_name, seen_from
from sftdata.conversion.schemas import Content
from sftdata.conversion.templates import CHATML, END, Frame, write_frame_template
from sftdata.errors import ConfigurationError

FRAMES = {
    "default": Frame(
        system=("System: ", f"{END}\n"), user=("Human: ", f"{END}\nAssistant:"), assistant=("", f"{END}\n")
    ),
    "alpaca": Frame(
        system=("", ""),
        user=("### Instruction:\n", "\n\n### Response:\n"),
        assistant=("", f"{END}\n\n"),
        default_system="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n",
    ),
    "chatml": CHATML,
    "vicuna": Frame(
        system=("", ""),
        user=("USER: ", " ASSISTANT:"),
        assistant=("", END),
        default_system="A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    ),
    "empty": Frame(system=("", ""), user=("", ""), assistant=("", "")),
}
"""Templates of LLaMA-Factory that stand for no model's own, and so go with the recipe."""


def convert(draft: Draft, config: Path, dataset_info: Path | None, recipe: Path) -> Content:
    """Fill the draft of a recipe; return the schema of its rows.

    Raises:
        ConfigurationError: when it asks for what sftdata does not do at all.
    """
    _refuse(draft, config)
    draft.put("task", "causal_lm")
    info = dataset_info or find_dataset_info(config, draft.get("dataset_dir", "data"))
    content = put_data(draft, info, recipe)
    has_validation = training.put_split(draft, "val_size", draft.get("seed", 42))
    _put_tokenize(draft, recipe)
    _put_train(draft, recipe)
    training.put_saving(draft, 500)
    training.put_evaluation(draft, has_validation)
    _put_rest(draft)
    draft.settle(WITHOUT, RUNNING)
    return content


def _refuse(draft: Draft, config: Path) -> None:
    faults = [f"{key}: missing" for key in ("model_name_or_path", "dataset") if key not in draft.given]
    stage = draft.get("stage", "sft")
    draft.told |= {"stage", "do_train"}
    if stage not in ("sft", "pt"):
        faults.append(f"stage: found {stage}, expected sft or pt: {PREFERENCE}")
    if draft.get("finetuning_type") == "oft":
        faults.append("finetuning_type: found oft, expected lora, full or freeze: sftdata has no such adapters")
    if draft.get("dataset_dir", "") == "ONLINE" or draft.get("dataset_dir", "").startswith("REMOTE:"):
        faults.append("dataset_dir: found a place on the hub, expected a folder; download its dataset_info.json")
    if faults:
        raise ConfigurationError(str(config), faults)
    draft.accept("causal_lm trains the responses" if stage == "sft" else "causal_lm with plain texts", "stage")
    draft.accept("`sftdata train` trains", "do_train")


def _put_tokenize(draft: Draft, recipe: Path) -> None:
    plain = draft.get("stage") == "pt"
    name = draft.get("model_name_or_path")
    draft.put("tokenize.tokenizer", model_name(recipe, name), "model_name_or_path")
    if plain:
        draft.lack("plain texts have no template; all of a text is trained, and its end", "template")
    else:
        _put_template(draft)
    draft.put("tokenize.max_length", draft.get("cutoff_len", 2048), "cutoff_len")
    if draft.get("mask_history"):
        draft.put("tokenize.train_on", "last", "mask_history")
    draft.leave("mask_history")
    draft.lack(
        "prompts are never trained; for text that is trained as a whole there is the schema `text`", "train_on_prompt"
    )
    draft.put("tokenize.overflow", "split" if plain else "truncate", remark="as there, longer rows are not left out")
    if plain:
        text = "LLaMA-Factory joins texts and cuts every cutoff_len tokens; here only a text that is longer is cut"
    else:
        text = (
            "LLaMA-Factory shortens the prompt and the response of each turn in proportion; here a longer row loses "
            "its end, and is rejected as `nothing_trained` if no trained token is left. See tokenize.overflow"
        )
    draft.warn(text, "cutoff_len")
    _put_control_tokens(draft)


def _put_control_tokens(draft: Draft) -> None:
    if draft.get("split_special_tokens"):
        draft.put("tokenize.special_tokens_in_text", "escape", "split_special_tokens")
        return
    draft.leave("split_special_tokens")
    draft.warn(
        "a text that spells a control token becomes that token there; here its row is rejected as "
        "`special_token_in_text`. `tokenize.special_tokens_in_text: allow` does as LLaMA-Factory does"
    )


def _put_template(draft: Draft) -> None:
    name, system = draft.get("template"), draft.get("default_system")
    if name in FRAMES:
        frame = FRAMES[name] if system is None else Frame(**{**FRAMES[name].__dict__, "default_system": system})
        draft.files[".jinja"] = write_frame_template(frame)
        draft.put("tokenize.chat_template", ".jinja", "template", *(["default_system"] if system else []))
        draft.differ(
            "the file beside the recipe writes the same text, but no tool calls; LLaMA-Factory tokenises each piece "
            "of it alone, so that tokens at the seams may be others",
            "template",
        )
    elif name:
        draft.differ(
            f"LLaMA-Factory's own template {name} makes the text there, here the chat template of the tokenizer: "
            "nearly the same for the model that it is named after. Default system prompts may differ, and "
            "LLaMA-Factory trains a line break behind a response, too. `sftdata inspect` shows every token",
            "template",
        )
        draft.lack("put the system prompt into the data, as a column or a first turn", "default_system")
    else:
        draft.lack("put the system prompt into the data, as a column or a first turn", "default_system")
    draft.lack("tool calls look as the chat template of the tokenizer has them", "tool_format")
    if "enable_thinking" in draft.given:
        arguments = {"enable_thinking": draft.given["enable_thinking"]}
        draft.put("tokenize.chat_template_arguments", arguments, "enable_thinking")
        draft.warn(
            "where empty thoughts stand, and whether they are trained, is up to the chat template", "enable_thinking"
        )


def _put_train(draft: Draft, recipe: Path) -> None:
    draft.put("train.model", model_name(recipe, draft.get("model_name_or_path")), "model_name_or_path")
    draft.put("train.output_dir", seen_from(recipe, draft.get("output_dir", "trainer_output")), "output_dir")
    draft.put("train.epochs", draft.get("num_train_epochs", 3.0), "num_train_epochs")
    if draft.get("max_steps", -1) > 0:
        draft.put("train.max_steps", draft.get("max_steps"), "max_steps")
    draft.leave("max_steps")
    training.put_batch(draft, "per_device_train_batch_size", 8)
    _put_packing(draft)
    draft.put("train.learning_rate", draft.get("learning_rate", 5e-5), "learning_rate")
    training.put_schedule(draft, "lr_scheduler_type", "linear", "lr_scheduler_kwargs")
    training.put_warmup(draft, "lr_scheduler_type", 0)
    training.put_optimizer(draft, "optim")
    training.put_adam(draft)
    for theirs, ours in {
        "label_smoothing_factor": "label_smoothing",
        "neftune_noise_alpha": "neftune_noise_alpha",
    }.items():
        if draft.get(theirs):
            draft.put(f"train.{ours}", draft.get(theirs), theirs)
        draft.leave(theirs)
    _put_precision(draft)
    _put_method(draft)
    put_fsdp(draft, ("deepspeed", "fsdp", "fsdp_config"))
    draft.put("train.seed", draft.get("seed", 42), "seed")


def _put_packing(draft: Draft) -> None:
    packs = draft.get("packing", draft.get("stage") == "pt") or draft.get("neat_packing")
    if packs:
        draft.put("train.pack", draft.get("cutoff_len", 2048), "packing", "neat_packing")
        if not draft.get("neat_packing"):
            draft.warn("examples of a pack see each other there; here each sees itself alone", "packing")
    draft.leave("packing", "neat_packing")


def _put_precision(draft: Draft) -> None:
    bf16, half = draft.get("bf16") or draft.get("pure_bf16"), draft.get("fp16")
    draft.put("train.precision", "bf16" if bf16 or half else "float32", "bf16", "fp16", "pure_bf16")
    if draft.get("pure_bf16"):
        draft.differ("master weights are always float32: more exact, and 2 bytes more a trained weight", "pure_bf16")
    if half:
        draft.differ("sftdata has no fp16; bf16 has the same size, and needs no scaling of the loss", "fp16")
    draft.leave("bf16", "fp16", "pure_bf16")
    saves = draft.get("gradient_checkpointing", not draft.get("disable_gradient_checkpointing", False))
    draft.put("train.gradient_checkpointing", saves, "disable_gradient_checkpointing", "gradient_checkpointing")
    if draft.get("torch_compile"):
        draft.put("train.compile", True, "torch_compile")
    draft.leave("torch_compile")
    if draft.get("use_cpu"):
        draft.put("train.device", "cpu", "use_cpu")
    draft.leave("use_cpu")


_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target", "use_rslora", "use_dora")
_FREEZE = ("freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules")
_QUANTIZE = ("quantization_bit", "quantization_method", "quantization_type")


def _put_method(draft: Draft) -> None:
    method = draft.get("finetuning_type", "lora")
    if method == "lora":
        _put_lora(draft)
    elif method == "full":
        draft.accept("without train.lora all weights are trained", "finetuning_type")
    else:
        text = (
            "the recipe trains all weights. Name those that are to stay in train.freeze, such as "
            '["model.embed_tokens.*", "model.layers.0.*"]: LLaMA-Factory counts the layers that are trained'
        )
        draft.warn(text, "finetuning_type", *_FREEZE)
    draft.leave(*(key for key in (*_LORA, *_FREEZE, *_QUANTIZE, "finetuning_type") if key not in draft.told))


def _put_lora(draft: Draft) -> None:
    rank = draft.get("lora_rank", 8)
    draft.put("train.lora.r", rank, "lora_rank", "finetuning_type")
    draft.put("train.lora.alpha", draft.get("lora_alpha", 2 * rank), "lora_alpha")
    draft.put("train.lora.dropout", draft.get("lora_dropout", 0.0), "lora_dropout")
    target = _as_list(draft.get("lora_target", "all"))
    draft.put("train.lora.target_modules", "all-linear" if target == ["all"] else target, "lora_target")
    if "additional_target" in draft.given:
        draft.put("train.lora.modules_to_save", _as_list(draft.get("additional_target")), "additional_target")
    for key in ("use_rslora", "use_dora"):
        if draft.get(key):
            draft.put(f"train.lora.{key}", True, key)
        draft.leave(key)
    bits, method = draft.get("quantization_bit"), draft.get("quantization_method", "bnb")
    four = bits == 4 and method in ("bnb", "bitsandbytes") and draft.get("quantization_type", "nf4") == "nf4"
    if four:
        training.put_quantized(draft, True, *_QUANTIZE)
    else:
        draft.lack("sftdata quantises to 4 bits (nf4) alone; the recipe does not quantise", *_QUANTIZE)


def _as_list(value: str | list[str]) -> list[str]:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _put_rest(draft: Draft) -> None:
    cut = "a recipe takes all rows; cut the files first, `head -n` does for JSON Lines"
    draft.lack(cut, "max_samples")
    text = "prepare it by a recipe of its own, and measure the model on it: sftdata evaluate RUN --data DIR"
    draft.lack(text, "eval_dataset")
    if draft.get("mix_strategy", "concat") == "concat":
        draft.accept("all rows of all sources, once an epoch", "mix_strategy")
    shares = "prepare each dataset by a recipe of its own, and give train.mix their weights"
    draft.lack(shares, *(key for key in ("mix_strategy", "interleave_probs") if key not in draft.told))
    draft.differ("it is a cache there; what prepare writes stands in output.dir", "tokenized_path")
    draft.lack("add them to the tokenizer first, and the rows to the model", "add_tokens", "add_special_tokens")
    draft.differ("to go on with a run that was stopped: sftdata train RECIPE --resume", "resume_from_checkpoint")
    draft.lack("torch decides", "tf32")
    draft.lack("train.accumulate: auto finds passes that fit", "auto_find_batch_size")
    training.put_logging(draft)
    if "per_device_eval_batch_size" in draft.given:
        draft.put("train.eval_batch_size", draft.get("per_device_eval_batch_size"), "per_device_eval_batch_size")
    if "early_stopping_steps" in draft.given:
        draft.put("train.patience", draft.get("early_stopping_steps"), "early_stopping_steps")
        draft.differ("it counts evaluations, one an epoch", "early_stopping_steps")
