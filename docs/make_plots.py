"""Draw the pictures of plots.md again: PYTHONPATH=. python docs/make_plots.py

It trains MiniLM on the bundled sample, which takes about two minutes on two free cores.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

from bertsent import (
    AuditDisplay,
    BertClassifier,
    HistoryDisplay,
    LengthDisplay,
    ThresholdDisplay,
)

HERE = Path(__file__).resolve().parent / "images"


def train(data):
    """Return a classifier that has held out some texts, and was evaluated often."""
    clf = BertClassifier(
        "minilm", epochs=3, validation_fraction=0.15, eval_every=20, track_examples=True,
        early_stopping=True, random_state=0, verbose=0,
    )
    return clf.fit(data["review"], data["sentiment"])


def draw(clf, data):
    """Write all pictures, given the data that the classifier was trained on and all other."""
    train, test = data[:1373], data[1373:]
    X, y = test["review"], test["sentiment"]
    pictures = {
        "history": HistoryDisplay.from_estimator(clf),
        "lengths": LengthDisplay.from_estimator(clf, X, y),
        "thresholds": ThresholdDisplay.from_estimator(clf, X, y, cost_matrix=[[0, 1], [5, 0]]),
        "audit": AuditDisplay.from_estimator(clf, train["review"]),
    }
    for name, display in pictures.items():
        display.figure_.savefig(HERE / f"{name}.png", dpi=80)


if __name__ == "__main__":
    reviews = pd.read_csv(files("bertsent") / "sample" / "reviews.csv")
    draw(train(reviews[:1373]), reviews)
