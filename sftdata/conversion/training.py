"""What LLaMA-Factory and axolotl say in the same words, for both train with transformers' `Trainer`."""

from sftdata.conversion.draft import Draft

_SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "cosine_with_min_lr": "cosine",
    "warmup_stable_decay": "wsd",
}
"""Schedules of `transformers.SchedulerType` that sftdata has."""

_SAME_OPTIMIZERS = {
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_xla",
    "adamw_hf",
    "adamw_apex_fused",
    "adamw_anyprecision",
    "adamw_bnb_32bit",
    "paged_adamw",
    "paged_adamw_32bit",
    "adamw_32bit",
}
_SMALL_OPTIMIZERS = {
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_8bit",
    "adamw_torch_8bit",
    "adamw_torch_4bit",
    "adamw_torch_fp8",
    "ao_adamw_4bit",
    "ao_adamw_8bit",
    "ao_adamw_fp8",
}


def put_schedule(draft: Draft, key: str, default: str, arguments_key: str) -> None:
    """Give the recipe its schedule; `learning_rate` stands there already."""
    name = str(draft.get(key, default))
    if name not in _SCHEDULES:
        text = "sftdata has linear, cosine, constant and wsd; the recipe takes cosine, which falls otherwise"
        draft.lack(text, key)
    draft.put("train.schedule", _SCHEDULES.get(name, "cosine"), key)
    if name == "warmup_stable_decay":
        draft.differ("its decay is a cosine where nothing else is said; that of wsd is a line", key)
    _put_arguments(draft, arguments_key)


def _put_arguments(draft: Draft, key: str) -> None:
    arguments = dict(draft.get(key) or {})
    rate = draft.settings["train"]["learning_rate"]
    least = arguments.pop("min_lr", None)
    share = arguments.pop("min_lr_rate", arguments.pop("min_lr_ratio", None))
    if least is not None or share is not None:
        draft.put("train.min_learning_rate", float(least if least is not None else share * rate), key)
    if "num_decay_steps" in arguments:
        draft.put("train.cooldown", int(arguments.pop("num_decay_steps")), key)
        arguments.pop("num_stable_steps", None)  # what warm-up and decay leave
    if arguments:
        draft.lack(f"no equivalent of {', '.join(arguments)}; look at train.schedule", key)


def put_warmup(draft: Draft, key: str, default: float) -> None:
    """Give the recipe its warm-up: a number of steps, or a share of them; the schedule stands there already."""
    steps, ratio = draft.get("warmup_steps"), draft.get("warmup_ratio")
    if draft.get(key) == "constant":
        draft.put("train.warmup", 0, *(() if steps is None and ratio is None else ("warmup_steps", "warmup_ratio")))
        draft.remarks["train.warmup"] = "transformers' constant has no warm-up, whatever is said of one"
    elif steps:
        draft.put("train.warmup", float(steps) if steps < 1 else int(steps), "warmup_steps")
        draft.differ("warmup_steps goes before it", "warmup_ratio")
    else:
        draft.put("train.warmup", float(default if ratio is None else ratio) or 0, "warmup_ratio", "warmup_steps")


def put_optimizer(draft: Draft, key: str) -> None:
    """Account for the optimizer: sftdata has AdamW, and nothing else."""
    name = str(draft.get(key, "adamw_torch"))
    if name in _SMALL_OPTIMIZERS:
        text = (
            "the recipe takes AdamW with states in float32: more exact, but 8 bytes for each trained weight "
            "instead of 2 or less"
        )
        draft.differ(text, key)
    elif name not in _SAME_OPTIMIZERS:
        text = "sftdata has AdamW alone; a learning rate and a weight decay chosen for another optimizer do not fit it"
        draft.lack(text, key)
    else:
        draft.accept("AdamW, as here", key)


def put_adam(draft: Draft) -> None:
    """Give the recipe AdamW's settings, where the configuration has them; the defaults are the same."""
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        if name in draft.given:
            draft.put(f"train.{name}", draft.given[name], name)
    draft.put("train.weight_decay", draft.get("weight_decay", 0.0), "weight_decay")
    norm = draft.get("max_grad_norm", 1.0)
    draft.put("train.max_grad_norm", norm if norm > 0 else 1e9, "max_grad_norm")
    if norm <= 0:
        draft.differ("that is no limit there; the recipe has one that is never reached", "max_grad_norm")


def put_batch(draft: Draft, batch: str, default: int, passes: str = "gradient_accumulation_steps") -> None:
    """Give the recipe the examples of a step."""
    draft.put("train.batch_size", draft.get(batch, default), batch)
    draft.put("train.accumulate", draft.get(passes, 1), passes)
    step = draft.settings["train"]["batch_size"] * draft.settings["train"]["accumulate"]
    text = (
        f"{draft.program} counts per device: on N GPUs its step sees N times {step}. In a recipe it is the number on "
        f"all devices together, {step}: for what N GPUs did there multiply train.accumulate by N"
    )
    draft.warn(text, batch, passes)


def put_saving(draft: Draft, default: int | None) -> None:
    """Give the recipe what is saved when, and when a run ends early.

    Args:
        draft: the recipe.
        default: after how many steps the program saves where nothing is said; None: once an epoch.
    """
    steps, strategy = draft.get("save_steps", default), draft.get("save_strategy", "steps" if default else "epoch")
    if "save_steps" in draft.given:
        strategy = draft.get("save_strategy", "steps")
    if strategy == "steps" and steps and steps >= 1:
        draft.put("train.save_steps", int(steps), "save_steps", "save_strategy")
    elif strategy == "epoch":
        draft.leave("save_strategy")
        draft.differ("what is saved is saved once an epoch, for that is the save_strategy", "save_steps")
        draft.chosen.append("train.save_steps: once an epoch, as there")
    else:
        draft.differ("the recipe saves once an epoch; give a number of steps for more", "save_steps", "save_strategy")
    if "save_total_limit" in draft.given and draft.given["save_total_limit"] > 0:
        draft.put("train.keep", draft.given["save_total_limit"], "save_total_limit")
    else:
        draft.chosen.append(f"train.keep: 2, sftdata's default; {draft.program} keeps every checkpoint")


_WHEN = ("do_eval", "eval_on_start", "eval_delay")


def put_evaluation(draft: Draft, has_validation: bool) -> None:
    """Account for when and by what the model is measured."""
    when = ("eval_strategy", "evaluation_strategy", "eval_steps", "evals_per_epoch", *_WHEN)
    if has_validation:
        once = draft.get("evals_per_epoch") == 1 or draft.get("eval_strategy") == "epoch"
        if not once:
            draft.differ("the validation part is scored after each epoch, never in between", *when)
        draft.leave(*when)
        draft.chosen.append("train.metric: the loss on the validation part chooses the best weights, which are saved")
    else:
        draft.lack("there is no validation part, so nothing is scored; give split.validation a share", *when)
    if draft.get("metric_for_best_model") in ("loss", "eval_loss"):
        draft.put("train.metric", "loss", "metric_for_best_model")
    else:
        draft.lack("docs/training.md has what train.metric can be", "metric_for_best_model")
    text = "with a validation part the best weights are always what is saved, without one the last"
    draft.differ(text, "load_best_model_at_end")


def put_split(draft: Draft, key: str, seed: int) -> bool:
    """Give the recipe its parts; return whether there is a validation part."""
    size = draft.get(key, 0) or 0
    if size == 1:
        draft.differ("sftdata takes two rows or more, or a share; the recipe takes two rows", key)
    part: float | int = 2 if size == 1 else int(size) if size > 1 else round(float(size), 12) or 0
    draft.put("split.train", 1.0 if not part or isinstance(part, int) else round(1 - part, 12), key)
    draft.put("split.validation", part, key)
    draft.put("split.test", 0, remark="there is none")
    draft.put("split.seed", seed, "seed")
    if part:
        text = "another draw of the same size; exact and near-duplicates stay on one side, and an audit proves it"
        draft.differ(text, key)
    return bool(part)


def put_quantized(draft: Draft, is_quantized: bool, *keys: str) -> None:
    """Give the recipe's adapters frozen weights in four bits."""
    if is_quantized:
        draft.put("train.lora.quantize", "nf4", *keys)
    draft.leave(*keys)


def put_logging(draft: Draft) -> None:
    """Give the recipe the steps between two logged values."""
    steps = draft.get("logging_steps", 0)
    if steps >= 1:
        draft.put("train.log_steps", int(steps), "logging_steps")
    else:
        draft.differ("a share of all steps there; here a number, 10 where nothing is said", "logging_steps")
