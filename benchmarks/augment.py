"""Measure synonym replacement against nlpaug's SynonymAug, on the same rows and one core.

usage: python benchmarks/augment.py [--rows N] [--runs N] [--assets DIR]

The rows are glosses of WordNet. Both replace a tenth of the words of a text. Each run is a process of its own, bound to
one core, in turn with the others; loading (to a list for nlpaug, to a data frame for us) and a first run over as many
other rows do not count, and of three calls the median is taken. Time is that of the
processor, so that what else the machine does costs nobody anything.
nlpaug needs a tagger of parts of speech that no package carries; it is given one that calls
every word a noun, which costs no time and so flatters it. Ours also does what nlpaug does not: it drops copies that
equal a row or another copy. One copy of each row is made, and then four, which is what EDA's authors advise for 5,000
rows. Exits 1 if a promise is broken: 20 times as fast, the same copies for the same seed in any order, and nothing but
words changed.
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is imported

import numpy as np
import polars as pl

from sftdata.augmentation import make_augmenter
from sftdata.records import Task
from sftdata.settings.augmentation import AugmentationStep
from sftdata.stages.augmentation import augment_rows, text_keys

HERE = Path(__file__).resolve().parent
OURS, PEER = "sftdata", "nlpaug SynonymAug"
RATE, SEED, GOAL = 0.1, 7, 20
COPIES = (1, 4)
CALLS = 3
"""Calls of which the median counts, as in a run over many chunks: the first ones still fetch their memory."""
LETTERS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

Texts = list[str]


class Program(NamedTuple):
    """Holds texts as it takes them, makes so many copies of each, and shows the first of each, None where none is."""

    load: Callable[[Texts], Any]
    augment: Callable[[Any, int], Any]
    show: Callable[[Texts, Any], Sequence[str | None]]

    def copies(self, texts: Texts) -> Sequence[str | None]:
        """Return a copy of each text."""
        return self.show(texts, self.augment(self.load(texts), 1))


def read_glosses(wordnet: Path, rows: int) -> Texts:
    """Read the glosses of WordNet in a fixed random order."""
    texts: Texts = []
    for part in ("noun", "verb", "adj", "adv"):
        lines = (wordnet / f"data.{part}").read_text(encoding="ascii").splitlines()
        texts += [line.split(" | ")[1].strip() for line in lines if not line.startswith(" ")]
    texts = list(dict.fromkeys(texts))
    random.Random(SEED).shuffle(texts)  # noqa: S311  # a sample, no secret
    return texts[:rows]


def write_nltk_data(wordnet: Path, folder: Path) -> None:
    """Put WordNet where nltk looks for it, with the list of lexicographer files that it wants too."""
    sys.path.insert(0, str(HERE.parent / "samples"))
    from make_samples import LEXNAMES

    corpus = folder / "corpora" / "wordnet"
    shutil.copytree(wordnet, corpus)
    parts = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    lines = [f"{place:02}\t{name}\t{parts[name.partition('.')[0]]}\n" for place, name in enumerate(LEXNAMES)]
    (corpus / "lexnames").write_text("".join(lines), encoding="ascii")


def make_nlpaug(nltk_data: Path) -> Program:
    """Return nlpaug's SynonymAug, with a tagger that calls every word a noun."""
    import nltk

    nltk.data.path.insert(0, str(nltk_data))
    import nlpaug.augmenter.word as naw

    dictionary: Any = sys.modules["nlpaug.model.word_dict.wordnet"].WordNet
    dictionary.pos_tag = classmethod(lambda _, tokens: [(token, "NN") for token in tokens])
    augmenter = naw.SynonymAug(aug_p=RATE, aug_max=None)

    def augment(texts: Texts, copies: int) -> list[Texts]:
        random.seed(SEED)
        np.random.seed(SEED)  # noqa: NPY002
        return [augmenter.augment(text, n=copies) for text in texts]

    return Program(list, augment, lambda _, made: [copies[0] for copies in made])


def make_ours(texts: Texts) -> Program:
    """Return our synonym replacement; a text has the same id in any order, and the rows' keys are known before."""
    told = [{"synonym_replacement": {"rate": RATE, "copies": copies}} for copies in COPIES]
    steps = [AugmentationStep.model_validate(step) for step in told]
    augmenters = {step.settings.copies: make_augmenter([step], Task.TEXT_CLASSIFICATION, Path()) for step in steps}
    ids = {text: str(place) for place, text in enumerate(texts)}
    taken = np.sort(text_keys(pl.DataFrame({"text": texts}), ["text"]))

    def load(texts: Texts) -> pl.DataFrame:
        return pl.DataFrame({"row_id": [ids.get(text, text) for text in texts], "text": texts})

    def augment(rows: pl.DataFrame, copies: int) -> pl.DataFrame:
        return augment_rows(rows, augmenters[copies], SEED, taken).rows

    def show(texts: Texts, made: pl.DataFrame) -> Sequence[str | None]:
        found = dict(made.select("parent_id", "text").iter_rows())
        return [found.get(ids.get(text, text)) for text in texts]

    return Program(load, augment, show)


def make_program(name: str, texts: Texts, nltk_data: Path) -> Program:
    return make_ours(texts) if name == OURS else make_nlpaug(nltk_data)


def time_program(program: Program, texts: Texts, others: Texts) -> list[float]:
    """Return the seconds of processor time for each number of `COPIES`, once other texts have filled the caches."""
    program.augment(program.load(others), 1)
    rows = program.load(texts)
    return [statistics.median(_time_call(program, rows, copies) for _ in range(CALLS)) for copies in COPIES]


def _time_call(program: Program, rows: Any, copies: int) -> float:
    start = time.process_time()
    program.augment(rows, copies)
    return time.process_time() - start


def time_runs(runs: int, arguments: list[str]) -> dict[str, list[list[float]]]:
    """Run the programs in turn, `runs` times each, each in a new process."""
    seconds: dict[str, list[list[float]]] = {OURS: [], PEER: []}
    for number in range(runs):
        for name, of_program in seconds.items():
            command = [sys.executable, __file__, "--program", name, *arguments]
            of_program.append(json.loads(subprocess.check_output(command, text=True)))
            print(f"run {number + 1} of {runs}: {name} {of_program[-1]}", file=sys.stderr)
    return seconds


def changed_share(program: Program, texts: Texts) -> float:
    copies = program.copies(texts)
    return sum(copy is not None and copy != text for text, copy in zip(texts, copies, strict=True)) / len(texts)


def stable_share(program: Program, texts: Texts, again: Texts) -> float:
    """Return the share of texts that have the same copy when all are augmented again, in the order `again`."""
    first = dict(zip(texts, program.copies(texts), strict=True))
    second = dict(zip(again, program.copies(again), strict=True))
    return sum(first[text] == second[text] for text in texts) / len(texts)


def kept_share(program: Program, texts: Texts, keeps: Callable[[str, str], bool]) -> float:
    """Return the share of the copies that keep something of their texts."""
    pairs = [(a, b) for a, b in zip(texts, program.copies(texts), strict=True) if b is not None and a != b]
    return sum(keeps(text, copy) for text, copy in pairs) / len(pairs)


def format_texts(texts: Texts) -> Texts:
    """Put the texts into a format as instructions have it."""
    return [f"# Word {n}\n\n- {text}\n- see {{name}}: https://example.org/{n}\n" for n, text in enumerate(texts)]


def keeps_lines(text: str, copy: str) -> bool:
    return copy.count("\n") == text.count("\n")


def keeps_spans(text: str, copy: str) -> bool:
    return all(span in copy for span in ("{name}", text.split()[-1]))


def keeps_all_but_words(text: str, copy: str) -> bool:
    return LETTERS.sub("", text) == LETTERS.sub("", copy)


def examine(program: Program, texts: Texts) -> list[float]:
    """Return the shares that the table shows of a program."""
    some, formatted = texts[:2000], format_texts(texts[:2000])
    kept = [kept_share(program, formatted, keeps) for keeps in (keeps_lines, keeps_spans, keeps_all_but_words)]
    stable = [stable_share(program, some, again) for again in (some, some[::-1])]
    return [changed_share(program, some), *stable, *kept]


def print_results(rows: int, seconds: dict[str, list[list[float]]], shares: dict[str, list[float]]) -> int:
    """Print what was found; return 1 if it is not what was promised."""
    runs = len(seconds[OURS])
    print(f"{rows:,} rows, one core, {platform.machine()}, Python {platform.python_version()}; median of {runs} runs\n")
    print("| program | copies | seconds (range) | rows/s |\n| --- | ---: | ---: | ---: |")
    ratios = []
    for place, copies in enumerate(COPIES):
        middle = {name: statistics.median(run[place] for run in of_name) for name, of_name in seconds.items()}
        ratios.append(middle[PEER] / middle[OURS])
        for name, of_name in seconds.items():
            spread = f"{min(run[place] for run in of_name):.2f} to {max(run[place] for run in of_name):.2f}"
            print(f"| {name} | {copies} | {middle[name]:.2f} ({spread}) | {rows * copies / middle[name]:,.0f} |")
    print("\n| program | changed | same seed | other order | lines kept | spans kept | all but words kept |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, of_name in shares.items():
        print(f"| {name} | {' | '.join(f'{share:.1%}' for share in of_name)} |")
    whole = shares[OURS][1:] == [1.0] * 5
    for copies, ratio in zip(COPIES, ratios, strict=True):
        reached = "reached" if ratio >= GOAL else "MISSED"
        print(f"\nsftdata, copies of a row: {copies}: {ratio:.1f} times as fast, at least {GOAL}: {reached}")
    print(f"sftdata keeps seed and format: {'reached' if whole else 'MISSED'}")
    return 0 if min(ratios) >= GOAL and whole else 1


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--assets", type=Path, default=default, help="folder that tests/real/fetch.py filled")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--nltk-data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # nlpaug and nltk warn about much
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    wordnet = arguments.assets.resolve() / "wordnet"
    glosses = read_glosses(wordnet, 2 * arguments.rows)
    texts, others = glosses[: arguments.rows], glosses[arguments.rows :]
    if arguments.program:
        print(time_program(make_program(arguments.program, texts, arguments.nltk_data), texts, others))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_nltk_data(wordnet, Path(folder))
        told = ["--rows", str(len(texts)), "--assets", str(arguments.assets), "--nltk-data", folder]
        seconds = time_runs(arguments.runs, told)
        shares = {name: examine(make_program(name, texts, Path(folder)), texts) for name in seconds}
    return print_results(len(texts), seconds, shares)


if __name__ == "__main__":
    sys.exit(main())
