"""Find what a schema or a recipe names as `module:function`.

Only a schema or a recipe can name code, as a person's own statement, and the record of a run that such a recipe made;
nothing that is read from data ever gets here.
"""

import importlib
import sys
from pathlib import Path
from typing import Any


def find_named(name: str, base: Path | None = None) -> Any:
    """Import `module:name` and return the object; a module may lie beside the file that names it.

    Args:
        name: such as `my_checks:no_shouting`.
        base: the folder that is searched after the usual ones, and from then on.

    Raises:
        ValueError: when there is no such module or it has no such name, or importing it fails.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise ValueError(f"found {name!r}, expected module:name")
    folder = str(base.resolve()) if base else None
    if folder and folder not in sys.path:
        sys.path.append(folder)  # at the end, so that no installed module is hidden; workers inherit it
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as cause:
        missing = cause.name or module
        where = f" in {folder} or among the installed" if missing == module.partition(".")[0] else ""
        raise ValueError(f"{name}: there is no module '{missing}'{where}") from None
    except (Exception, SystemExit) as cause:  # whatever a person's module does while it is imported
        raise ValueError(f"{name}: importing '{module}' failed with {type(cause).__name__}: {cause}") from None
    if base:
        _refuse_another(name, base.resolve())
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{name}: module '{module}' ({getattr(found, '__file__', '')}) has no '{part}'")
        found = getattr(found, part)
    return found


def split_function(name: str) -> tuple[Path, str] | None:
    """Return the folder and the `module:function` of a name such as `samples/lstm:build`; None for other names.

    The folder, here `samples`, is where a module lies that is not installed; without one it is the working directory.
    """
    folder, _, function = name.rpartition("/")
    module, colon, attribute = function.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        return None
    return Path("/" if name.startswith("/") and not folder else folder), function


def _refuse_another(name: str, folder: Path) -> None:
    """Refuse a module that Python knows already where another of that name lies in the folder."""
    top = name.partition(":")[0].partition(".")[0]
    beside = {path.resolve() for path in (folder / f"{top}.py", folder / top / "__init__.py") if path.is_file()}
    known = getattr(sys.modules[top], "__file__", None) or "a part of Python"
    if beside and Path(known).resolve() not in beside:
        raise ValueError(f"{name}: {', '.join(map(str, beside))} is hidden by {known}; call it by another name")
