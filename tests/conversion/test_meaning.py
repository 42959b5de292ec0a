"""A converted recipe means the same: the text, what is trained of it, and how it is trained."""

from collections import Counter

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.conversion import convert_recipe
from sftdata.conversion.templates import Frame, Prompt, write_frame_template, write_prompt_template
from sftdata.pipeline import prepare
from sftdata.recipe import load_recipe
from sftdata.shards.reader import load_split
from sftdata.tokenizers.chat_template import ChatTemplate

BRIEF = "Below is an instruction that describes a task"
PAIRED = f"{BRIEF}, paired with an input that provides further context"
WRITE = ". Write a response that appropriately completes the request."
END = "<|im_end|>"


def examples(config, tokenizer, tmp_path):
    """Convert and prepare; return (whole text, trained text) of each example."""
    recipe = load_recipe(convert_recipe(config, out=tmp_path / "made" / "recipe.yaml").recipe)
    prepare(recipe)
    decode = tokenizers.Tokenizer.from_file(str(tokenizer / "tokenizer.json")).decode
    found = []
    for row in load_split(recipe.resolve(recipe.output.dir), "train"):
        trained = [label for label in row["labels"] if label != -100]
        found.append(
            (decode(list(row["input_ids"]), skip_special_tokens=False), decode(trained, skip_special_tokens=False))
        )
    return Counter(found)


def test_axolotls_alpaca_is_its_prompt_and_the_end_of_a_text(axolotl, work, chat_tokenizer):
    found = examples(axolotl(), chat_tokenizer, work)
    plain = f"{BRIEF}{WRITE}\n\n### Instruction:\nName bird number 3.\n\n### Response:\nBird 3!{END}"
    asked = "### Instruction:\nName bird number 4.\n\n### Input:\nIt is brown, 4."
    full = f"{PAIRED}{WRITE}\n\n{asked}\n\n### Response:\nBird 4!{END}"
    assert found[plain, f"Bird 3!{END}"] == 1
    assert found[full, f"Bird 4!{END}"] == 1
    assert found.total() == 20


def test_a_prompt_of_axolotls_user_is_spelled_out(axolotl, work, chat_tokenizer):
    own = {
        "field_output": "output",
        "format": "Q: {instruction} {input}\nA: ",
        "no_input_format": "Q: {instruction}\nA: ",
    }
    dataset = {"path": "data/birds.json", "type": {**own, "system_prompt": "Be brief. "}}
    found = examples(axolotl(dataset=dataset), chat_tokenizer, work)
    assert found[f"Be brief. Q: Name bird number 3.\nA: Bird 3!{END}", f" Bird 3!{END}"] == 1
    assert found[f"Be brief. Q: Name bird number 4. It is brown, 4.\nA: Bird 4!{END}", f" Bird 4!{END}"] == 1


def test_axolotl_trains_the_assistants_turns(axolotl, work, chat_tokenizer):
    keys = {"field_messages": "conversations", "message_property_mappings": {"role": "from", "content": "value"}}
    dataset = {"path": "data/talks.json", "type": "chat_template", **keys}
    found = examples(axolotl(dataset=dataset), chat_tokenizer, work)
    assert [trained for _, trained in found].count(f"Hello, number 3.{END}I am 4.{END}") == 1


def test_axolotls_completion_is_trained_whole(axolotl, work, chat_tokenizer):
    dataset = {"path": "data/texts.jsonl", "type": "completion", "field": "body"}
    found = examples(axolotl(dataset=dataset), chat_tokenizer, work)
    assert found[f"Bird 3!{END}", f"Bird 3!{END}"] == 1


@pytest.mark.parametrize(
    ("template", "whole", "trained"),
    [
        ("default", "Human: Name bird number 3.{end}\nAssistant:Bird 3!{end}\n", "Bird 3!{end}\n"),
        (
            "alpaca",
            f"{BRIEF}{WRITE}\n\n### Instruction:\nName bird number 3.\n\n### Response:\nBird 3!{{end}}\n\n",
            "Bird 3!{end}\n\n",
        ),
        (
            "chatml",
            "<|im_start|>user\nName bird number 3.{end}\n<|im_start|>assistant\nBird 3!{end}\n",
            "Bird 3!{end}\n",
        ),
        ("empty", "Name bird number 3.Bird 3!", "Bird 3!"),
    ],
)
def test_llamafactorys_own_templates_write_and_train_the_same(
    llamafactory, work, chat_tokenizer, template, whole, trained
):
    found = examples(llamafactory(template=template), chat_tokenizer, work)
    assert found[whole.format(end=END), trained.format(end=END)] == 1


def test_llamafactory_joins_an_instruction_and_its_input(llamafactory, work, chat_tokenizer):
    found = examples(llamafactory(template="chatml"), chat_tokenizer, work)
    assert [whole for whole, _ in found if "\nName bird number 4.\nIt is brown, 4.<" in whole]


@pytest.mark.parametrize(
    ("keys", "trained"),
    [
        ({}, f"Hello, number 3.{END}I am 4.{END}"),
        ({"mask_history": True}, f"I am 4.{END}"),
        ({"template": "chatml"}, f"Hello, number 3.{END}\nI am 4.{END}\n"),
        ({"template": "chatml", "mask_history": True}, f"I am 4.{END}\n"),
    ],
)
def test_what_of_a_conversation_llamafactory_trains(llamafactory, work, chat_tokenizer, keys, trained):
    found = examples(llamafactory(dataset="talks", **keys), chat_tokenizer, work)
    assert [text for _, text in found].count(trained) == 1


def test_llamafactorys_pretraining_trains_whole_texts(llamafactory, work, chat_tokenizer):
    found = examples(llamafactory(dataset="texts", stage="pt"), chat_tokenizer, work)
    assert found[f"Bird 3!{END}", f"Bird 3!{END}"] == 1


LLAMAFACTORY = [
    ({}, {"batch_size": 8, "accumulate": 1, "learning_rate": 5e-5, "epochs": 3.0, "warmup": 0, "schedule": "linear"}),
    ({}, {"weight_decay": 0.0, "precision": "float32", "gradient_checkpointing": True, "pack": None, "seed": 42}),
    ({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, {"batch_size": 2, "accumulate": 4}),
    ({"learning_rate": "1e-4", "num_train_epochs": 1}, {"learning_rate": 1e-4, "epochs": 1.0}),
    ({"warmup_ratio": 0.1, "lr_scheduler_type": "cosine"}, {"warmup": 0.1, "schedule": "cosine"}),
    ({"warmup_ratio": 0.1, "warmup_steps": 20}, {"warmup": 20}),
    ({"warmup_steps": 0.2}, {"warmup": 0.2}),
    ({"warmup_ratio": 0.1, "lr_scheduler_type": "constant"}, {"warmup": 0, "schedule": "constant"}),
    (
        {"warmup_ratio": 0.1, "lr_scheduler_type": "constant_with_warmup"},
        {"warmup": 0.1, "schedule": "constant"},
    ),
    (
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}, "learning_rate": 1e-3},
        {"schedule": "cosine", "min_learning_rate": 1e-4},
    ),
    (
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 30}},
        {"schedule": "wsd", "cooldown": 30},
    ),
    ({"packing": True, "cutoff_len": 512}, {"pack": 512}),
    ({"neat_packing": True, "cutoff_len": 512}, {"pack": 512}),
    ({"bf16": True, "max_steps": 7, "seed": 3}, {"precision": "bf16", "max_steps": 7, "seed": 3}),
    ({"finetuning_type": "full", "deepspeed": "ds_z3_config.json"}, {"lora": None, "fsdp": True}),
    ({"finetuning_type": "full", "deepspeed": "ds_z0_config.json"}, {"fsdp": False}),
    ({"deepspeed": {"zero_optimization": {"stage": 0}}}, {"fsdp": False}),
    ({"quantization_bit": 4, "fsdp": "full_shard"}, {"fsdp": False}),
    ({"save_steps": 50, "save_total_limit": 3, "logging_steps": 5}, {"save_steps": 50, "keep": 3, "log_steps": 5}),
    ({"save_strategy": "epoch"}, {"save_steps": None}),
    ({"neftune_noise_alpha": 5, "label_smoothing_factor": 0.1}, {"neftune_noise_alpha": 5.0, "label_smoothing": 0.1}),
]
AXOLOTL = [
    ({}, {"batch_size": 1, "accumulate": 1, "epochs": 1.0, "warmup": 0.03, "schedule": "cosine", "pack": None}),
    ({}, {"weight_decay": 0.0, "precision": "auto", "gradient_checkpointing": False, "save_steps": None, "lora": None}),
    ({"micro_batch_size": 2, "gradient_accumulation_steps": 4}, {"batch_size": 2, "accumulate": 4}),
    ({"micro_batch_size": 2, "batch_size": 8}, {"batch_size": 2, "accumulate": 4}),
    ({"sample_packing": True, "sequence_len": 256}, {"pack": 256}),
    ({"cosine_min_lr_ratio": 0.1, "learning_rate": 1e-3}, {"min_learning_rate": 1e-4}),
    ({"bf16": False}, {"precision": "float32"}),
    ({"bf16": True, "warmup_steps": 10}, {"precision": "bf16", "warmup": 10}),
    ({"fsdp": ["full_shard"], "fsdp_config": {"a": 1}}, {"fsdp": True}),
    (
        {"gradient_checkpointing": "offload", "max_grad_norm": 0.5},
        {"gradient_checkpointing": True, "max_grad_norm": 0.5},
    ),
]


def check_settings(config, expected, tmp_path):
    train = load_recipe(convert_recipe(config, out=tmp_path / "r.yaml").recipe).train
    found = {key: getattr(train, key) for key in expected}
    assert found == pytest.approx(expected)
    assert [type(found[key]) for key in found] == [type(expected[key]) for key in found]


@pytest.mark.parametrize(("keys", "expected"), LLAMAFACTORY)
def test_llamafactorys_training_settings(llamafactory, work, keys, expected):
    check_settings(llamafactory(**keys), expected, work)


@pytest.mark.parametrize(("keys", "expected"), AXOLOTL)
def test_axolotls_training_settings(axolotl, work, keys, expected):
    check_settings(axolotl(**keys), expected, work)


def test_adapters(llamafactory, axolotl, work):
    ours = {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": "all-linear", "quantize": None, "use_dora": False}
    lora = load_recipe(convert_recipe(llamafactory(), out=work / "1.yaml").recipe).train.lora
    assert {key: getattr(lora, key) for key in ours} == ours
    keys = {"lora_rank": 4, "lora_target": "q_proj, v_proj", "additional_target": "lm_head", "quantization_bit": 4}
    lora = load_recipe(convert_recipe(llamafactory(**keys, use_dora=True), out=work / "2.yaml").recipe).train.lora
    assert (lora.r, lora.alpha, lora.target_modules, lora.use_dora) == (4, 8, ("q_proj", "v_proj"), True)
    assert (lora.modules_to_save, lora.quantize) == (("lm_head",), "nf4")
    keys = {"adapter": "qlora", "lora_r": 32, "lora_alpha": 16, "lora_dropout": 0.05, "lora_target_modules": ["q_proj"]}
    lora = load_recipe(convert_recipe(axolotl(**keys), out=work / "3.yaml").recipe).train.lora
    assert (lora.r, lora.alpha, lora.dropout, lora.target_modules) == (32, 16, 0.05, ("q_proj",))
    assert lora.quantize == "nf4"


@pytest.mark.parametrize(
    ("size", "parts"), [(0, (1.0, 0, 0)), (0.1, (0.9, 0.1, 0)), (50, (1.0, 50, 0)), (1, (1.0, 2, 0))]
)
def test_the_validation_part_has_the_same_size(llamafactory, axolotl, work, size, parts):
    for number, config in enumerate((llamafactory(val_size=size), axolotl(val_set_size=size))):
        split = load_recipe(convert_recipe(config, out=work / f"{number}.yaml").recipe).split
        assert (split.train, split.validation, split.test) == parts


def test_what_is_too_long(llamafactory, axolotl, work):
    makers = [
        llamafactory,
        axolotl,
        lambda: axolotl(excess_length_strategy="truncate", sequence_len=99),
        lambda: axolotl(excess_length_strategy="raise"),
    ]
    recipes = [load_recipe(convert_recipe(make(), out=work / f"{n}.yaml").recipe) for n, make in enumerate(makers)]
    found = [(recipe.tokenize.overflow, recipe.tokenize.max_length, recipe.max_rejected) for recipe in recipes]
    assert found == [("truncate", 2048, 0.02), ("reject", 512, 0.02), ("truncate", 99, 0.02), ("reject", 512, 0)]


pieces = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="{}\0"), max_size=12)


@quick
@given(pieces, pieces, pieces, pieces, pieces)
def test_a_written_prompt_is_what_format_makes(before, between, after, instruction, more):
    prompt = Prompt(f"{before}{{instruction}}{between}{{input}}{after}.", f"{before}{{instruction}}{after}.")
    template = ChatTemplate(write_prompt_template(prompt, "input", "<s>", None), {"eos_token": "</s>"})
    turns = [{"role": "user", "content": instruction}, {"role": "assistant", "content": "yes"}]
    assert template.render(turns) == f"<s>{before}{instruction}{after}.yes</s>"
    system = [{"role": "system", "content": more}]
    assert template.render(system + turns) == f"<s>{before}{instruction}{between}{more}{after}.yes</s>"


@quick
@given(st.lists(pieces, min_size=6, max_size=6), pieces)
def test_a_written_frame_stands_around_each_turn(frame, said):
    a, b, c, d, e, f = frame
    template = ChatTemplate(
        write_frame_template(Frame((a, b), (c, d), (e, f), default_system="")), {"eos_token": "</s>"}
    )
    turns = [{"role": role, "content": said} for role in ("system", "user", "assistant")]
    assert template.render(turns) == f"{a}{said}{b}{c}{said}{d}{e}{said}{f}"
