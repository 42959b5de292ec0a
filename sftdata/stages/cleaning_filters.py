"""Find the rows whose texts are too short or long, in another language, or made of symbols, digits or repetitions."""

from collections.abc import Iterator

import polars as pl

from sftdata.settings.cleaning import LanguageFilter, Range, RepetitionFilter
from sftdata.text.cleaner import Cleaner
from sftdata.text.language import detect_languages
from sftdata.text.repetition import measure_repeated_lines, measure_repeated_ngrams
from sftdata.text.segmentation import WORD

FAULTS = pl.Schema({"row": pl.UInt32(), "reason": pl.String(), "detail": pl.String()})
"""Faults found in rows: the row, the word for it, and for people what was found and expected."""


def filter_texts(texts: pl.Series, cleaner: Cleaner) -> pl.DataFrame:
    """Measure one text a row, as the settings of `cleaner` ask.

    Args:
        texts: String, shape `[rows]`, named as its field; nothing is said of a null, and of a blank text only that
            it is too short.
        cleaner: whose filters are applied.

    Returns:
        Faults with the columns of `FAULTS`, in the order of the filters.
    """
    texts = texts.rechunk()  # pl.format of polars 2.1 panics on some columns of several chunks
    rows = texts.is_not_null().arg_true()
    found = list(_check_lengths(texts.drop_nulls(), cleaner))
    filled = texts.str.contains(r"\S").fill_null(False)
    contents = _check_contents(texts.filter(filled), cleaner)
    parts = [_at(rows, part) for part in found] + [_at(filled.arg_true(), part) for part in contents]
    details = pl.format("{}: {}", pl.lit(texts.name), "detail")
    return pl.concat([pl.DataFrame(schema=FAULTS), *parts], rechunk=True).with_columns(details.alias("detail"))


def _at(rows: pl.Series, faults: pl.DataFrame) -> pl.DataFrame:
    return faults.with_columns(rows.gather(faults["row"]).cast(pl.UInt32).alias("row"))


def _check_lengths(texts: pl.Series, cleaner: Cleaner) -> Iterator[pl.DataFrame]:
    settings = cleaner.settings
    if settings.characters:
        yield _check_range(texts.str.len_chars(), settings.characters, "characters")
    if settings.words:
        yield _check_range(cleaner.segmenter.count_words(texts), settings.words, "words")
    if settings.tokens and cleaner.count_tokens:
        yield _check_range(cleaner.count_tokens(texts), settings.tokens, "tokens")


def _check_range(lengths: pl.Series, limits: Range, unit: str) -> pl.DataFrame:
    """Find lengths below the least or above the most."""
    lengths, found = lengths.cast(pl.Int64), [pl.DataFrame(schema=FAULTS)]
    if limits.min is not None:
        lost = lengths < limits.min
        detail = pl.format(f"found {{}} {unit}, expected at least {limits.min}", lengths.filter(lost))
        found.append(_faults(lost, f"too_short:{unit}", detail))
    if limits.max is not None:
        lost = lengths > limits.max
        detail = pl.format(f"found {{}} {unit}, expected at most {limits.max}", lengths.filter(lost))
        found.append(_faults(lost, f"too_long:{unit}", detail))
    return pl.concat(found)


def _check_contents(texts: pl.Series, cleaner: Cleaner) -> Iterator[pl.DataFrame]:
    settings = cleaner.settings
    if settings.language:
        yield _check_language(texts, settings.language)
    for limit, sign, name in (
        (settings.max_symbols, r"[\p{P}\p{S}]", "symbols"),
        (settings.max_digits, r"\p{Nd}", "digits"),
    ):
        if limit is not None:
            share = texts.str.count_matches(sign) / (texts.str.len_chars() - texts.str.count_matches(r"\s"))
            yield _check_share(share, limit, f"too_many:{name}", f"of characters that are {name}")
    if settings.repetition:
        yield from _check_repetition(texts, settings.repetition, cleaner)


def _check_language(texts: pl.Series, settings: LanguageFilter) -> pl.DataFrame:
    found = detect_languages(texts)
    lost = ~found["language"].is_in(list(settings.keep)) | (found["confidence"] < settings.confidence)
    language, confidence = found["language"].filter(lost), found["confidence"].filter(lost).round(3)
    expected = f"one of {', '.join(settings.keep)} with at least {settings.confidence:g}"
    detail = pl.format(f"found {{}} with confidence {{}}, expected {expected}", language, confidence)
    return _faults(lost, "language", detail)


def _check_repetition(texts: pl.Series, limits: RepetitionFilter, cleaner: Cleaner) -> Iterator[pl.DataFrame]:
    if limits.lines is not None or limits.line_characters is not None:
        lines = measure_repeated_lines(texts)
        for name, limit in (("lines", limits.lines), ("line_characters", limits.line_characters)):
            if limit is not None:
                yield _check_share(lines[name], limit, f"repeated:{name}", "in repeated lines")
    sizes = sorted(limits.top_ngrams.keys() | limits.duplicate_ngrams.keys())
    if not sizes:
        return
    words = cleaner.segmenter.split_column(texts).list.eval(pl.element().filter(pl.element().str.contains(WORD)))
    for size in sizes:
        shares = measure_repeated_ngrams(words, size)
        for name, limit in (("top", limits.top_ngrams.get(size)), ("duplicate", limits.duplicate_ngrams.get(size))):
            if limit is not None:
                yield _check_share(shares[name], limit, f"repeated:{name}_ngrams", f"in repeated {size}-grams")


def _check_share(shares: pl.Series, limit: float, reason: str, what: str) -> pl.DataFrame:
    lost = shares > limit
    detail = pl.format(f"found a share of {{}} {what}, expected at most {limit:g}", shares.filter(lost).round(3))
    return _faults(lost, reason, detail)


def _faults(lost: pl.Series, reason: str, detail: pl.Expr) -> pl.DataFrame:
    """Put the rows that are `lost` beside their reason and their details, one of which there is for each."""
    columns = lost.arg_true().alias("row"), pl.lit(reason).alias("reason"), detail.alias("detail")
    return pl.select(columns).cast(FAULTS)
