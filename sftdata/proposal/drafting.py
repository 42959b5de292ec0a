"""Draft a schema from what was found in the columns and the parts that they play."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sftdata.proposal import names
from sftdata.proposal.lengths import describe_lengths, describe_range
from sftdata.proposal.misspelling import doubt_labels, find_misspelt
from sftdata.proposal.parts import Columns, Doubt, Guess, find_separator, plain
from sftdata.proposal.profiles import Profile
from sftdata.records import Task
from sftdata.schema import Schema

LABELS = 100
"""Most labels that a schema lists one by one."""

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class DraftColumn:
    """A column as the schema will have it.

    Attributes:
        name: what it is called.
        settings: its keys and values as in YAML.
        note: what was found in it, for people.
        counts: how many rows have each of the values that its checks list.
        used: whether the schema has it; the others are written down as comments.
        left_out: labels that its checks do not list, for they are probably others misspelt, with those.
    """

    name: str
    settings: dict[str, Any]
    note: str
    counts: Mapping[str, int] = field(default_factory=dict)
    used: bool = True
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A schema in the making."""

    name: str
    task: Task | None
    columns: tuple[DraftColumn, ...]
    parts: dict[str, str]
    doubts: tuple[Doubt, ...]

    def to_schema(self) -> Schema:
        """Return the schema that the draft says."""
        columns = {column.name: column.settings for column in self.columns if column.used}
        return Schema.model_validate({"name": self.name, "task": self.task, "columns": columns, "parts": self.parts})


def draft_schema(name: str, columns: Columns, guess: Guess, *, whole: bool) -> Draft:
    """Say of each column what the schema will ask of it.

    Args:
        name: the name of the schema.
        columns: what is in them.
        guess: the task and the parts.
        whole: whether all rows were looked at, so that there is no label beside those that were found.
    """
    parts = {column: part for part, column in guess.parts.items()}
    drafted, doubts = [], list(guess.doubts)
    for profile in columns.values():
        part = parts.get(profile.name)
        column = _DRAFTS[part](profile, guess) if part else _draft_other(profile, guess)
        drafted.append(column)
        doubts += _doubt_column(profile, column, part)
        if not whole and column.settings.get("checks", {}).keys() & {"isin", "entries_isin"}:
            text = "not all rows were looked at: a rarer one that is not listed here is rejected"
            doubts.append(Doubt(profile.name, text))
    return Draft(name, guess.task, tuple(drafted), dict(guess.parts), tuple(doubts))


def _draft_text(profile: Profile, guess: Guess) -> DraftColumn:
    settings = {"dtype": "str", **_coerce(profile), "checks": {"not_blank": True}}
    return DraftColumn(profile.name, settings, describe_lengths(profile.texts))


def _draft_optional(profile: Profile, guess: Guess) -> DraftColumn:
    note = f"{_share(profile)}, {describe_lengths(profile.texts)}"
    return DraftColumn(profile.name, {"dtype": "str", **_coerce(profile), "nullable": True, "required": False}, note)


def _share(profile: Profile) -> str:
    return f"in {len(profile.values):,} of {profile.rows:,} rows" if profile.missing else "in every row"


def _coerce(profile: Profile) -> dict[str, bool]:
    return {"coerce": True} if profile.coerce else {}


def _draft_label(profile: Profile, guess: Guess) -> DraftColumn:
    few = len(profile.counts) <= LABELS and profile.is_label
    left_out = find_misspelt(profile.counts) if few else {}
    checks = {"isin": sorted(profile.counts.keys() - left_out)} if few else {"not_blank": True}
    settings = {"dtype": "str", **_coerce(profile), "checks": checks}
    return DraftColumn(profile.name, settings, describe_labels(profile.counts), profile.counts, left_out=left_out)


def _draft_labels(profile: Profile, guess: Guess) -> DraftColumn:
    separator = find_separator(profile) if profile.dtype == "str" else None
    counts = _count_parts(profile.counts, separator) if separator else profile.entries
    checks, left_out = _list_entries(counts)
    settings = {"dtype": "list[str]", **({"separator": separator} if separator else {}), "checks": checks}
    return DraftColumn(profile.name, settings, describe_labels(counts), counts, left_out=left_out)


def _list_entries(counts: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, str]]:
    if not 0 < len(counts) <= LABELS:
        return {"no_blank_entry": True}, {}
    left_out = find_misspelt(counts)
    return {"entries_isin": sorted(counts.keys() - left_out)}, left_out


def _count_parts(counts: Mapping[str, int], separator: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for text, count in counts.items():
        for entry in text.split(separator):
            found[entry.strip()] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _draft_score(profile: Profile, guess: Guess) -> DraftColumn:
    return DraftColumn(profile.name, {"dtype": "float"}, _describe_numbers(profile))


def _draft_weight(profile: Profile, guess: Guess) -> DraftColumn:
    note = f"what the loss of a row is multiplied by: {_describe_numbers(profile)}"
    nullable = {"nullable": True} if profile.missing else {}
    return DraftColumn(profile.name, {"dtype": "float", **nullable}, note)


def _describe_numbers(profile: Profile) -> str:
    numbers = sorted(float(text) for text in profile.texts if _is_number(text))
    return f"{numbers[0]:g} to {numbers[-1]:g}, median {numbers[(len(numbers) - 1) // 2]:g}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _draft_tokens(profile: Profile, guess: Guess) -> DraftColumn:
    note = describe_range([len(value) for value in profile.values], "tokens")
    return DraftColumn(profile.name, {"dtype": "list[str]", "checks": {"list_length": {"min_value": 1}}}, note)


def _draft_tags(profile: Profile, guess: Guess) -> DraftColumn:
    listed, left_out = _list_entries(profile.entries)
    scheme = find_scheme([tag for tag in profile.entries if tag not in left_out])
    checks = {"as_long_as": guess.parts["tokens"], **({"legal_tags": scheme} if scheme else {}), **listed}
    note = f"{len(profile.entries)} tags" + (f" of the scheme {scheme}" if scheme else "")
    settings = {"dtype": "list[str]", "checks": checks}
    return DraftColumn(profile.name, settings, note, profile.entries, left_out=left_out)


def find_scheme(tags: Iterable[str]) -> str | None:
    """Return the scheme whose letters the tags begin with; None where they are of none, or bare."""
    kinds = [tag for tag in tags if tag != "O"]
    if not kinds or not all(tag[1:2] == "-" and tag[2:] for tag in kinds):
        return None
    letters = {tag[0] for tag in kinds}
    schemes = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}
    return next((scheme for scheme, known in schemes.items() if letters <= set(known)), None)


def _draft_messages(profile: Profile, guess: Guess) -> DraftColumn:
    role, content = profile.turn_keys
    turns = [turn for value in profile.values if isinstance(value, list) for turn in value if isinstance(turn, dict)]
    spoken = Counter(turn[role] for turn in turns if isinstance(turn.get(role), str))
    roles = {theirs: ours for theirs in sorted(spoken) if (ours := _our_role(theirs)) not in (None, theirs)}
    tools = "tools" in guess.parts or any("tool_calls" in turn for turn in turns)
    tools |= not {"tool", "tool_calls"}.isdisjoint(roles.get(theirs, theirs) for theirs in spoken)
    checks = {
        "known_roles": [*ROLES, "tool"] if tools else list(ROLES),
        "roles_alternate": {"tools": True} if tools else True,
        "ends_with_response": True,
        "no_blank_turn": True,
    }
    keys = {} if (role, content) == ("role", "content") else {"keys": {"role": role, "content": content}}
    settings = {"dtype": "messages", **keys, **({"roles": roles} if roles else {}), "checks": checks}
    said = ", ".join(f"{theirs} ({count:,})" for theirs, count in sorted(spoken.most_common(8)))
    lengths = [len(value) for value in profile.values if isinstance(value, list)]
    note = f"{describe_range(lengths, 'turns')}; {said}"
    return DraftColumn(profile.name, settings, note)


def _our_role(theirs: str) -> str | None:
    return names.ROLES.get(theirs.strip().lower())


def _draft_history(profile: Profile, guess: Guess) -> DraftColumn:
    settings = {"dtype": "pairs", "nullable": True, "required": False, "checks": {"whole_pairs": True}}
    filled = sum(bool(value) for value in profile.values)
    return DraftColumn(profile.name, settings, f"{filled:,} of {profile.rows:,} rows have earlier exchanges")


def _draft_tools(profile: Profile, guess: Guess) -> DraftColumn:
    note = _share(profile)
    return DraftColumn(profile.name, {"dtype": "json", "nullable": True, "required": False}, note)


def _draft_other(profile: Profile, guess: Guess) -> DraftColumn:
    nullable = {"nullable": True} if profile.missing else {}
    if profile.dtype == "messages":  # two columns of conversations: the other is left alone
        return DraftColumn(profile.name, {"dtype": "json", **nullable}, "conversations", used=False)
    settings = {"dtype": profile.dtype, **nullable} | (_coerce(profile) if profile.dtype == "str" else {})
    is_id = plain(profile.name) in names.ID and profile.dtype in ("str", "int") and profile.is_distinct
    settings |= {"unique": True} if is_id else {}
    return DraftColumn(profile.name, settings, _describe_other(profile), used=is_id or guess.task is None)


_DRAFTS = {
    **dict.fromkeys(
        ("text", "text_pair", "source", "target", "instruction", "response", "prompt", "completion"), _draft_text
    ),
    **dict.fromkeys(("input", "system"), _draft_optional),
    "label": _draft_label,
    "labels": _draft_labels,
    "score": _draft_score,
    "weight": _draft_weight,
    "tokens": _draft_tokens,
    "tags": _draft_tags,
    "messages": _draft_messages,
    "history": _draft_history,
    "tools": _draft_tools,
}
"""How the column of each part is drafted."""


def describe_labels(counts: Mapping[str, int]) -> str:
    """Say how many labels there are, and which are the most and the least frequent."""
    if len(counts) <= 5:
        shown = ", ".join(f"{label} ({count:,})" for label, count in counts.items())
        return f"{len(counts)} label{'s' * (len(counts) != 1)}: {shown}"
    (most, many), *_, (least, few) = counts.items()
    return f"{len(counts):,} labels, from {most} ({many:,}) to {least} ({few:,})"


def _describe_other(profile: Profile) -> str:
    if not profile.values:
        return "empty in all rows"
    if profile.is_distinct and len(profile.values) > 1:
        return "another value in each row"
    if profile.dtype in ("list[str]", "pairs", "json", "messages"):
        return _share(profile)
    shown = ", ".join(list(profile.counts)[:5])
    if len(profile.counts) <= 5:
        return f"only {shown}"
    return f"{len(profile.counts):,} different values"


def _doubt_column(profile: Profile, column: DraftColumn, part: str | None) -> Iterator[Doubt]:
    """Find what a person should look at in one column."""
    about = profile.name
    if part in ("label", "labels", "tags"):
        yield from doubt_labels(about, column.counts, column.left_out)
    if part == "messages":
        role = profile.turn_keys[0]
        talks = [value for value in profile.values if isinstance(value, list)]
        spoken = Counter(turn.get(role) for talk in talks for turn in talk if isinstance(turn, dict))
        if strange := sorted(f"{theirs!r}" for theirs in spoken if isinstance(theirs, str) and not _our_role(theirs)):
            yield Doubt(
                about, f"who is {', '.join(strange[:5])}? Rows with such a role are rejected; map it under `roles`"
            )
    if part is None and plain(about) in names.ID and profile.dtype in ("str", "int") and not profile.is_distinct:
        repeated = len(profile.values) - len(profile.counts)
        found = {"repeat another's": repeated, "are missing": profile.missing}
        said = " and ".join(f"{count:,} {what}" for what, count in found.items() if count)
        yield Doubt(about, f"of its values {said}: not asked to be unique")
