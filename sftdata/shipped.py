"""Where what ships with the package lies; nothing else is imported here, for shell completion asks."""

from pathlib import Path


def schema_directory() -> Path:
    """Return the directory of the schemas that ship: beside the package in a checkout, inside it once installed."""
    installed = Path(__file__).parent / "schemas"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "schemas"


def list_schemas() -> list[str]:
    """Return the names of the schemas that ship, sorted."""
    return sorted(found.stem for found in schema_directory().glob("*.yaml"))
