"""Compile `sftdata.sources.native._scan` where there is a C compiler; without one the package works, only slower."""

import os
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("sftdata", "sources", "native")
MODULE = FOLDER / "_scan.abi3.so"
FLAGS = ["-std=c11", "-O3", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]


class CompilingHook(BuildHookInterface):
    """Adds the compiled module to a wheel; for an editable installation it stays beside its sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the files of the wheel are collected."""
        problem = compile_module(Path(self.root))
        if problem:
            self.app.display_warning(f"sftdata is built without its compiled scanner, and reads slower: {problem}")
            return
        build_data["artifacts"].append(f"/{MODULE.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_module(root: Path) -> str | None:
    """Compile the module beside its sources; return what went wrong, if something did."""
    sources = sorted(path.relative_to(root).as_posix() for path in (root / FOLDER).glob("*.c"))
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    command = [*compiler.split(), *FLAGS, *(["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else [])]
    digest = runpy.run_path(str(root / FOLDER / "digest.py"))["digest_sources"](root / FOLDER)
    command += [f"-I{sysconfig.get_path('include')}", f'-DSOURCES="{digest}"']
    aside = f"{MODULE}.{os.getpid()}"
    command += [*os.environ.get("CFLAGS", "").split(), *sources, "-o", aside]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError as missing:
        return str(missing)
    if done.returncode:
        return done.stderr.strip()
    (root / aside).replace(root / MODULE)
    return None


if __name__ == "__main__":  # after a change of the sources: python hatch_build.py
    sys.exit(compile_module(Path(__file__).parent))
