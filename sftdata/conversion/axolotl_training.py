"""How axolotl trains: the recipe's `train`."""

from pathlib import Path

from sftdata.conversion import training
from sftdata.conversion.distribution import put_fsdp
from sftdata.conversion.draft import Draft
from sftdata.conversion.paths import model_name, seen_from


def put_train(draft: Draft, recipe: Path) -> None:
    """Give the recipe the model, the batch, the optimiser and the adapters."""
    draft.put("train.model", model_name(recipe, draft.get("base_model")), "base_model")
    draft.put("train.output_dir", seen_from(recipe, draft.get("output_dir", "model-out")), "output_dir")
    draft.put("train.epochs", draft.get("num_epochs", 1.0), "num_epochs")
    if draft.get("max_steps"):
        draft.put("train.max_steps", draft.get("max_steps"), "max_steps")
    draft.leave("max_steps")
    _put_batch(draft)
    draft.put("train.learning_rate", draft.get("learning_rate"), "learning_rate")
    training.put_schedule(draft, "lr_scheduler", "cosine", "lr_scheduler_kwargs")
    if "cosine_min_lr_ratio" in draft.given:
        least = draft.get("cosine_min_lr_ratio") * draft.get("learning_rate")
        draft.put("train.min_learning_rate", least, "cosine_min_lr_ratio")
    draft.lack("the learning rate falls up to the last step", "cosine_constant_lr_ratio")
    training.put_warmup(draft, "lr_scheduler", 0.03)
    if not {"warmup_ratio", "warmup_steps"} & draft.given.keys():
        draft.chosen.append("train.warmup: 0.03; axolotl takes that share, but at most 100 steps")
    training.put_optimizer(draft, "optimizer")
    training.put_adam(draft)
    noise = draft.get("neftune_noise_alpha", draft.get("noisy_embedding_alpha"))
    if noise:
        draft.put("train.neftune_noise_alpha", noise, "neftune_noise_alpha", "noisy_embedding_alpha")
    draft.leave("neftune_noise_alpha", "noisy_embedding_alpha")
    _put_precision(draft)
    _put_lora(draft)
    put_fsdp(draft, ("fsdp", "fsdp_config", "deepspeed", "dp_shard_size"))
    draft.put("train.seed", draft.get("seed", 42), "seed")


def _put_batch(draft: Draft) -> None:
    whole, micro = draft.get("batch_size"), draft.get("micro_batch_size", 1)
    if whole and "gradient_accumulation_steps" not in draft.given:
        draft.given["gradient_accumulation_steps"] = max(whole // micro, 1)
    training.put_batch(draft, "micro_batch_size", 1)
    draft.differ("micro_batch_size and gradient_accumulation_steps say it", "batch_size")
    if draft.get("sample_packing"):
        draft.put("train.pack", draft.get("sequence_len", 512), "sample_packing", "sequence_len")
        draft.differ(
            "whole examples are packed anew in each epoch, none is left out, and each sees itself alone",
            "sample_packing",
        )
    draft.leave("sample_packing")
    draft.accept(
        "padding and packs make no difference to what is trained or scored",
        "pad_to_sequence_len",
        "eval_sample_packing",
    )
    draft.lack("tokenize.max_length holds for all parts", "eval_sequence_len")


def _put_precision(draft: Draft) -> None:
    bf16 = draft.get("bf16", "auto")
    half = draft.get("fp16") or draft.get("float16") or draft.get("bfloat16")
    precision = "auto" if bf16 == "auto" and not half else "bf16" if bf16 or half else "float32"
    draft.put("train.precision", precision, "bf16", "fp16", "bfloat16", "float16", "float32")
    draft.leave("bf16", "fp16", "bfloat16", "float16", "float32")
    if precision != "float32" and not draft.get("adapter"):
        draft.warn(
            "master weights are float32: more exact than axolotl's bfloat16, and more memory", "bf16", "bfloat16"
        )
    if draft.get("fp16") or draft.get("float16"):
        draft.differ("sftdata has no fp16; bf16 has the same size, and needs no scaling of the loss", "fp16", "float16")
    saves = draft.get("gradient_checkpointing", False)
    draft.put("train.gradient_checkpointing", bool(saves), "gradient_checkpointing")
    if isinstance(saves, str):
        draft.differ("nothing is moved to the host or to disk", "gradient_checkpointing")
    if draft.get("torch_compile"):
        draft.put("train.compile", True, "torch_compile")
    draft.leave("torch_compile")
    draft.leave("tf32") if not draft.get("tf32") else draft.accept("torch decides", "tf32")


_LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_linear", "lora_target_modules", "lora_modules_to_save")
_PEFT = {"peft_use_rslora": "use_rslora", "peft_use_dora": "use_dora"}


def _put_lora(draft: Draft) -> None:
    if draft.get("adapter") not in ("lora", "qlora"):
        draft.told.update(key for key in (*_LORA, *_PEFT, "adapter", "load_in_4bit") if key in draft.given)
        draft.accept("without an adapter all weights are trained", "adapter", *_LORA, *_PEFT, "load_in_4bit")
        draft.leave("load_in_8bit")
        _tell_frozen(draft)
        return
    draft.put("train.lora.r", draft.get("lora_r", 8), "lora_r", "adapter")
    draft.put("train.lora.alpha", draft.get("lora_alpha", 8), "lora_alpha")
    draft.put("train.lora.dropout", draft.get("lora_dropout", 0.0), "lora_dropout")
    _put_targets(draft)
    if draft.get("lora_modules_to_save"):
        draft.put("train.lora.modules_to_save", draft.get("lora_modules_to_save"), "lora_modules_to_save")
    draft.leave("lora_modules_to_save")
    for theirs, ours in _PEFT.items():
        if draft.get(theirs):
            draft.put(f"train.lora.{ours}", True, theirs)
        draft.leave(theirs)
    training.put_quantized(draft, draft.get("adapter") == "qlora" or bool(draft.get("load_in_4bit")), "load_in_4bit")
    draft.lack("sftdata quantises to 4 bits (nf4) alone; the recipe does not quantise", "load_in_8bit")
    _tell_frozen(draft)


def _put_targets(draft: Draft) -> None:
    found = draft.get("lora_target_modules") or []
    names = [found] if isinstance(found, str) else found
    odd = [name for name in names if not name.replace("_", "").replace(".", "").replace("-", "").isalnum()]
    if odd:
        draft.warn(
            "a pattern; the recipe gives all linear layers an adapter, unless you list their names",
            "lora_target_modules",
        )
    if draft.get("lora_target_linear") or odd or not names or "all-linear" in names:
        draft.put("train.lora.target_modules", "all-linear", "lora_target_linear", "lora_target_modules")
    else:
        draft.put("train.lora.target_modules", names, "lora_target_modules")
    draft.leave("lora_target_linear", "lora_target_modules")


def _tell_frozen(draft: Draft) -> None:
    text = "train.freeze names what is not trained, instead of what is; the recipe freezes nothing"
    draft.lack(text, "unfrozen_parameters")
