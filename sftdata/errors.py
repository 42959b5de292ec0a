"""What can go wrong, and what a person can do about it.

    SftdataError
    ├── UsageError           wrong use: exit code 2
    │   ├── RecipeError      faults in a recipe, all at once
    │   ├── SchemaError      faults in a schema, all at once
    │   ├── ConfigurationError  faults in what another program is told, all at once
    │   ├── SourceError      a source that is missing or cannot be read at all
    │   ├── TokenizerError   a tokenizer or chat template that is missing or unfit
    │   ├── OutputError      an output directory that is not ours to write
    │   └── TrainingError    a model, device or run directory that does not fit
    └── DataError            the data was refused: exit code 1
        ├── TooManyRejected  more rows rejected than `max_rejected` allows
        ├── NothingToWrite   no row left to work with
        ├── LeakError        rows that belong together stand on two sides of a split
        ├── LedgerError      the row counts do not close: a bug of ours
        └── VerificationError  a prepared dataset that is unfinished, damaged or foreign

Every message says what was found, what was expected, where, and what to do.
"""

from collections.abc import Mapping, Sequence


class SftdataError(Exception):
    """Base of all errors that are meant for a person; its message is shown without a traceback."""

    exit_code = 2


class UsageError(SftdataError):
    """The command, recipe, schema or path is wrong."""


class FaultsError(UsageError):
    """Several faults of one file, reported together.

    Attributes:
        where: the file or object that is at fault.
        faults: one line each, with line number and key path where they are known.
    """

    kind = "file"

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.where = where
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{where}: {count} in this {self.kind}", *(f"  {fault}" for fault in self.faults)]))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        return type(self), (self.where, self.faults)


class RecipeError(FaultsError):
    """A recipe does not say what it must, or says what no recipe may."""

    kind = "recipe"


class ConfigurationError(FaultsError):
    """A configuration of another program is not one, or says what it cannot mean."""

    kind = "configuration"


class SchemaError(FaultsError):
    """A schema is not one."""

    kind = "schema"


class SourceError(UsageError):
    """A source is missing, or is not what its format says."""


class TokenizerError(UsageError):
    """A tokenizer or chat template is missing or does not fit the task."""


class OutputError(UsageError):
    """The output directory holds something that is not ours."""


class TrainingError(UsageError):
    """A model, device or run directory does not fit what is asked of it."""


class DataError(SftdataError):
    """The data was refused."""

    exit_code = 1


class TooManyRejected(DataError):  # noqa: N818  # says what happened, as the contract words it
    """More rows were rejected than the limit allows.

    Attributes:
        read: rows read.
        rejected: rows rejected.
        limit: the limit as it was given, a share or a number of rows.
    """

    def __init__(self, read: int, rejected: int, limit: float, reasons: dict[str, int], kept_in: str | None) -> None:
        self.read, self.rejected, self.limit, self.reasons, self.kept_in = read, rejected, limit, reasons, kept_in
        allowed = f"{limit:g} of the rows" if isinstance(limit, float) else f"{limit} rows"
        worst = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
        lines = [f"{rejected:,} of {read:,} rows were rejected; max_rejected allows {allowed}"]
        lines += [f"  {count:>8}  {reason}" for reason, count in worst]
        lines += [f"The rejected rows, with reasons, are in {kept_in}."] if kept_in else []
        lines += ["Repair the rows, or raise max_rejected if losing them is right."]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type, tuple[int, int, float, dict[str, int], str | None]]:
        return type(self), (self.read, self.rejected, self.limit, self.reasons, self.kept_in)


class NothingToWrite(DataError):  # noqa: N818
    """A source without records, or a run of which no row is left."""


class LeakError(DataError):
    """The audit after the split found what must not be.

    Attributes:
        crossing: by kind, how much stands on two sides.
    """

    def __init__(self, crossing: Mapping[str, int | None]) -> None:
        self.crossing = dict(crossing)
        found = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in self.crossing.items() if count)
        super().__init__(
            f"the split leaks: {found} stand on two sides of it, which the audit finds and the split should have "
            "prevented. This is a defect of sftdata; another split.seed may get round it."
        )

    def __reduce__(self) -> tuple[type, tuple[dict[str, int | None]]]:
        return type(self), (self.crossing,)


class LedgerError(DataError):
    """Rows in and rows out differ: a defect of sftdata, never of the data."""


class VerificationError(DataError):
    """A prepared dataset is unfinished, damaged, or not one of ours."""


class Stopped(KeyboardInterrupt):
    """Somebody stopped the command by Ctrl-C or another signal. No fault: what catches faults lets it pass.

    Attributes:
        signal_number: of the signal.
    """

    def __init__(self, how_to_go_on: str = "", *, signal_number: int = 2) -> None:
        self.signal_number = signal_number
        super().__init__(*[how_to_go_on] * bool(how_to_go_on))


def make_printable(message: str) -> str:
    """Spell out control characters, which could steer the terminal when data or file names hold them."""
    if message.isprintable():
        return message
    return "".join(sign if sign == "\n" or sign.isprintable() else ascii(sign)[1:-1] for sign in message)
