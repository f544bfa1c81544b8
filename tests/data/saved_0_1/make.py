"""Write the directories beside this file, with bertsent 0.1.0.

Later versions must be able to load them (`tests/test_saved_0_1.py`). Do not run this with a later
version; it is kept to show how they were made.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np

import bertsent

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
from conftest import write_tiny_model  # noqa: E402

WORDS = (
    "the film was a good story with fine actors but the plot is dull and slow so i hate it most "
    "of all yet the end is great"
).split()


def texts_and_labels():
    """48 texts in which one word decides, and their labels."""
    rng = np.random.default_rng(0)
    labels = ["good" if i % 2 else "bad" for i in range(48)]
    texts = [
        " ".join([*rng.choice(WORDS, size=rng.integers(3, 14)), "love" if y == "good" else "worst"])
        for y in labels
    ]
    return texts, labels


def classifier(**parameters):
    """A classifier whose result depends on the machine's arithmetic only."""
    return bertsent.BertClassifier(**({
        "model": "base", "max_length": 12, "epochs": 2, "batch_size": 8,
        "learning_rate": 1e-3, "validation_fraction": 0.25, "precision": "float32",
        "inference_precision": "float32", "random_state": 0, "verbose": 0,
    } | parameters))


class Stop:
    """Interrupts a run after some steps, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step(self, facts):
        if facts["step"] == self.step:
            raise KeyboardInterrupt


def main():
    os.chdir(HERE)  # so that no path of this machine is saved
    for name in ("base", "members", "int8", "run", "pretrained"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    write_tiny_model(
        HERE / "base", hidden_size=16, intermediate_size=32, num_attention_heads=2,
        max_position_embeddings=24, scale=0.3,
    )
    texts, labels = texts_and_labels()
    members = [{"freeze_layers": 1}, {"max_length": 8}]
    clf = classifier(
        members=members, track_examples=True, class_weight={"good": 2.0}, early_stopping="loss"
    ).fit(texts, labels)
    clf.save_pretrained(HERE / "members")
    expected = {"members": clf.decision_function(texts), "members_proba": clf.predict_proba(texts)}
    one = classifier(long_text="windows").fit(texts, labels)
    one.save_pretrained(HERE / "int8", int8=True)
    expected["int8"] = one.set_params(inference_precision="int8").decision_function(texts)

    run = {"checkpoint_dir": HERE / "run", "checkpoint_every": 2, "checkpoint_keep": 1}
    try:
        classifier(callbacks=Stop(7), early_stopping="loss", **run).fit(texts, labels)
    except KeyboardInterrupt:
        pass
    copy = HERE / "copy"
    shutil.copytree(HERE / "run", copy)
    done = classifier(early_stopping="loss", resume=True, **run | {"checkpoint_dir": copy}).fit(
        texts, labels
    )
    shutil.rmtree(copy)
    expected["resumed"] = done.decision_function(texts)
    expected["resumed_losses"] = np.array([row["loss"] for row in done.history_])

    bertsent.pretrain(
        texts, HERE / "pretrained", model="base", max_length=12, learning_rate=1e-3,
        precision="float32", random_state=0, verbose=0,
    )
    after = classifier(model="pretrained", epochs=1).fit(texts, labels)
    expected["pretrained"] = after.decision_function(texts)
    np.savez_compressed(HERE / "expected.npz", **expected)


if __name__ == "__main__":
    main()
