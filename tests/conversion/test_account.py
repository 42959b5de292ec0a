"""Nothing of a configuration is dropped in silence, and what is wrong with it is told at once."""

import json
import re
import subprocess
import sys
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import jsonschema
import pytest
import yaml

from sftdata.conversion import MODELS, convert_recipe
from sftdata.conversion.axolotl_keys import TYPES as AXOLOTL_TYPES
from sftdata.conversion.llamafactory_keys import TYPES as LLAMAFACTORY_TYPES
from sftdata.conversion.reading import make_model
from sftdata.editor_schemas import make_editor_schema
from sftdata.errors import ConfigurationError, OutputError, UsageError
from sftdata.recipe import load_recipe
from sftdata.schema import load_schema

VALUES = {
    "LLaMA-Factory": {
        "stage": "sft",
        "finetuning_type": "lora",
        "dataset": "birds",
        "dataset_dir": "data",
        "quantization_bit": 8,
        "deepspeed": "ds_z3.json",
        "fsdp": "full_shard",
        "fsdp_config": {"a": 1},
        "output_dir": "saves",
    },
    "axolotl": {
        "adapter": "lora",
        "datasets": [{"path": "data/birds.json", "type": "alpaca"}],
        "excess_length_strategy": "drop",
        "deepspeed": "zero3.json",
        "tokens": ["<a>"],
        "fsdp": ["full_shard"],
        "lora_target_modules": ["q_proj"],
    },
}
REFUSED = {"rl", "reward_model", "process_reward_model", "pretraining_dataset"}
"""Keys with which there is no recipe at all."""


def specimen(kind: Any) -> Any:
    """Return a value that a key of this type may have, and that asks for something."""
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) in (list, dict):
        return [specimen(get_args(kind)[0])] if get_origin(kind) is list else {"a": 1}
    if get_origin(kind) in (UnionType, Union):
        return specimen(get_args(kind)[0])
    return {bool: True, int: 3, float: 0.25, str: "something"}.get(kind, "a model")


def given_to(program: str, tokenizer) -> dict[str, Any]:
    """Return a configuration that has every key that is known."""
    types = LLAMAFACTORY_TYPES if program == "LLaMA-Factory" else AXOLOTL_TYPES
    known = [str(field.alias) for field in MODELS[program].model_fields.values()]
    model = "model_name_or_path" if program == "LLaMA-Factory" else "base_model"
    made = {key: specimen(types.get(key, bool)) for key in known if key not in REFUSED}
    return made | VALUES[program] | {model: str(tokenizer)}


@pytest.mark.parametrize("program", MODELS)
def test_every_key_that_is_known_stands_in_the_recipe(work, chat_tokenizer, program):
    given = given_to(program, chat_tokenizer)
    assert len(given) > 300
    (work / "all.yaml").write_text(json.dumps(given))
    converted = convert_recipe("all.yaml", out=work / "made.yaml")
    assert converted.draft.told == given.keys()
    words = set(re.findall(r"[\w.]+", converted.recipe.read_text()))
    assert given.keys() - words == set()
    assert "does not know it" not in converted.recipe.read_text()
    load_recipe(converted.recipe)


@pytest.mark.parametrize("program", MODELS)
def test_keys_that_ask_for_nothing_are_told_as_such(work, chat_tokenizer, program):
    types = LLAMAFACTORY_TYPES if program == "LLaMA-Factory" else AXOLOTL_TYPES
    off = {str(field.alias): False for field in MODELS[program].model_fields.values() if field.alias not in types}
    needed = {
        "LLaMA-Factory": {"model_name_or_path": str(chat_tokenizer), "dataset": "birds"},
        "axolotl": {"base_model": str(chat_tokenizer), "datasets": VALUES["axolotl"]["datasets"], "learning_rate": 1},
    }[program]
    (work / "off.yaml").write_text(json.dumps(off | needed | dict.fromkeys(["max_grad_norm", "seed"])))
    draft = convert_recipe("off.yaml", out=work / "made.yaml").draft
    assert draft.lacking == []
    assert {"max_grad_norm", "seed"} <= set(draft.unused)


def test_all_faults_are_told_at_once_with_their_lines(llamafactory):
    config = llamafactory()
    config.write_text(config.read_text().replace("{", '{"lora_rnak": 8,\n"learning_rate": "fast",\n"bf16": 7,\n', 1))
    with pytest.raises(ConfigurationError) as raised:
        convert_recipe(config)
    assert raised.value.faults == (
        "line 1: lora_rnak: unknown key; did you mean 'lora_rank'?",
        "line 2: learning_rate: found 'fast', expected a valid number, unable to parse string as a number",
        "line 3: bf16: found 7, expected a valid boolean, unable to interpret input",
    )


def test_what_no_recipe_may_say_is_told_by_the_keys_it_comes_from(llamafactory, work):
    config = llamafactory(per_device_train_batch_size=0, lora_dropout=1.5, learning_rate=-1)
    with pytest.raises(ConfigurationError) as raised:
        convert_recipe(config, out=work / "r.yaml")
    assert sorted(fault.partition(": ")[0] for fault in raised.value.faults) == [
        "learning_rate would be train.learning_rate",
        "lora_dropout would be train.lora.dropout",
        "per_device_train_batch_size would be train.batch_size",
    ]
    assert not list(work.glob("r.*"))


def test_faults_of_axolotls_datasets_are_told_where_they_stand(axolotl):
    config = axolotl(dataset={"path": "data/birds.json", "typ": "alpaca", "roles": "user"})
    with pytest.raises(ConfigurationError) as raised:
        convert_recipe(config)
    assert [fault.partition(": ")[2].partition(":")[0] for fault in raised.value.faults] == [
        "datasets.0.roles",
        "datasets.0.typ",
    ]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"stage": "dpo"}, "no preferences"),
        ({"finetuning_type": "oft"}, "expected lora, full or freeze"),
        ({"dataset": "absent"}, "dataset: missing"),
        ({"dataset": "birsd"}, "did you mean 'birds'?"),
        ({"dataset": "pictures"}, "text alone"),
        ({"dataset": "pairs"}, "no preferences"),
        ({"dataset": "birds,talks"}, "a recipe has one schema"),
        ({"dataset_dir": "ONLINE"}, "found a place on the hub"),
    ],
)
def test_what_llamafactory_does_and_sftdata_does_not_is_refused(llamafactory, keys, told):
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        convert_recipe(llamafactory(**keys))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"rl": "dpo"}, "no preferences"),
        ({"adapter": "llama-adapter"}, "expected lora or qlora"),
        ({"learning_rate": "absent"}, "learning_rate: missing"),
        ({"datasets": "absent"}, "datasets: missing"),
        ({"dataset": {"path": "data/birds.json", "type": "jeopardy"}}, "Spell the prompt of this type out"),
        ({"dataset": {"path": "data/birds.json"}}, "tokens already"),
        ({"dataset": {"path": "s3://bucket/birds", "type": "alpaca"}}, "copy the data to this machine"),
        ({"dataset": {"type": "alpaca"}}, "found no path"),
    ],
)
def test_what_axolotl_does_and_sftdata_does_not_is_refused(axolotl, keys, told):
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        convert_recipe(axolotl(**keys))


def test_datasets_of_several_kinds_are_refused(axolotl):
    others = [{"path": "data/birds.json", "type": "alpaca"}, {"path": "data/texts.jsonl", "type": "completion"}]
    with pytest.raises(ConfigurationError, match=r"train\.mix"):
        convert_recipe(axolotl(datasets=others))


def test_datasets_of_one_kind_are_sources_of_one_recipe(llamafactory, work):
    converted = convert_recipe(llamafactory(dataset="birds, birds_again"), out=work / "below" / "made.yaml")
    assert [source.path for source in load_recipe(converted.recipe).sources] == ["../data/birds.json"] * 2
    assert any("takes 5 rows of birds_again" in note.text for note in converted.draft.differing)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roles_to_train", ["assistant", "user"]),
        ("train_on_eos", "all"),
        ("train_on_eot", "none"),
        ("message_field_training", "is_good"),
        ("message_field_training_detail", "details"),
        ("message_property_mappings", {"role": "role", "content": "content", "name": "who"}),
        ("drop_system_message", True),
        ("field_thinking", "thoughts"),
        ("split_thinking", True),
        ("shards", 4),
        ("shards_idx", 1),
        ("ds_type", "text"),
        ("input_transform", "upper"),
        ("preprocess_shards", 3),
    ],
)
def test_what_is_said_of_a_dataset_of_axolotls_is_told(axolotl, work, key, value):
    usual = {"path": "data/talks.json", "type": "chat_template"}
    before = convert_recipe(axolotl(dataset=usual), out=work / "1.yaml").draft
    after = convert_recipe(axolotl(dataset={**usual, key: value}), out=work / "2.yaml").draft
    assert len(after.differing) == len(before.differing) + 1


def test_a_dataset_on_the_hub(llamafactory, axolotl, work):
    source = load_recipe(convert_recipe(llamafactory(dataset="online"), out=work / "1.yaml").recipe).sources[0]
    assert (source.dataset, source.subset, source.split) == ("somebody/talks", "en", "train")
    dataset = {"path": "somebody/talks", "name": "en", "revision": "abc", "type": "chat_template"}
    source = load_recipe(convert_recipe(axolotl(dataset=dataset), out=work / "2.yaml").recipe).sources[0]
    assert (source.dataset, source.subset, source.split, source.revision) == ("somebody/talks", "en", "train", "abc")


def test_a_schema_that_ships_is_used_where_it_says_the_same(llamafactory, axolotl, work):
    names = {"prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history"}
    (work / "data" / "dataset_info.json").write_text(
        json.dumps({"birds": {"file_name": "birds.json", "columns": names}})
    )
    converted = convert_recipe(llamafactory(), out=work / "1.yaml")
    assert [path.name for path in converted.files] == ["1.yaml"]
    assert load_recipe(converted.recipe).schema_name == "alpaca"
    converted = convert_recipe(axolotl(dataset={"path": "data/texts.jsonl", "type": "completion"}), out=work / "2.yaml")
    assert load_recipe(converted.recipe).schema_name == "text"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task: causal_lm\nschema: alpaca\nsources: []\ntokenize: {}", "a recipe of sftdata already"),
        ("compute_environment: x\nmachine_rank: 0", "accelerate"),
        ("model: x\nmodel_class: llm\ntrain_dataset: y\ndist_config: {}", "USE_V1"),
        ("learning_rate: 1\nseed: 2", "do not tell whose configuration this is"),
        ("{}", "it has no keys"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, text, told):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UsageError, match=told):
        convert_recipe(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("text", "told"), [("- a", "expected a mapping"), ("a: [", "not valid YAML"), (None, "no such file")]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, text, told):
    if text is not None:
        (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        convert_recipe(tmp_path / "x.yaml")


def test_a_key_that_is_given_twice_is_a_fault(tmp_path):
    (tmp_path / "x.yaml").write_text("base_model: x\nsequence_len: 5\nsequence_len: 6\nmicro_batch_size: 1")
    with pytest.raises(ConfigurationError, match="line 3: sequence_len: given twice"):
        convert_recipe(tmp_path / "x.yaml")


def test_nothing_is_overwritten_and_nothing_is_half_written(axolotl, work):
    (work / "r.schema.yaml").write_text("mine")
    with pytest.raises(OutputError, match=r"r\.schema\.yaml: there already"):
        convert_recipe(axolotl(), out=work / "r.yaml")
    assert not (work / "r.yaml").exists()
    assert (work / "r.schema.yaml").read_text() == "mine"


def test_dataset_info_is_found_above_the_configuration_or_given(llamafactory, axolotl, work, tmp_path, monkeypatch):
    config = llamafactory()
    monkeypatch.chdir("/")
    convert_recipe(config, out=work / "1.yaml")
    config.write_text(config.read_text().replace("{", '{"dataset_dir": "elsewhere", ', 1))
    with pytest.raises(UsageError, match="--dataset-info"):
        convert_recipe(config, out=work / "2.yaml")
    convert_recipe(config, work / "data" / "dataset_info.json", work / "2.yaml")
    with pytest.raises(UsageError, match="goes with a configuration of LLaMA-Factory"):
        convert_recipe(axolotl(), work / "data" / "dataset_info.json", work / "3.yaml")


@pytest.mark.parametrize("text", ["[", '["a"]', '{"birds": 5}', '{"birds": {"file_name": 5}}', '{"birds": {}}'])
def test_a_dataset_info_that_is_none_is_refused(llamafactory, work, text):
    (work / "data" / "dataset_info.json").write_text(text)
    with pytest.raises(UsageError):
        convert_recipe(llamafactory(), out=work / "r.yaml")


def test_editors_find_the_json_schema_beside_what_is_written(axolotl, work):
    converted = convert_recipe(axolotl(), out=work / "r.yaml")
    for kind, path in zip(("recipe", "schema"), converted.files, strict=False):
        text = path.read_text()
        named = text.partition("$schema=")[2].partition("\n")[0]
        document = json.loads((work / named).read_text())
        assert document == make_editor_schema(kind)
        jsonschema.Draft202012Validator(document).validate(yaml.safe_load(text))
    load_schema(converted.files[1])


def test_the_command_tells_what_differs_and_its_exit_code(axolotl, work):
    def run(*arguments):
        command = [sys.executable, "-c", "from sftdata.cli import main; main()", "convert-recipe", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=work)

    config = str(axolotl(train_on_inputs=True, optimizer="lion_8bit", datasets=VALUES["axolotl"]["datasets"]))
    done = run(config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "train_on_inputs: true -> prompts are never trained" in done.stdout
    assert "optimizer: lion_8bit -> sftdata has AdamW alone" in done.stdout
    assert "sftdata prepare axolotl.recipe.yaml" in done.stdout
    assert sorted(path.name for path in work.glob("axolotl.*")) == [
        "axolotl.jinja",
        "axolotl.recipe.yaml",
        "axolotl.schema.yaml",
        "axolotl.yml",
    ]
    again = run(config)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: axolotl.recipe.yaml and ")


def test_a_model_of_keys_takes_any_name():
    model = make_model("x", {"model_config": str, "copy": int})
    assert model.model_validate({"model_config": "a", "copy": None}).as_given() == {"model_config": "a"}
