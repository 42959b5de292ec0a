"""From a source with weights to a trained model: what stands in a file multiplies the loss of the run."""

import json

import pytest
from tiny import settings

import sftdata
from sftdata.training import train

TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}|"
    "{% endgeneration %}{% else %}{{ m.content }}|{% endif %}{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)
COLUMNS = {
    "text_classification": {"text": {}, "label": {}, "counts": {"dtype": "float", "nullable": True}},
    "causal_lm": {"messages": {"dtype": "messages"}},
}


def first_loss(folder, model, task, name, lines):
    """Prepare a source of these lines, train, and return the loss of the first step and the manifest."""
    folder.mkdir()
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "template.jinja").write_text(TEMPLATE)
    parts = {"text": "text", "label": "label", "weight": "counts"} if task != "causal_lm" else {"messages": "messages"}
    schema = {"name": "weighed", "task": task, "columns": COLUMNS[task], "parts": parts}
    (folder / "schema.yaml").write_text(json.dumps(schema))
    tokenize = {"train_tokenizer": {"kind": "char", "vocab_size": 60}, "max_length": 30}
    if task == "causal_lm":
        tokenize["chat_template"] = "template.jinja"
    recipe = {"task": task, "schema": "schema.yaml", "sources": [{"path": name}], "tokenize": tokenize}
    recipe |= {"split": {"train": 1, "validation": 0, "test": 0}, "output": {"dir": "out"}, "max_rejected": 1.0}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    manifest = sftdata.prepare(sftdata.load_recipe(folder / "recipe.yaml"))
    run = settings(model, folder / "run", epochs=1, batch_size=64, log_steps=1)
    train(folder / "out", run, progress=False)
    return json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])["loss"], manifest


def test_weights_of_a_csv_file_multiply_the_loss_of_a_run(tmp_path, tiny_bert):
    losses = []
    for weights in (["", "1"], ["2", "2.0"], ["0.5", "-1"]):
        rows = [f"fox {number},{'ab'[number % 3 == 0]},{weights[number % 2]}" for number in range(40)]
        loss, manifest = first_loss(
            tmp_path / f"run{weights[0]}", tiny_bert, "text_classification", "d.csv", ["text,label,counts", *rows]
        )
        losses.append(loss)
    assert losses[1] == pytest.approx(2 * losses[0], rel=1e-5)
    assert losses[2] < losses[0]
    assert manifest.rejected_by_reason == {"counts:weight": 20}


def test_weights_of_turns_in_json_lines_multiply_the_loss_of_a_run(tmp_path, tiny_llama):
    losses = []
    for weight in (1, 2, 0.25):
        lines = [
            json.dumps({"messages": [{"role": "user", "content": f"q{n}"}, {**says, "weight": weight}]})
            for n, says in enumerate([{"role": "assistant", "content": f"fox {n}"} for n in range(40)])
        ]
        loss, manifest = first_loss(tmp_path / str(weight), tiny_llama, "causal_lm", "d.jsonl", lines)
        assert manifest.rows.written == 40
        losses.append(loss)
    assert losses == pytest.approx([losses[0], 2 * losses[0], losses[0] / 4], rel=1e-5)
