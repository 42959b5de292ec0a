"""Scores of texts that a model wrote, by sacrebleu (Post 2018), with the signatures that make them comparable."""

from collections.abc import Sequence

import polars as pl

from sftdata.training.metrics.scores import Scores


def score_texts(references: Sequence[str], found: Sequence[str]) -> Scores:
    """Score one text an example against one reference each; at least one example, empty texts are welcome.

    Returns:
        `bleu` and `chrf` from 0 to 100, over all texts together. Details: `bleu_signature` and `chrf_signature`, which
        tell all that the numbers depend on, and `empty_predictions`.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    bleu = BLEU(tokenize=choose_tokenizer(references), force=True)  # it would only log that texts look tokenised
    chrf = CHRF()
    figures = {
        name: metric.corpus_score(found, [references]).score for name, metric in (("bleu", bleu), ("chrf", chrf))
    }
    return Scores.make(
        figures,
        {
            "bleu_signature": str(bleu.get_signature()),
            "chrf_signature": str(chrf.get_signature()),
            "empty_predictions": sum(not text.strip() for text in found),
        },
    )


def choose_tokenizer(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for these texts, by what most of their letters are.

    `zh` for Chinese characters, `char` for other writing without spaces between words (Japanese, Thai, Lao, Khmer,
    Burmese), else `13a`, which is sacrebleu's own choice.
    """
    texts = pl.Series(references, dtype=pl.String)
    letters, chinese, unspaced = (
        texts.str.count_matches(pattern).sum() for pattern in (r"\p{L}", r"\p{Han}", _UNSPACED)
    )
    if 2 * chinese > letters:
        return "zh"
    return "char" if 2 * unspaced > letters else "13a"


_UNSPACED = r"[\p{L}&&[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
