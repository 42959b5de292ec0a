"""Make an environment for each program that `tokenization.py` compares with, pinned, without a GPU.

usage: python benchmarks/peers.py [FOLDER] [--peers NAME ...] [--torch ARGUMENTS]

Each peer gets a virtual environment of its own in FOLDER (benchmarks/results/peers), since they want versions of the
same libraries that exclude each other. One that is there already is left alone. One that cannot be made, or cannot load
what prepares data, leaves a file `NAME.failed` that says why, and the benchmark prints that.

Torch comes first, and a constraint keeps it. Where pip's index serves a build for GPUs, gigabytes that nothing here
uses, say where the smaller one is: --torch "torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
"""

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "results" / "peers"
TORCH = "torch==2.13.0"


class Peer(NamedTuple):
    """What one peer needs to prepare data.

    Attributes:
        title: its name and version.
        alone: what is installed without its dependencies.
        packages: what is installed with its dependencies, under the constraint that torch stays.
        empty: modules that are imported but not used here; an empty file stands in.
        proof: what must run, in Python.
    """

    title: str
    packages: tuple[str, ...]
    proof: str
    alone: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


PEERS = {
    "trl": Peer("TRL 1.16.0", ("trl==1.16.0", "transformers==5.23.0", "datasets==5.2.0"), "from trl import SFTTrainer"),
    # Its dependencies hold a web page, a vision library and torchaudio. On PyPI that one is built for CUDA and does not
    # load beside a torch without; it is imported at the start and used for sound alone.
    "llamafactory": Peer(
        "LLaMA-Factory 0.9.5",
        packages=(
            "accelerate==1.11.0",
            "datasets==4.0.0",
            "peft==0.18.1",
            "transformers==5.6.0",
            "trl==0.24.0",
            "einops",
            "fire",
            "hf-transfer",
            "omegaconf",
            "protobuf",
            "pydantic",
            "scipy",
            "sentencepiece",
            "tiktoken",
            "tyro<0.9.0",
        ),
        proof="import llamafactory.hparams, llamafactory.data, llamafactory.model",
        alone=("llamafactory==0.9.5",),
        empty=("torchaudio",),
    ),
    # Its dependencies hold triton, xformers, bitsandbytes, clouds and a web page; it pins most of them. Here are those
    # that `axolotl preprocess` imports, at its versions where they have a say in the result.
    "axolotl": Peer(
        "axolotl 0.19.0",
        packages=(
            "accelerate==1.13.0",
            "datasets==4.8.4",
            "huggingface_hub==1.17.0",
            "numba",
            "peft==0.20.0",
            "pydantic==2.12.5",
            "tokenizers==0.23.1",
            "transformers==5.16.1",
            "trl==1.9.0",
            "typer==0.25.1",
            "addict",
            "art",
            "axolotl-contribs-lgpl==0.0.7",
            "axolotl-contribs-mit==0.0.6",
            "colorama",
            "einops",
            "evaluate==0.4.1",
            "fire",
            "langdetect==1.0.9",
            "pillow",
            "posthog==6.7.11",
            "python-dotenv==1.0.1",
            "requests",
            "schedulefree==1.4.1",
            "scipy",
            "sentencepiece",
            "wandb",
            "zstandard==0.22.0",
        ),
        proof="import axolotl.cli.main, axolotl.cli.preprocess",
        alone=("axolotl==0.19.0",),
    ),
}


def python_of(folder: Path, name: str) -> Path:
    """Return the Python of a peer's environment."""
    return folder / name / "bin" / "python"


def why_missing(folder: Path, name: str) -> str | None:
    """Return why a peer cannot be measured; None when its environment is there."""
    failed = folder / f"{name}.failed"
    if failed.exists():
        return failed.read_text(encoding="utf-8")
    if not (folder / name / "ready").exists():
        return f"no environment in {folder}; make it: python benchmarks/peers.py {folder} --peers {name}"
    return None


def make(folder: Path, name: str, torch: list[str]) -> None:
    """Make one environment; raise CalledProcessError when a step fails."""
    peer, python = PEERS[name], str(python_of(folder, name))
    shutil.rmtree(folder / name, ignore_errors=True)
    venv.create(folder / name, with_pip=True)
    constraints = folder / name / "constraints.txt"
    constraints.write_text(torch[0] + "\n", encoding="utf-8")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    steps = [[*pip, *torch], [*pip, "--constraint", str(constraints), *peer.packages]]
    if peer.alone:
        steps.append([*pip, "--no-deps", *peer.alone])
    for step in steps:
        subprocess.run(step, check=True, capture_output=True, text=True)
    for module in peer.empty:
        next((folder / name).glob("lib/python*/site-packages")).joinpath(f"{module}.py").touch()
    subprocess.run([python, "-c", peer.proof], check=True, capture_output=True, text=True)
    (folder / name / "ready").touch()


def make_or_tell(folder: Path, name: str, torch: list[str]) -> bool:
    """Make one environment if it is not there; leave a file that says why when it cannot be made."""
    failed = folder / f"{name}.failed"
    if not failed.exists() and not why_missing(folder, name):
        print(f"{PEERS[name].title}: there already")
        return True
    failed.unlink(missing_ok=True)
    print(f"{PEERS[name].title}: a few minutes ...", flush=True)
    try:
        make(folder, name, torch)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip() and "WARNING" not in line]
        failed.write_text(
            f"its environment could not be made: {(lines or ['no message'])[-1].strip()}", encoding="utf-8"
        )
        print(f"{PEERS[name].title}: {failed.read_text(encoding='utf-8')}")
        return False
    return True


def main() -> int:
    """Make what is wanted; 1 if a peer is missing at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--torch", default=TORCH, help="what pip install is told, the requirement first")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    made = [make_or_tell(folder, name, arguments.torch.split()) for name in arguments.peers]
    return 0 if all(made) else 1


if __name__ == "__main__":
    sys.exit(main())
