"""Metrics of a test, as values and as text."""

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from bertsent.progress import row_progress


def score_texts(classifier, texts, show_bar=True):
    """Probabilities of the classes for many texts, with a bar."""
    with row_progress(show_bar) as progress:
        progress.start(len(texts))
        progress.begin(len(texts))
        return classifier._probabilities(texts, progress.part)


def compute_metrics(labels, probabilities, classes, seen, inference_precision):
    """What a test has shown.

    Parameters
    ----------
    labels : ndarray
        True labels, members of ``classes``.
    probabilities : ndarray of shape (n_texts, n_classes)
    classes : ndarray
    seen : ndarray of bool
        Texts that the model was trained on.
    inference_precision : str
        What the probabilities were computed in.

    Returns
    -------
    dict
        Ready for JSON.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    columns = np.searchsorted(classes, labels)
    own = np.maximum(probabilities[np.arange(len(labels)), columns], 1e-300)
    names = [str(label) for label in classes.tolist()]
    metrics = {
        "accuracy": float(accuracy_score(labels, predicted)),
        "loss": float(-np.log(own).mean()),
        "rows": len(labels),
        "inference_precision": inference_precision,
        "macro_f1": float(np.mean(f1)),
        "classes": {
            name: {
                "precision": float(precision[code]),
                "recall": float(recall[code]),
                "f1": float(f1[code]),
                "rows": int(support[code]),
            }
            for code, name in enumerate(names)
        },
        "confusion_matrix": {
            "labels": names,
            "rows_true_columns_predicted": confusion_matrix(
                labels, predicted, labels=classes
            ).tolist(),
        },
        "rows_seen_in_training": int(seen.sum()),
        "accuracy_unseen": None,
    }
    if not seen.all():
        metrics["accuracy_unseen"] = float(accuracy_score(labels[~seen], predicted[~seen]))
    return metrics


def format_metrics(metrics):
    """The metrics as a few lines for people."""
    lines = [
        f"accuracy {metrics['accuracy']:.2%} on {metrics['rows']:,} texts, "
        f"computed in {metrics['inference_precision']}",
        "",
    ]
    names = metrics["confusion_matrix"]["labels"]
    width = max(len("class"), *map(len, names))
    lines.append(f"{'class':<{width}}  precision  recall      F1  texts")
    for name, values in metrics["classes"].items():
        lines.append(
            f"{name:<{width}}  {values['precision']:9.4f}  {values['recall']:6.4f}  "
            f"{values['f1']:6.4f}  {values['rows']:5d}"
        )
    rows = metrics["confusion_matrix"]["rows_true_columns_predicted"]
    cell = max(len(f"{count}") for row in rows for count in row)
    cells = [max(cell, len(name)) for name in names]
    lines += ["", "confusion matrix (rows: true class, columns: predicted)"]
    lines.append(" " * width + "".join(f"  {n:>{w}}" for n, w in zip(names, cells, strict=True)))
    for name, row in zip(names, rows, strict=True):
        counts = "".join(f"  {n:>{w}}" for n, w in zip(row, cells, strict=True))
        lines.append(f"{name:<{width}}{counts}")
    return "\n".join(lines)


def describe_seen(metrics):
    """A sentence on texts that were trained on, or None if there are none."""
    seen = metrics["rows_seen_in_training"]
    if not seen:
        return None
    text = f"{seen:,} of the {metrics['rows']:,} tested texts were trained on"
    if metrics["accuracy_unseen"] is None:
        return f"{text}: this says nothing of new texts"
    return f"{text}; on the others accuracy is {metrics['accuracy_unseen']:.2%}"
