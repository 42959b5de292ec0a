#!/usr/bin/env python3
"""Rebuild the sample files beside this script from WordNet 3.0 and JupyterLab's Chinese language pack.

usage: python samples/make_samples.py [ASSETS] [--out DIR]

ASSETS holds what `python tests/real/fetch.py --group samples` fetches; it defaults to the environment variable
SFTDATA_ASSETS, else to `.assets` in the repository. Standard library only. The files depend on the assets and on
SEED alone: choices are made by a digest of the content, so the order of rows never matters.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

HERE = Path(__file__).resolve().parent
SEED = 7
ROWS = 5000
MIN_GLOSSES = 200
MAX_CHARACTERS = 300
CONVERSATIONS = 300
T = TypeVar("T")

_LEXNAMES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
)
LEXNAMES = _LEXNAMES.split()
"""The lexicographer files of WordNet 3.0: the number in a data file is a place in this list."""

TOPICS = {
    "noun.act": "acts and actions",
    "noun.animal": "animals",
    "noun.artifact": "things made by people",
    "noun.attribute": "attributes of people and objects",
    "noun.body": "parts of the body",
    "noun.cognition": "thoughts and thinking",
    "noun.communication": "communication and what it conveys",
    "noun.event": "events",
    "noun.feeling": "feelings and emotions",
    "noun.food": "food and drink",
    "noun.group": "groups of people or things",
    "noun.location": "places and positions",
    "noun.object": "natural objects",
    "noun.person": "people",
    "noun.phenomenon": "natural phenomena",
    "noun.plant": "plants",
    "noun.possession": "possessions and how they change hands",
    "noun.process": "natural processes",
    "noun.quantity": "quantities and units of measure",
    "noun.relation": "relations between people, things or ideas",
    "noun.shape": "shapes",
    "noun.state": "states of affairs",
    "noun.substance": "substances",
    "noun.time": "times and periods",
    "verb.body": "grooming, dressing and care of the body",
    "verb.change": "change",
    "verb.cognition": "thinking and judging",
    "verb.communication": "telling, asking and other communication",
    "verb.competition": "fighting and competing",
    "verb.consumption": "eating and drinking",
    "verb.contact": "touching, hitting and other contact",
    "verb.creation": "making and performing",
    "verb.emotion": "feeling",
    "verb.motion": "motion",
    "verb.perception": "seeing, hearing and other perception",
    "verb.possession": "owning, buying and selling",
    "verb.social": "social and political life",
    "verb.stative": "being and having",
}
"""What the words of a lexicographer file are about, as the conversations say it."""

UNSUITABLE = re.compile(r"offensive|disparag|derogat|obscen|vulgar|slur|slang|sexual|taboo", re.IGNORECASE)
"""Glosses that say so of themselves are left out of samples that everybody is shown."""


class Synset(NamedTuple):
    """One entry of WordNet: words that share a meaning, the meaning, and sentences that use it."""

    topic: str
    words: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def parse_synset(line: str) -> Synset:
    """Read one line of a data file; its format is described in WordNet's wndb(5)."""
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    count = int(fields[3], 16)
    words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
    # Usage examples stand in quotation marks behind the definition; quotation marks inside it follow no punctuation.
    definition = re.split(r'\s*[;:,]\s*"', gloss, maxsplit=1)[0].strip(" ;:\n")
    return Synset(LEXNAMES[int(fields[1])], words, definition, tuple(re.findall(r'; "([^"]+)"', gloss)))


def read_wordnet(assets: Path) -> list[Synset]:
    """Read all nouns and verbs that are fit to be shown."""
    synsets = []
    for name in ("data.noun", "data.verb"):
        lines = (assets / "wordnet" / name).read_text(encoding="ascii").splitlines()
        # The licence at the top is indented; entries are not.
        synsets += [parse_synset(line) for line in lines if not line.startswith(" ") and not UNSUITABLE.search(line)]
    return synsets


def wordnet_license(assets: Path) -> str:
    """Take the licence out of the head of a data file, where each line is numbered."""
    lines = (assets / "wordnet" / "data.noun").read_text(encoding="ascii").splitlines()
    return "".join(line[4:].rstrip() + "\n" for line in lines if line.startswith(" "))


def rank(*parts: object) -> bytes:
    """Return a key that orders things at random, but always alike."""
    return hashlib.sha256("\0".join(map(str, (SEED, *parts))).encode()).digest()


def pick(choices: Sequence[T], *parts: object) -> T:
    """Choose one of `choices`, always the same for the same `parts`."""
    return choices[int.from_bytes(rank("pick", *parts)[:8], "big") % len(choices)]


def glosses_by_topic(synsets: Iterable[Synset]) -> dict[str, list[str]]:
    """Group the definitions by topic, without those too short or too long to be told, or told of two topics."""
    topics = defaultdict(set)
    for synset in synsets:
        topics[synset.definition].add(synset.topic)
    groups = defaultdict(list)
    for text, found in topics.items():
        if len(found) == 1 and len(text.split()) >= 3 and len(text) <= MAX_CHARACTERS:
            groups[next(iter(found))].append(text)
    return {topic: texts for topic, texts in sorted(groups.items()) if len(texts) >= MIN_GLOSSES}


def topic_rows(groups: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Sample about ROWS rows: each topic by the square root of its size, which damps the imbalance but keeps it."""
    total = sum(len(texts) ** 0.5 for texts in groups.values())
    rows = []
    for topic, texts in groups.items():
        wanted = round(ROWS * len(texts) ** 0.5 / total)
        rows += [(text, topic) for text in sorted(texts, key=lambda text: rank("sample", text))[:wanted]]
    return sorted(rows, key=lambda row: rank("order", *row))


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    """Write rows as CSV with only the quotation marks that are needed."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def schema_text(labels: Iterable[str]) -> str:
    """Write the schema that the rows of `wordnet_topics.csv` follow."""
    names = "".join(f"        - {label}\n" for label in labels)
    return (
        "# WordNet definitions and the topic each belongs to. Written by make_samples.py.\n"
        "name: wordnet_topics\n"
        "description: A definition from WordNet and the lexicographer file it stands in.\n"
        "task: text_classification\n"
        "columns:\n"
        "  text:\n"
        "    dtype: str\n"
        "    checks:\n"
        "      not_blank: true\n"
        f"      str_length: {{max_value: {MAX_CHARACTERS}}}\n"
        "  label:\n"
        "    dtype: str\n"
        "    checks:\n"
        f"      isin:\n{names}"
        "parts: {text: text, label: label}\n"
    )


def faults(rows: Sequence[tuple[str, str]]) -> dict[int, tuple[bytes, list[str]]]:
    """Return the faulty records: number, what the file holds there, and the reasons to reject it for.

    Record 5 has no fault: its text goes over two lines, so that from there on line numbers are not record numbers.
    """
    text, label = rows[0]
    first, second = [row[0] for row in rows if not re.search('[,"]', row[0])][:2]
    longest = "; ".join(row[0] for row in rows[:8])
    return {
        5: (csv_bytes([(text.replace(" ", "\n", 1), label)]), []),
        12: (csv_bytes([("", label)]), ["text:not_nullable"]),
        27: (csv_bytes([("   ", label)]), ["text:not_blank"]),
        41: (csv_bytes([("\t\u3000\u00a0", label)]), ["text:not_blank"]),
        58: (csv_bytes([(text, "")]), ["label:not_nullable"]),
        73: (csv_bytes([(text, "noun.animals")]), ["label:isin"]),
        74: (csv_bytes([(text, label.upper())]), ["label:isin"]),
        75: (csv_bytes([(text, "adj.all")]), ["label:isin"]),
        104: (f"{first}\n".encode(), ["csv:field_count"]),
        119: (f"{first}, {second},{label}\n".encode(), ["csv:field_count"]),
        133: (b"a small restaurant called a caf\xe9," + label.encode() + b"\n", ["encoding:utf-8"]),
        148: ("两个字".encode()[:-1] + b"," + label.encode() + b"\n", ["encoding:utf-8"]),
        162: (csv_bytes([(longest, label)]), ["text:str_length"]),
        177: (csv_bytes([("  ", "animals")]), ["text:not_blank", "label:isin"]),
        191: (b",\n", ["text:not_nullable", "label:not_nullable"]),
        300: (csv_bytes([(text, "unknown")]), ["label:isin"]),
    }


def faulty_files(rows: Sequence[tuple[str, str]]) -> tuple[bytes, bytes]:
    """Return the first 300 rows with faults planted among them, and the reasons by record number."""
    planted = faults(rows)
    records = [planted[n][0] if n in planted else csv_bytes([row]) for n, row in enumerate(rows[:300], start=1)]
    expected = {str(n): reasons for n, (_, reasons) in planted.items() if reasons}
    return csv_bytes([("text", "label")]) + b"".join(records), (json.dumps(expected, indent=2) + "\n").encode()


def translation_pairs(wheel: zipfile.ZipFile) -> list[tuple[str, str]]:
    """Return the distinct pairs of an English message and its Chinese translation, JupyterLab's own first."""
    folder = "jupyterlab_language_pack_zh_CN/locale/zh_CN/LC_MESSAGES/"
    names = sorted(name for name in wheel.namelist() if name.startswith(folder) and name.endswith(".json"))
    names.sort(key=lambda name: name != folder + "jupyterlab.json")
    pairs = {}
    for name in names:
        for key, translations in json.loads(wheel.read(name)).items():
            # gettext's catalogue: the empty key is its header, a context ends with U+0004, and Chinese has one plural.
            if key:
                pairs[key.rpartition("\u0004")[2], translations[0]] = None
    return list(pairs)


def conversation(synset: Synset) -> list[dict[str, str]]:
    """Write a conversation of two or three questions about one word."""
    word, kind = synset.words[0], synset.topic.partition(".")[0]

    def say(*choices: str) -> str:
        return pick(choices, synset.definition, choices[0])

    others = [f'"{other}"' for other in synset.words[1:4]]
    turns = [
        (
            say(
                f'What does the {kind} "{word}" mean?',
                f'Can you define "{word}" as a {kind}?',
                f'I came across the {kind} "{word}". What does it mean?',
                f'Please explain the {kind} "{word}" in one sentence.',
            ),
            say(
                f'As a {kind}, "{word}" can mean: {synset.definition}.',
                f'One meaning of the {kind} "{word}" is "{synset.definition}".',
                f"{word} ({kind}): {synset.definition}.",
            ),
        )
    ]
    example = (
        say("Could you use it in a sentence?", "Show me an example, please.", "How would I use that?"),
        say('Here is one: "{}"', 'Sure: "{}"', 'For example: "{}"').format(synset.examples[0]),
    )
    synonyms = (
        say("Is there another word for it?", "Which other words mean the same?", "What else could I say instead?"),
        say("You can also say {}.", "Yes: {}.", "Words with this meaning include {}.").format(" or ".join(others)),
    )
    topic = (
        say(f"What is this {kind} about?", f"Which group of {kind}s does it belong to?"),
        say(
            f"It belongs to the {kind}s about {{}}.", f"WordNet files it under {synset.topic}: {kind}s about {{}}."
        ).format(TOPICS[synset.topic]),
    )
    further = [example, topic, *([synonyms] if others else [])]
    further.sort(key=lambda turn: rank("turn", synset.definition, turn[0]))
    turns += further[: pick((1, 2, 2), "length", synset.definition)]
    spoken = [
        {"role": role, "content": content}
        for pair in turns
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    system = say("", "", "You are a dictionary. Answer briefly.", "You help learners of English with words.")
    return [{"role": "system", "content": system}, *spoken] if system else spoken


def is_told_easily(synset: Synset) -> bool:
    """Whether the word is an ordinary one, and its example really uses it."""
    word = synset.words[0]
    return (
        synset.topic in TOPICS
        and re.fullmatch(r"[a-z]{3,}( [a-z]+)?", word) is not None
        and 20 <= len(synset.definition) <= 120
        and '"' not in synset.definition
        and bool(synset.examples)
        and word in synset.examples[0].split(";")[0]
    )


def conversations(synsets: Iterable[Synset]) -> list[list[dict[str, str]]]:
    """Write CONVERSATIONS conversations, each about another word."""
    chosen: dict[str, Synset] = {}
    for synset in sorted(synsets, key=lambda synset: rank("chat", synset.words, synset.definition)):
        if is_told_easily(synset):
            chosen.setdefault(synset.words[0], synset)
    return [conversation(synset) for synset in list(chosen.values())[:CONVERSATIONS]]


def jsonl_bytes(rows: Iterable[object]) -> bytes:
    """Write one JSON document a line, in UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def make_samples(assets: Path) -> Iterator[tuple[str, bytes]]:
    """Make each sample file; yields its name and content."""
    synsets = read_wordnet(assets)
    groups = glosses_by_topic(synsets)
    rows = topic_rows(groups)
    yield "wordnet_topics.csv", csv_bytes([("text", "label"), *rows])
    yield "wordnet_topics.schema.yaml", schema_text(groups).encode()
    faulty, expected = faulty_files(rows)
    yield "wordnet_topics_faulty.csv", faulty
    yield "wordnet_topics_faulty.expected.json", expected
    yield "wordnet_chat.jsonl", jsonl_bytes({"messages": messages} for messages in conversations(synsets))
    yield "WORDNET_LICENSE.txt", wordnet_license(assets).encode()
    with zipfile.ZipFile(assets / "jupyterlab_zh_CN.whl") as wheel:
        instruction = "Translate the following text into Chinese."
        yield (
            "translation_en_zh.jsonl",
            jsonl_bytes({"instruction": instruction, "input": en, "output": zh} for en, zh in translation_pairs(wheel)),
        )
        (name,) = (name for name in wheel.namelist() if name.endswith("/LICENSE.txt"))
        yield "JUPYTERLAB_LICENSE.txt", wheel.read(name)


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("assets", nargs="?", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in make_samples(arguments.assets):
        (arguments.out / name).write_bytes(content)
        print(f"{len(content):>9,} bytes  {name}")


if __name__ == "__main__":
    main()
