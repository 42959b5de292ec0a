"""Read prepared shards with `datasets` and `to_tf_dataset`; run by the Python of an environment with TensorFlow.

usage: python benchmarks/interop_tensorflow.py DATASET RESULT.json
"""

import json
import sys
from pathlib import Path

import datasets
import numpy as np
import tensorflow as tf

NAMES = {"input_ids": 0, "labels": -100}
"""The columns, and what fills them behind the end of a row."""


def pad(rows: list[dict]) -> dict[str, np.ndarray]:
    """Put rows into arrays of one width."""
    width = max(len(row["input_ids"]) for row in rows)
    padded = {
        name: np.array([[*row[name], *[fill] * (width - len(row[name]))] for row in rows])
        for name, fill in NAMES.items()
    }
    lengths = np.array([len(row["input_ids"]) for row in rows])
    return {**padded, "attention_mask": (np.arange(width) < lengths[:, None]).astype(np.int64)}


def main() -> None:
    """Read the rows one by one, then in padded batches, and let a model take a step."""
    train = datasets.load_from_disk(sys.argv[1])["train"]
    alone = train.to_tf_dataset(columns=list(NAMES), batch_size=None)
    loaded = [[row[name].numpy().tolist() for name in NAMES] for row in alone]
    batches = train.to_tf_dataset(columns=[*NAMES, "attention_mask"], batch_size=4, collate_fn=pad, shuffle=False)
    first = next(iter(batches))
    size = int(max(max(ids) for ids, _ in loaded)) + 1
    model = tf.keras.Sequential([tf.keras.layers.Embedding(size, 4), tf.keras.layers.Dense(8)])
    with tf.GradientTape() as tape:
        trained = tf.cast(first["labels"] != -100, tf.float32)
        loss = tf.reduce_mean(tf.reduce_sum(model(first["input_ids"]) ** 2, axis=-1) * trained)
    tf.keras.optimizers.SGD(0.1).apply_gradients(
        zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
    )
    batch = {name: value.numpy().tolist() for name, value in first.items()}
    versions = {"tensorflow": tf.__version__, "datasets": datasets.__version__}
    result = {"versions": versions, "loaded": loaded, "batches": [batch], "loss": float(loss)}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
