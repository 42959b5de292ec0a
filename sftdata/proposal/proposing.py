"""Look at data and propose how to read, check and prepare it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError
from sftdata.proposal import names
from sftdata.proposal.drafting import Draft, draft_schema
from sftdata.proposal.judging import Verdict, judge, loosen
from sftdata.proposal.lengths import Lengths, measure_tokens, propose_max_length
from sftdata.proposal.parts import Columns, Doubt, Guess, guess_task, plain
from sftdata.proposal.profiles import Profile, profile_columns
from sftdata.proposal.sample import Sample, read_sample
from sftdata.records import Task
from sftdata.schema import load_schema, schema_directory
from sftdata.settings.sources import SourceSettings
from sftdata.sources.parsing import MissingColumns
from sftdata.tokenizers.loading import Tokenizer, load_tokenizer

EXAMPLES = {
    Task.CAUSAL_LM: ("Qwen/Qwen3-0.6B", 32_768),
    Task.SEQ2SEQ: ("google/umt5-small", 512),
    Task.TEXT_CLASSIFICATION: ("google-bert/bert-base-multilingual-cased", 512),
}
"""A tokenizer for each task where none is given, for English and Chinese, and the most tokens that its model takes."""

OPTIONAL = ("input", "system", "history", "tools", "weight")
"""Parts that a row may lack."""

RARE = 20
"""Rows below which a label may be missing in a small part."""


@dataclass(frozen=True)
class Proposal:
    """What init found and proposes.

    Attributes:
        file: how the person called the data.
        sample: what was looked at.
        draft: the schema.
        shipped: the schema that ships and fits as it is, to be used instead of the draft.
        verdict: what the schema says to the sample.
        tokenizer: the tokenizer of the recipe.
        lengths: how many tokens an example has; None without a task.
        max_length: the most tokens that an example may have.
        truncate: whether longer ones are to be cut, for the model takes no more.
        doubts: all that is unsure.
    """

    file: str
    sample: Sample
    draft: Draft
    shipped: str | None
    verdict: Verdict
    tokenizer: str
    lengths: Lengths | None
    max_length: int
    truncate: bool
    doubts: tuple[Doubt, ...]

    @property
    def options(self) -> str:
        """What the command line needs to read the data as it was read here."""
        settings = self.sample.settings
        chosen = f" --format {settings.format}" if settings.format else ""
        return chosen + (f" --header {','.join(settings.header)}" if isinstance(settings.header, tuple) else "")


def propose(file: str, tokenizer_name: str | None = None) -> Proposal:
    """Look at `file`, a path, pattern or directory, and propose a schema and what a recipe says.

    Raises:
        SourceError: when it cannot be read.
        NothingToWrite: when it holds no record.
        TokenizerError: when the tokenizer is not there.
    """
    tokenizer = load_tokenizer(tokenizer_name) if tokenizer_name else None
    sample, columns, doubts = _read(file)
    guess = guess_task(columns)
    draft = draft_schema(name_after(file), columns, guess, whole=sample.whole)
    draft, verdict = _settle(draft, sample)
    shipped, verdict = find_shipped(draft, sample, verdict)
    whole = find_whole(sample.records, guess)
    lengths = measure_tokens(whole, guess.task, guess.parts, tokenizer) if guess.task and whole else None
    name, limit = _choose_tokenizer(tokenizer, guess.task)
    wanted = propose_max_length(lengths) if lengths else limit
    doubts += [*draft.doubts, *_doubt_repeats(whole, guess), *_doubt_split(columns, draft)]
    if wanted > limit:
        doubts.append(Doubt("max_length", f"99% of the examples need {wanted:,}, but {name} takes {limit:,} at most"))
    if tokenizer is None and guess.task:
        doubts.append(Doubt("tokenizer", "none was given; this one is an example, put that of your model"))
    doubts += _doubt_verdict(verdict)
    return Proposal(
        *(file, sample, draft, shipped, verdict, name, lengths),
        *(min(wanted, limit), wanted > limit, tuple(doubts)),
    )


def name_after(file: str) -> str:
    """Return a name for the schema and its file, after that of the data."""
    path = Path(file)
    path = path.parent if any(sign in path.name for sign in "*?[") else path
    return re.sub(r"\W+", "_", path.resolve().name.lstrip(".").partition(".")[0]).strip("_").lower() or "data"


def _read(file: str) -> tuple[Sample, Columns, list[Doubt]]:
    sample = read_sample(SourceSettings(path=file))
    columns = Columns(profile_columns(sample.records, sample.format))
    if not columns:
        raise SourceError(f"{file}: no column that a schema can name; found {', '.join(map(repr, sample.records[0]))}")
    doubts = list(_doubt_reading(sample, columns))
    if sample.format not in ("csv", "tsv") or not lacks_header(list(sample.records[0]), columns):
        return sample, columns, doubts
    unnamed = tuple(f"column_{place}" for place in range(1, len(sample.records[0]) + 1))
    sample, columns = _read_with(sample, unnamed)
    chosen = _name_columns(columns)
    sample, columns = _read_with(sample, chosen)
    text = f"the file has no header, so its columns are called {', '.join(chosen)}"
    return sample, columns, [Doubt("sources", text), *doubts]


def _read_with(sample: Sample, header: tuple[str, ...]) -> tuple[Sample, Columns]:
    sample = read_sample(sample.settings.model_copy(update={"header": header}))
    return sample, Columns(profile_columns(sample.records, sample.format))


def lacks_header(header: Sequence[str], columns: Mapping[str, Profile]) -> bool:
    """Tell whether the first line is a record: its fields are like those below, and none is a name that we know."""
    if any(plain(name) in names.KNOWN for name in header):
        return False
    alike = sum(_is_like_values(name, columns.get(name)) for name in header)
    return alike > 0 and 2 * alike >= len(header)


def _is_like_values(name: str, profile: Profile | None) -> bool:
    if profile is None or len(name) > 60:
        return len(name) > 60
    if profile.dtype in ("int", "float"):
        return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", name) is not None
    return (profile.is_label and name in profile.counts) or (profile.length >= 20 and len(name) >= 20 and " " in name)


def _name_columns(columns: Columns) -> tuple[str, ...]:
    """Name columns after the parts that they play by what is in them."""
    parts = {name: part for part, name in guess_task(columns).parts.items()}
    chosen = {
        name: "id" if profile.dtype == "int" and profile.is_distinct and place == 0 else parts.get(name, name)
        for place, (name, profile) in enumerate(columns.items())
    }
    return tuple(chosen.values())


def _settle(draft: Draft, sample: Sample) -> tuple[Draft, Verdict]:
    verdict = judge(sample.chunks, draft.to_schema())
    looser = loosen(draft, verdict)
    if not any(column.used for column in looser.columns):
        raise SourceError(f"no column of a type that a schema can have; found {', '.join(verdict.reasons)}")
    return (draft, verdict) if looser == draft else (looser, judge(sample.chunks, looser.to_schema()))


def find_shipped(draft: Draft, sample: Sample, verdict: Verdict) -> tuple[str | None, Verdict]:
    """Return the schema that ships and says what the draft says, if one does, and its verdict; else the draft's.

    It fits when it has the draft's columns in the same parts and checks all that the draft checks, and takes the rows
    that the draft takes.
    """
    for path in sorted(schema_directory().glob("*.yaml")):
        shipped = load_schema(path.stem)
        if shipped.task != draft.task or not draft.task or not _says_all(shipped.columns, shipped.parts, draft):
            continue
        try:
            its_verdict = judge(sample.chunks, shipped)
        except MissingColumns:
            continue
        if its_verdict.rejected <= verdict.rejected:
            return path.stem, its_verdict
    return None, verdict


def _says_all(columns: Mapping[str, Any], parts: Mapping[str, str], draft: Draft) -> bool:
    used = {column.name: column for column in draft.columns if column.used}
    needed = {name for name, column in columns.items() if column.required}
    if not needed <= used.keys() <= columns.keys() or not draft.parts.items() <= parts.items():
        return False
    checked = all(
        column.settings.get("checks", {}).keys() <= columns[name].checks.keys() for name, column in used.items()
    )
    return checked and not any(column.settings.get("unique") for column in used.values())


def _choose_tokenizer(tokenizer: Tokenizer | None, task: Task | None) -> tuple[str, int]:
    """Return the recipe's tokenizer, and the most tokens that its model takes."""
    if tokenizer is None:
        return EXAMPLES.get(task or Task.CAUSAL_LM, EXAMPLES[Task.TEXT_CLASSIFICATION])
    limit = tokenizer.config.get("model_max_length")
    return tokenizer.name, limit if isinstance(limit, int) and limit < 2**24 else 2**24


def _doubt_reading(sample: Sample, columns: Columns) -> Iterator[Doubt]:
    confidence = re.search(r"confidence ([0-9.]+)", sample.found.get("encoding", ""))
    if confidence and float(confidence[1]) < 0.9:
        yield Doubt("sources", f"the encoding: {sample.found['encoding']}; if text looks wrong, give `encoding`")
    if sample.format in ("csv", "tsv") and len(columns) == 1:
        yield Doubt("sources", "only one column was found; if there are more, give `delimiter`")
    if sample.settings.format:
        yield Doubt("sources", f"the name does not tell the format; from its content it is {sample.settings.format}")


def find_whole(records: Sequence[Mapping[str, Any]], guess: Guess) -> list[Mapping[str, Any]]:
    """Return the records that have all that the task needs; none without a task."""
    needed = [name for part, name in guess.parts.items() if part not in OPTIONAL]
    return [record for record in records if needed and all(record.get(name) not in (None, "") for name in needed)]


def _doubt_repeats(records: Sequence[Mapping[str, Any]], guess: Guess) -> Iterator[Doubt]:
    """Find rows that say what another row says, and texts with more than one label."""
    answers: dict[str, set[str]] = {}
    shown = [name for part, name in guess.parts.items() if part not in ("label", "labels", "score", "tags")]
    given = [name for name in guess.parts.values() if name not in shown]
    for record in records:
        text = repr([record.get(name) for name in shown])
        answers.setdefault(text, set()).add(repr([record.get(name) for name in given]))
    if repeated := len(records) - len(answers):
        what = " and ".join(shown)
        stay = "they stay on one side of the split; deduplicate: {exact: true} drops them"
        yield Doubt(
            "split", f"{repeated:,} row{'s repeat' if repeated > 1 else ' repeats'} the {what} of another: {stay}"
        )
    if torn := sum(len(found) > 1 for found in answers.values()):
        yield Doubt(given[0], f"{torn:,} text{'s' * (torn != 1)} with more than one {given[0]}")


def _doubt_split(columns: Columns, draft: Draft) -> Iterator[Doubt]:
    group = columns.named(names.GROUP, "str", "int")
    if (
        draft.task
        and group
        and group not in draft.parts.values()
        and 1 < len(columns[group].counts) < columns[group].rows
    ):
        yield Doubt(
            "split", f"to keep the rows of one {group} together, have {group} checked and set split.group: {group}"
        )
    if draft.task == Task.TEXT_CLASSIFICATION:
        column = next(column for column in draft.columns if column.name == draft.parts["label"])
        counts = {label: count for label, count in column.counts.items() if label not in column.left_out}
        if rare := sum(count < RARE for count in counts.values()):
            yield Doubt(
                "split",
                f"{rare} of {len(counts)} labels have fewer than {RARE} rows: some will be missing in a small part",
            )


def _doubt_verdict(verdict: Verdict) -> Iterator[Doubt]:
    if verdict.rejected > 0.02 * verdict.rows:
        lost = f"{verdict.rejected:,} of {verdict.rows:,} rows are rejected"
        yield Doubt("max_rejected", f"{lost}: repair them, or raise this")
