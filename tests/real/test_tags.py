"""The tags of real sentences are judged as a plain reading of the file judges them."""

import json
import re

import pytest

from sftdata.schema import Schema
from sftdata.settings.sources import SourceSettings
from sftdata.validation import validate

ILLEGAL = {"msra_train.txt": 6, "msra_test.txt": 11}
"""How many sentences of each file have tags that cannot follow each other."""


LEGAL = re.compile(r"((O|S-\w+|B-(\w+)( M-\3)* E-\3) )*")
"""A sentence of BMES tags, each followed by a blank: written down apart from the check and from its other oracle."""


@pytest.mark.real
@pytest.mark.parametrize("name", ILLEGAL)
def test_the_illegal_tags_of_msra_are_found_and_no_others(assets, tmp_path, name):
    sentences = [[]]
    for line in (assets / name).read_bytes().decode().split("\r\n"):
        if line:
            sentences[-1].append(line.split(" "))
        elif sentences[-1]:
            sentences.append([])
    sentences = [sentence for sentence in sentences if sentence]
    illegal = [
        n for n, words in enumerate(sentences, start=1) if not LEGAL.fullmatch("".join(f"{tag} " for _, tag in words))
    ]
    assert len(illegal) == ILLEGAL[name]
    strings = {"dtype": "list[str]"}
    checks = {"as_long_as": "tokens", "legal_tags": "BMES"}
    schema = Schema.model_validate(
        {"name": "msra", "columns": {"tokens": strings, "tags": {**strings, "checks": checks}}}
    )
    source = SourceSettings(path=str(assets / name), format="conll")
    report = validate([source], schema, rejected=tmp_path / "r.jsonl")
    rejected = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert report.rows == len(sentences)
    assert [row["record"] for row in rejected] == illegal
    assert all(row["reasons"] == ["tags:legal_tags"] for row in rejected)
    assert [row["original"]["tags"] for row in rejected] == [[tag for _, tag in sentences[n - 1]] for n in illegal]
