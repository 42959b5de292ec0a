import yaml
from huggingface_hub import ModelCard
from tiny import settings

from sftdata.manifest import read_manifest
from sftdata.training import train
from sftdata.training.model_card import make_card
from sftdata.training.run import read_run


def test_a_finished_run_has_a_card_that_says_what_made_it(class_data, tiny_bert, tmp_path):
    result = train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    card, record = ModelCard.load(tmp_path / "run" / "README.md"), read_run(tmp_path / "run")
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.library_name == "transformers"
    assert card.data.base_model is None, "a directory of this machine is no name on a hub"
    assert record.data_digest in card.text
    for name, value in result.scores.items():
        assert f"| {name} | {value:.6g} |" in card.text
    assert "| train | 60 |" in card.text
    told = yaml.safe_load(card.text.split("## Settings\n\n```yaml\n")[1].split("```")[0])
    assert (told["learning_rate"], told["seed"]) == (5e-3, 3)
    assert "output_dir" not in told


def test_adapters_name_their_library_and_base(turn_data, tiny_llama, tmp_path):
    train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=1, max_steps=1, lora={"r": 2}), progress=False)
    record = read_run(tmp_path / "run")
    card = ModelCard(make_card(record.model_copy(update={"base_model": "some/model"}), read_manifest(turn_data), "run"))
    assert (card.data.library_name, card.data.base_model) == ("peft", "some/model")
    assert card.data.pipeline_tag == "text-generation"


def test_without_a_validation_part_the_card_says_so(class_data, tiny_bert, tmp_path):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, max_steps=1), progress=False)
    record = read_run(tmp_path / "run").model_copy(update={"scores": {}})
    assert "There was no validation part." in make_card(record, read_manifest(class_data), "run")
