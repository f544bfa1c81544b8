"""Fine-tune and run BERT sentiment classifiers on a CPU.

Three public classes, a function and a table, each loaded when it is first used, so that importing
the package costs next to nothing:

BertClassifier
    A scikit-learn classifier of texts.
BertForSequenceClassification
    The bare model: token ids in, logits and gradients out.
WordPieceTokenizer
    Texts in, token ids out.
pretrain
    Masked language modelling on texts without labels, to fine-tune from.
RECIPES
    Parameters for `BertClassifier` that were chosen together: ``"best"`` and ``"quick"``.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "BertClassifier": "bertsent.classifier",
    "BertForSequenceClassification": "bertsent.model",
    "WordPieceTokenizer": "bertsent.tokenizer",
    "pretrain": "bertsent.pretraining",
    "RECIPES": "bertsent.recipes",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
