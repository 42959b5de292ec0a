"""Guess what rows teach, and which part each column plays: by what columns are called, then by what is in them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sftdata.proposal import names
from sftdata.proposal.profiles import FAULTY, Profile
from sftdata.records import Task

SEPARATORS = ";|,、；，/"
"""What may stand between several labels in one text, the surest first."""


class Doubt(NamedTuple):
    """Something that a person should look at.

    Attributes:
        about: the column that it is about, or `task`, `sources`, `split`, `tokenizer`, `max_length`.
        text: what is unsure, and what to do if it is wrong.
    """

    about: str
    text: str


@dataclass(frozen=True)
class Guess:
    """A task, which column plays which part in it, and what is unsure about that."""

    task: Task | None = None
    parts: dict[str, str] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()


class Columns(dict[str, Profile]):
    """The profiles by name, and ways to look for one."""

    def named(self, known: tuple[str, ...], *dtypes: str) -> str | None:
        """Return the column of one of these dtypes with the surest of the known names, in any case."""
        by_name = {plain(name): name for name in reversed(self) if self[name].dtype in dtypes}
        return next((by_name[name] for name in known if name in by_name), None)

    def resembling(self, known: tuple[str, ...], candidates: Collection[str]) -> str | None:
        """Return the first candidate whose name has one of the known names in it, the surest name first."""
        return next((name for word in known for name in candidates if has_word(plain(name), word)), None)

    @property
    def text(self) -> str | None:
        """The column that is called a text and could be one; by a part of its name where none has just that name."""
        by_name = self.named(names.TEXT, "str")
        if by_name and not (self[by_name].is_label and self.prose):  # a "review" may say good or bad
            return by_name
        return self.resembling(names.TEXT, self.prose) or by_name

    def of(self, *dtypes: str) -> list[str]:
        """Return the columns of one of these dtypes."""
        return [name for name, profile in self.items() if profile.dtype in dtypes]

    @property
    def prose(self) -> list[str]:
        """The columns that hold text a model could learn from, the longest first."""
        found = [name for name in self.of("str") if self[name].is_prose]
        return sorted(found, key=lambda name: -self[name].length)


def has_word(name: str, word: str) -> bool:
    """Tell whether a name, as `plain` gives it, is made up with a word: `review_body`, `评论内容`."""
    return word in name if not word.isascii() and len(word) > 1 else word in name.split("_")


def plain(name: str) -> str:
    """Return a column's name as the lists of known names spell it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def guess_task(profiles: Mapping[str, Profile]) -> Guess:
    """Return the first task that the columns fit; none where no task fits, with the reason as a doubt."""
    columns = Columns(profiles)
    weight = columns.named(names.WEIGHT, "float", "int")
    rest = Columns({name: profile for name, profile in columns.items() if name != weight})
    for rule in _RULES:
        if guess := rule(rest):
            return _weigh(guess, columns, weight)
    return Guess(doubts=(Doubt("task", _no_task(columns)),))


def _weigh(guess: Guess, columns: Columns, weight: str | None) -> Guess:
    """Let rows count by the column that says how much."""
    if weight:
        return replace(guess, parts={**guess.parts, "weight": weight})
    other = columns.named(names.MAY_BE_WEIGHT, "float", "int")
    if other is None or other in guess.parts.values():
        return guess
    doubt = Doubt(other, "if this is how much a row counts in training, give it the part `weight`")
    return replace(guess, doubts=(*guess.doubts, doubt))


def _no_task(columns: Columns) -> str:
    deep = [name for name in columns.of("json") if columns[name].is_nested_conversation]
    if deep:
        return f"no task found; {deep[0]} holds turns in lists inside a list: flatten them to have conversations"
    shown = ", ".join(list(columns)[:6]) + (", ..." if len(columns) > 6 else "")
    return (
        f"no task found for the columns {shown}. If there is one, give `task` and `parts`: a text with its label, "
        "labels or score; a prompt with its completion; a conversation; tokens with their tags"
    )


def _conversation(columns: Columns) -> Guess | None:
    found = columns.of("messages")
    if not found:
        return None
    fullest = max(len(columns[name].values) for name in found)
    likely = Columns({name: columns[name] for name in found if 2 * len(columns[name].values) >= fullest})
    chosen = likely.named(names.MESSAGES, "messages") or next(iter(likely))
    doubts = [
        Doubt(chosen, f"{other} holds conversations too, and is left alone") for other in found if other != chosen
    ]
    return Guess(Task.CAUSAL_LM, {"messages": chosen} | _optional(columns, "system", "tools"), tuple(doubts))


def _optional(columns: Columns, *parts: str) -> dict[str, str]:
    """Find columns for parts that a conversation may have."""
    found = {
        "input": columns.named(names.INPUT, "str"),
        "system": columns.named(names.SYSTEM, "str"),
        "history": columns.named(names.HISTORY, "pairs", "list[str]"),
        "tools": columns.named(names.TOOLS, "json", "str", "list[str]", "pairs"),
    }
    return {part: name for part in parts if (name := found[part])}


def _tagging(columns: Columns) -> Guess | None:
    lists = columns.of("list[str]")
    tokens = columns.named(names.TOKENS, "list[str]") or max(
        lists, key=lambda name: len(columns[name].entries), default=None
    )
    fitting = [name for name in lists if tokens and name != tokens and _as_long(columns[tokens], columns[name])]
    if tokens is None or not fitting:
        return None
    chosen = columns.named(names.TAGS, "list[str]")
    tags = chosen if chosen in fitting else fitting[-1]
    others = ", ".join(f"{name} ({len(columns[name].entries)} tags)" for name in fitting if name != tags)
    doubts = (
        [Doubt(tags, f"as long as the tokens too: {others}; if one of these is meant, give it the part")]
        if others
        else []
    )
    return Guess(Task.TOKEN_CLASSIFICATION, {"tokens": tokens, "tags": tags}, tuple(doubts))


def _as_long(one: Profile, other: Profile) -> bool:
    if len(one.values) != len(other.values):
        return False
    differing = sum(len(a) != len(b) for a, b in zip(one.values, other.values, strict=True))
    return differing <= FAULTY * len(one.values)


def _instruction(columns: Columns) -> Guess | None:
    instruction = columns.named(names.INSTRUCTION, "str")
    response = columns.named(names.RESPONSE, "str")
    if not instruction or not response:
        return None
    parts = {"instruction": instruction, **_optional(columns, "input"), "response": response}
    return Guess(Task.CAUSAL_LM, parts | _optional(columns, "system", "history"))


def _completion(columns: Columns) -> Guess | None:
    prompt = columns.named(names.PROMPT, "str")
    completion = columns.named(names.COMPLETION, "str")
    if not prompt or not completion or prompt == completion:
        return None
    doubts = []
    if rejected := columns.named(("rejected",), "str"):
        doubts.append(Doubt(completion, f"{rejected} looks like preference data; only {completion} is learnt"))
    if (text := columns.named(names.INPUT[2:3], "str")) and text != prompt:
        doubts.append(Doubt(prompt, f"{text} is not part of the prompt; use parts instruction, input and response"))
    parts = {"prompt": prompt, "completion": completion, **_optional(columns, "system")}
    return Guess(Task.CAUSAL_LM, parts, tuple(doubts))


def _transformation(columns: Columns) -> Guess | None:
    source, target = columns.named(names.SOURCE, "str"), columns.named(names.TARGET, "str")
    languages = [name for name in columns.of("str") if plain(name) in names.LANGUAGES]
    if len(languages) >= 2:
        source, target = languages[:2]
    if not source or not target or source == target or columns[target].is_label:
        return None
    either = f"could also be learnt as a conversation: task causal_lm, parts {{prompt: {source}, completion: {target}}}"
    return Guess(Task.SEQ2SEQ, {"source": source, "target": target}, (Doubt("task", either),))


def _labelled(columns: Columns) -> Guess | None:
    """Find a text, or two, with a label, labels or a score, at least one of the two by its name."""
    pair = _pair(columns)
    by_name = pair[0] if pair else columns.text
    rest = Columns({name: profile for name, profile in columns.items() if name not in (by_name, *pair)})
    for task, part, found in _answers(rest):
        text = by_name or next((name for name in columns.prose if name != found), None)
        if text:
            parts = {"text": text, **({"text_pair": pair[1]} if pair else {}), part: found}
            return Guess(task, parts, tuple(_doubt_labelled(columns, task, parts, found)))
    return None


def _pair(columns: Columns) -> tuple[str, ...]:
    """Return the columns of two texts that have a label together, by their names; nothing where there are none."""
    found = ((columns.named((one,), "str"), columns.named((other,), "str")) for one, other in names.PAIRS)
    return next(((one, other) for one, other in found if one and other), ())


def _answers(columns: Columns) -> Iterator[tuple[Task, str, str]]:
    """Yield what a text may be mapped to, by name, the most telling first."""
    several = columns.named(names.LABELS, "list[str]")
    if not several and (name := columns.named(names.LABELS, "str")) and find_separator(columns[name]):
        several = name
    if several:
        yield Task.MULTILABEL, "labels", several
    label = columns.named(names.LABEL, "str", "int", "bool")
    label = label or columns.resembling(names.LABEL, [name for name in columns if columns[name].is_label])
    if label and (columns[label].is_label or plain(label).startswith(("label", "标签"))):
        yield Task.TEXT_CLASSIFICATION, "label", label
    if score := columns.named(names.SCORE, "float", "int"):
        yield Task.REGRESSION, "score", score
    if label:
        yield Task.TEXT_CLASSIFICATION, "label", label


def _doubt_labelled(columns: Columns, task: Task, parts: Mapping[str, str], found: str) -> Iterator[Doubt]:
    text = parts["text"]
    if task == Task.REGRESSION and columns[found].is_label:
        yield Doubt("task", f"{found} has {len(columns[found].counts)} values; to learn them as classes, take "
                    f"task text_classification, parts {{text: {text}, label: {found}}} and dtype str")  # fmt: skip
    if task == Task.MULTILABEL and columns[found].dtype == "str":
        yield Doubt(found, f"taken for several labels with {find_separator(columns[found])!r} between them")
    others = [name for name in columns.prose if name not in parts.values()]
    if others:
        yield Doubt(text, f"{', '.join(others)} hold{'s' * (len(others) == 1)} text too, and is not used")


def find_separator(profile: Profile) -> str | None:
    """Return what stands between several labels in one text; None where there is only one label in each.

    The parts must be fewer than the texts that they make up, short, and come again and again.
    """
    for separator in SEPARATORS:
        several = [text for text in profile.counts if separator in text]
        entries = {entry.strip() for text in profile.counts for entry in text.split(separator)}
        share = sum(profile.counts[text] for text in several) / max(1, len(profile.texts))
        few = len(entries) < len(profile.counts) and 3 * len(entries) <= len(profile.texts)
        if share >= 0.05 and few and "" not in entries and max(map(len, entries)) <= 60:
            return separator
    return None


def _by_content(columns: Columns) -> Guess | None:
    """Take the longest text, and the column that looks most like what it is mapped to."""
    prose = columns.prose
    if not prose:
        return None
    text = columns.text or prose[0]
    rest = Columns({name: profile for name, profile in columns.items() if name != text})
    if labels := [name for name, profile in rest.items() if profile.is_label]:
        fewest = min(labels, key=lambda name: len(columns[name].counts))
        return _unnamed(Task.TEXT_CLASSIFICATION, {"text": text, "label": fewest})
    if scores := rest.of("float"):
        return _unnamed(Task.REGRESSION, {"text": text, "score": scores[0]})
    if len(prose) == len(columns.of("str")) == 2:
        first, second = (name for name in columns if name in prose)
        other = "; for a translation or summary take task seq2seq, parts source and target"
        return _unnamed(Task.CAUSAL_LM, {"prompt": first, "completion": second}, other)
    return None


def _unnamed(task: Task, parts: dict[str, str], more: str = "") -> Guess:
    return Guess(task, parts, (Doubt("task", f"told by what is in the columns, for their names do not tell{more}"),))


_RULES: tuple[Callable[[Columns], Guess | None], ...] = (
    *(_conversation, _tagging, _instruction, _completion, _transformation, _labelled, _by_content),
)
