"""Make the table of English synonyms out of WordNet 3.0: python -m sftdata.text.make_synonyms WORDNET_FOLDER OUT.

The folder holds WordNet's dictionary files, with `lexnames` and `index.sense`. Two files are written: the table,
`english_synonyms.arrow`, and WordNet's licence, which goes wherever the table goes.

What counts as a synonym: the part of speech of a word is unknown where the table is used, so only senses are taken that
make up at least three tenths of all uses of the form that WordNet counted (its first sense where it counted none), over
all parts of speech; and only words that mean this sense just as mainly.
A form is replaced by the same form: `movies` by `films`, `began` by `started`.
"""

import argparse
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.text.inflection import inflect

LEAST_SHARE = 0.3
"""The least share of a word's uses that a sense must have, for the word and for its synonym."""

MOST_SYNONYMS = 6
"""Most synonyms of one form."""

PLAIN = re.compile(r"[a-z]{3,}(?:-[a-z]{2,})*")
"""A lemma that may stand in the table: one word, no name, no abbreviation."""

UNFIT = re.compile(
    r"\b(?:offensive|slur|disparag\w*|obscen\w*|vulgar|derogatory|archaic|obsolete|taboo)\b", re.IGNORECASE
)
"""What WordNet says about words that nobody wants in a text by chance."""

_COARSE = (
    "arse ass bang bastard bawd bitch bonk bugger bum cock crap cum cunt dick dyke eff fag faggot fagot fanny fuck "
    "john nates nigger piss poof prat prick pussy queer screw shag shit slut spic tit turd twat wank whore wop"
)
COARSE = frozenset(_COARSE.split())
"""Words that have no place in a text by chance, though WordNet does not say so of all of them."""

PARTS = {"n": "n", "v": "v", "a": "a", "s": "a", "r": "r"}
"""Parts of speech as nltk calls them; a satellite adjective is an adjective."""


@dataclass(frozen=True)
class Sense:
    """One meaning of a lemma, the share of the lemma's uses that has it, and how often it was counted."""

    lemma: str
    part: str
    synset: str
    uses: float


def open_wordnet(folder: Path) -> Any:
    """Open WordNet's files with nltk, which reads only in folders that it was told of."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):  # type: ignore[misc]  # nltk has no types
        def map_wn(self, version: str = "wordnet") -> None:
            """Map nothing: nltk would look for an installed WordNet 3.0, and this is one."""

    nltk.data.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk misses the multilingual WordNet, which is not needed
        return Reader(str(folder), None)


def read_senses(reader: Any) -> list[Sense]:
    """Read every sense of every plain lemma, with WordNet's count of its uses.

    Where no sense of a lemma and part of speech was ever counted, the first one has half a use; it has none where the
    word is a name too, such as John.
    """
    counts, senses = _read_counts(reader), []
    names = {name.lower() for synset in reader.all_synsets() for name in synset.lemma_names() if not name.islower()}
    for (lemma, part), synsets in _lemmas(reader).items():
        uses = [float(counts.get((lemma, part, synset), 0)) for synset in synsets]
        if not any(uses):
            uses[0] = 0.0 if lemma in names else 0.5
        senses += [Sense(lemma, part, synset, use) for synset, use in zip(synsets, uses, strict=True) if use]
    return senses


def _lemmas(reader: Any) -> dict[tuple[str, str], list[str]]:
    """Return the synsets of every lemma and part of speech, the most common first."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for synset in reader.all_synsets():
        for lemma in synset.lemma_names():
            if PLAIN.fullmatch(lemma) and lemma not in COARSE:
                found[lemma, PARTS[synset.pos()]].append(synset.name())
    order: dict[tuple[str, str], list[str]] = {}
    for lemma, part in sorted(found):
        ranked = [synset.name() for synset in reader.synsets(lemma, part) if lemma in synset.lemma_names()]
        order[lemma, part] = [name for name in ranked if name in found[lemma, part]]
    return {key: names for key, names in order.items() if names}


def _read_counts(reader: Any) -> dict[tuple[str, str, str], int]:
    """Read how often each sense was found in the texts that WordNet's makers tagged."""
    counts = {}
    with reader.open("index.sense") as lines:
        for line in lines:
            key, offset, _, count = line.split()
            if int(count):
                lemma, _, place = key.partition("%")
                part = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "s"}[place[0]]
                synset = reader.synset_from_pos_and_offset(part, int(offset)).name()
                counts[lemma, PARTS[part], synset] = int(count)
    return counts


def unfit_synsets(reader: Any) -> set[str]:
    """Return the synsets that are, or are used, as an insult or the like, or are out of use."""
    return {
        synset.name()
        for synset in reader.all_synsets()
        if UNFIT.search(synset.definition()) or any(UNFIT.search(use.name()) for use in synset.usage_domains())
    }


def irregular_forms(reader: Any) -> dict[str, dict[str, list[str]]]:
    """Turn WordNet's lists of exceptions round: the irregular forms of each lemma, by part of speech."""
    forms: dict[str, dict[str, list[str]]] = {}
    for part in "nvar":
        of_part: dict[str, list[str]] = defaultdict(list)
        for form, lemmas in reader._exception_map[part].items():
            for lemma in lemmas:
                of_part[lemma].append(form)
        forms[part] = {lemma: sorted(found) for lemma, found in of_part.items()}
    return forms


def pair_forms(
    senses: list[Sense], irregular: Mapping[str, Mapping[str, list[str]]], unfit: set[str]
) -> Iterator[tuple[str, str, float]]:
    """Yield each form, a synonym in the same form, and a weight: how surely they mean the same, how common it is."""
    members: dict[str, list[Sense]] = defaultdict(list)
    of_form: dict[str, list[tuple[Sense, str]]] = defaultdict(list)
    total: dict[str, float] = defaultdict(float)
    bases: dict[str, set[str]] = defaultdict(set)
    forms: dict[tuple[str, str], dict[str, str]] = {}
    for sense in senses:
        key = (sense.lemma, sense.part)
        if key not in forms:
            forms[key] = {"base": sense.lemma, **inflect(*key, irregular[sense.part])}
        members[sense.synset].append(sense)
        bases[sense.lemma].add(sense.part)
        for kind, form in forms[key].items():
            of_form[form].append((sense, kind))
            total[form] += sense.uses
    for form, found in of_form.items():
        for sense, kind in found:
            share = sense.uses / total[form]
            verbal = kind in {"ing", "past"} and any(part != "v" for part in bases[form])  # `boring` is an adjective
            if share < LEAST_SHARE or verbal or sense.synset in unfit:
                continue
            for other in members[sense.synset]:
                theirs = other.uses / total[other.lemma]
                same_form = forms[other.lemma, other.part].get(kind)
                rarer = other.uses < 1 <= sense.uses
                if theirs >= LEAST_SHARE and not rarer and same_form and same_form != form:
                    yield form, same_form, share * theirs * min(other.uses, 50.0)


def make_table(reader: Any, stopwords: set[str]) -> pl.DataFrame:
    """Return the table: `word`, `synonyms` (best first) and their `weights` from 1 to 255, sorted by word."""
    senses = read_senses(reader)
    pairs = pair_forms(senses, irregular_forms(reader), unfit_synsets(reader))
    table = pl.DataFrame(
        list(pairs), schema={"word": pl.String, "synonym": pl.String, "weight": pl.Float64}, orient="row"
    )
    table = table.filter(~pl.col("word").is_in(stopwords), ~pl.col("synonym").is_in(stopwords))
    table = table.group_by("word", "synonym").agg(pl.col("weight").sum())
    table = table.sort("word", "weight", "synonym", descending=[False, True, False])
    weight = (pl.col("weight") / pl.col("weight").max().over("word") * 255).ceil().cast(pl.UInt8)
    table = table.with_columns(weight).filter(pl.col("weight") >= 8)
    return table.group_by("word", maintain_order=True).agg(
        pl.col("synonym").head(MOST_SYNONYMS).alias("synonyms"), pl.col("weight").head(MOST_SYNONYMS).alias("weights")
    )


def read_license(folder: Path) -> str:
    """Take the licence out of the head of a data file, where each line is numbered."""
    lines = (folder / "data.noun").read_text(encoding="ascii").splitlines()
    return "".join(line[4:].rstrip() + "\n" for line in lines if line.startswith(" "))


def main() -> None:
    """Write the table and the licence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path, help="folder with the files of WordNet 3.0")
    parser.add_argument("out", type=Path, help="folder to write to")
    arguments = parser.parse_args()
    from stopwordsiso import stopwords

    reader = open_wordnet(arguments.wordnet.resolve())
    make_table(reader, set(stopwords("en"))).write_ipc(arguments.out / "english_synonyms.arrow", compression="zstd")
    (arguments.out / "WORDNET_LICENSE.txt").write_text(read_license(arguments.wordnet), encoding="ascii")


if __name__ == "__main__":
    main()
