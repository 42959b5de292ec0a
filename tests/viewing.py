"""The pages of `sftdata view` as tests ask for them, and data in which everything is hostile."""

import json
import random

from examples import WORDS
from pages import read_page
from starlette.testclient import TestClient

import sftdata
from sftdata.view.site import make_site

TOKEN = "the-right-one"  # noqa: S105
HOSTILE = [
    "</script><script>window.hit = 1</script>",
    '"><img src=x onerror="window.hit = 2">',
    "javascript:window.hit=4 \u202e\u2028\x00\x1b[31m",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; שלום\nالعربية",
]
EVERY_PAGE = ["", "rows", "row", "find", "find?id=x:1", "rejected", "rejection", "duplicates"]


def client(directory):
    return TestClient(make_site(directory, TOKEN), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def get(directory, path=""):
    """Return a page; it has to be one."""
    answer = client(directory).get(f"/{TOKEN}/{path}")
    assert answer.status_code == 200, answer.text
    return read_page(answer.text)


def prepare(recipe):
    sftdata.prepare(sftdata.load_recipe(recipe))
    return recipe.parent / "out"


def read_lines(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def ids_of(page):
    return [title.text for title in page.all("h3")]


def prepare_hostile(folder, text_tokenizer):
    """Prepare rows, labels and a file name that try to be more than text; return the dataset."""
    draw = random.Random(7)  # noqa: S311
    good = [
        {"text": f"{text} the fox {' '.join(draw.choices(WORDS, k=40))}", "label": HOSTILE[n % 2]}
        for n in range(25)
        for text in HOSTILE
    ]
    same = " ".join(draw.choices(WORDS, k=200))
    near = [{"text": f"{text} {same}", "label": HOSTILE[0]} for text in HOSTILE]
    bad = [{"text": text, "label": None} for text in HOSTILE] * 8 + [{"text": None, "label": text} for text in HOSTILE]
    lines = [json.dumps(row) for row in [*good, *good[:7], *near, *bad]] + [HOSTILE[0]]
    (folder / "x'\"><img src=x>.jsonl").write_text("".join(f"{line}\n" for line in lines))
    recipe = {
        "task": "text_classification",
        "schema": "text_label",
        "sources": [{"path": "*.jsonl"}],
        "deduplicate": {"near": {"threshold": 0.6, "action": "drop"}},
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": "label"},
        "tokenize": {"tokenizer": str(text_tokenizer), "max_length": 256},
        "output": {"dir": "out"},
        "max_rejected": 1.0,
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return prepare(folder / "recipe.yaml")
