"""Write the rows that benchmarks of whole runs prepare: conversations and glosses, all out of real text, seeded."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
SEED = 7
TURNS = 4
BLOCK = 50_000
"""Made-up conversations that are written at a time."""


def read_chats(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Yield chats as (speaker, text), messages in a row by one speaker merged, without those of one speaker only."""
    for chat in json.loads(path.read_text(encoding="utf-8")).values():
        turns: list[tuple[str, str]] = []
        for message in (message for block in chat["messages"] for message in block if message["text"].strip()):
            if turns and turns[-1][0] == message["sender"]:
                turns[-1] = (message["sender"], turns[-1][1] + "\n" + message["text"])
            else:
                turns.append((message["sender"], message["text"]))
        if len({speaker for speaker, _ in turns}) == 2:
            yield turns


def write_rows(rows: Iterable[object], out: Path) -> None:
    """Write JSON Lines."""
    with out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_conversations(chats: Path, out: Path, rows: int) -> None:
    """Write `rows` windows of four turns, chosen and ordered by SEED; the first speaker of a window is the user."""
    windows = [turns[i : i + TURNS] for turns in read_chats(chats) for i in range(len(turns) - TURNS + 1)]
    if len(windows) < rows:
        sys.exit(f"{chats} gives {len(windows)} conversations, fewer than --rows {rows}")
    roles = ("user", "assistant") * (TURNS // 2)
    write_rows(
        (
            {"messages": [{"role": role, "content": text} for role, (_, text) in zip(roles, window, strict=True)]}
            for window in Random(SEED).sample(windows, rows)  # noqa: S311 - a sample, no secret
        ),
        out,
    )


def write_synthetic(chats: Path, out: Path, rows: int) -> None:
    """Write `rows` conversations of four turns, each turn drawn by SEED from all distinct turns of the chats.

    Four draws of 128,000 turns make no row twice, but each turn stands in many rows. A block at a time: memory
    does not grow with `rows`.
    """
    import numpy as np

    said = list(dict.fromkeys(text for turns in read_chats(chats) for _, text in turns))
    contents = [json.dumps(text, ensure_ascii=False) for text in said]
    user, assistant = '{"role": "user", "content": ', '{"role": "assistant", "content": '
    line = f'{{"messages": [{user}%s}}, {assistant}%s}}, {user}%s}}, {assistant}%s}}]}}\n'
    draw = np.random.default_rng(SEED)
    with out.open("w", encoding="utf-8") as file:
        for start in range(0, rows, BLOCK):
            picks = draw.integers(0, len(contents), (min(BLOCK, rows - start), TURNS)).tolist()
            file.writelines(line % tuple([contents[place] for place in of_row]) for of_row in picks)


def write_glosses(assets: Path, out: Path, rows: int | None) -> None:
    """Write the first `rows` of WordNet's glosses, in an order by SEED, labelled by lexicographer file; None: all."""
    sys.path.append(str(HERE.parent / "samples"))
    from make_samples import read_wordnet

    glosses = [{"text": synset.definition, "label": synset.topic} for synset in read_wordnet(assets)]
    Random(SEED).shuffle(glosses)  # noqa: S311 - an order, no secret
    if rows and len(glosses) < rows:
        sys.exit(f"WordNet has {len(glosses)} glosses, fewer than --rows {rows}")
    write_rows(itertools.islice(glosses, rows), out)
