"""Scores of one tag a word: of the tags, and of the entities that they spell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.training.metrics.classification import classification_scores, describe_classes, show_confusions
from sftdata.training.metrics.counts import Counts, Ints
from sftdata.training.metrics.scores import Figure, Scores

Tags = NDArray[np.integer]
"""The tag of each word as its place in the names, words of all rows one after another, shape `[words]`."""

SCHEMES = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}
"""The letters before the hyphen, as the check `legal_tags` of a schema has them. IOB1 has those of BIO."""


def score_tags(targets: Tags, found: Tags, names: Sequence[str], lengths: Ints) -> Scores:
    """Score one tag a word, and the entities where the names follow a scheme.

    Args:
        targets: without words that have no label; at least one word.
        found: the predicted tags.
        names: of the tags.
        lengths: how many of the words each row has, shape `[rows]`; no entity crosses from one row to the next.

    Returns:
        `accuracy`, `micro_f1`, `macro_f1`, `macro_precision` and `macro_recall` of tags; `entity_f1`,
        `entity_precision` and `entity_recall` over all entities, and `entity_macro_f1`, the mean over kinds. Details:
        `per_class`, `confusion_matrix`, `scheme`, and `per_entity`, the scores of each kind.
    """
    figures: dict[str, Figure] = {**classification_scores(targets, found, len(names))}
    details: dict[str, Any] = {"per_class": describe_classes(targets, found, names)}
    scheme = find_scheme(names)
    if scheme is None:
        why = f"the tags follow none of {', '.join(SCHEMES)}"
        figures |= dict.fromkeys(("entity_f1", "entity_precision", "entity_recall", "entity_macro_f1"), why)
    else:
        counts = count_entities(targets, found, names, lengths)
        figures |= {name.replace("micro", "entity"): value for name, value in counts.micro().items()}
        figures["entity_macro_f1"] = counts.macro()["macro_f1"]
        details |= {"scheme": scheme, "per_entity": counts.describe(_kinds(names))}
    return Scores.make(figures, details) | show_confusions(targets, found, len(names))


def find_scheme(names: Sequence[str]) -> str | None:
    """Return the first scheme that has the letters of all these tags; None for other names, or `O` alone."""
    tags = [name for name in names if name != "O"]
    if not tags or any(name[1:2] != "-" or len(name) < 3 for name in tags):
        return None
    letters = {name[0] for name in tags}
    return next((scheme for scheme, known in SCHEMES.items() if letters <= set(known)), None)


def count_entities(targets: Tags, found: Tags, names: Sequence[str], lengths: Ints) -> Counts:
    """Count entities of each kind; a hit has the same first word, last word and kind."""
    kinds = len(_kinds(names))
    true, predicted = find_spans(targets, names, lengths), find_spans(found, names, lengths)
    _, of_true, of_predicted = np.intersect1d(true.starts, predicted.starts, assume_unique=True, return_indices=True)
    hit = true.ends[of_true] == predicted.ends[of_predicted]
    hit &= true.kinds[of_true] == predicted.kinds[of_predicted]
    hits = true.kinds[of_true[hit]]
    return Counts(*(np.bincount(places, minlength=kinds) for places in (true.kinds, predicted.kinds, hits)))


@dataclass(frozen=True)
class Spans:
    """Entities in the order of their words; each of shape `[entities]`, int64.

    Attributes:
        starts: the first word.
        ends: the last word.
        kinds: the place of the kind among the sorted kinds.
    """

    starts: Ints
    ends: Ints
    kinds: Ints


def find_spans(tags: Tags, names: Sequence[str], lengths: Ints) -> Spans:
    """Find the entities that tags of a scheme spell, legal or not, by the rules of conlleval (CoNLL-2000 shared task).

    An entity begins at a word that is not `O` where a row begins, after an `O`, at a `B` or `S`, after an `E` or `S`,
    and where the kind changes; it goes on to the word before the next beginning or `O`. `M`, `L` and `U` are what `I`,
    `E` and `S` are. So does seqeval in its default mode, which however knows no `M`, `L` and `U`.
    """
    kind_of = {kind: place for place, kind in enumerate(_kinds(names))}
    kind = np.array([-1 if name == "O" else kind_of[name[2:]] for name in names])[tags]
    opens = np.array([name[0] in "BSU" for name in names])[tags]
    closes = np.array([name[0] in "ESLU" for name in names])[tags]
    first = np.zeros(len(tags) + 1, dtype=np.bool_)  # one more, for empty rows at the end
    first[np.cumsum(lengths) - lengths] = True
    begins, inside = first[:-1] | opens, kind >= 0
    begins[1:] |= closes[:-1] | (kind[1:] != kind[:-1])
    begins &= inside
    ends = inside & np.append(begins[1:] | ~inside[1:], True)
    starts = np.flatnonzero(begins)
    return Spans(starts, np.flatnonzero(ends), kind[starts])


def _kinds(names: Sequence[str]) -> list[str]:
    return sorted({name[2:] for name in names if name != "O"})
