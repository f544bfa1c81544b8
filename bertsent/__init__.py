"""Fine-tune BERT models for text classification on a CPU.

BertClassifier
    A scikit-learn classifier for texts, also with several labels for each.
BertRegressor
    A scikit-learn regressor, which predicts numbers for texts.
BertEncoder
    A scikit-learn transformer, which computes vectors of texts as features for other models.
BertForSequenceClassification
    The model by itself: computes logits and gradients from token ids.
Evaluation
    The result of `BertClassifier.evaluate`.
Explanation
    Why a text got its prediction: a score for each word. `BertClassifier.explain` returns
    `Explanations`, a sequence of them.
Tokenizer
    The tokenizer of a model: computes token ids from texts. It is a `WordPieceTokenizer`, as in
    BERT, or a `ByteLevelBPETokenizer`, as in RoBERTa.
pretrain
    Continues the pretraining of a model on texts without labels.
learning_curve
    Measures how good a classifier is with fewer labels, and estimates how good with more.
LearningCurve
    The result of `learning_curve`.
HistoryDisplay, LengthDisplay, ThresholdDisplay, AuditDisplay
    Plots of training, lengths of texts, thresholds, and training data, as in scikit-learn.
suggest_labels
    Chooses the first texts to label, before there are any labels.
verify
    Trains a run again, and compares it step by step with its log.
verify_pretraining
    Does the same with a run of `pretrain`.
Verification
    The result of `verify` and `verify_pretraining`.
RECIPES
    Two sets of parameters for `BertClassifier` that were tuned together, ``"best"`` and
    ``"quick"``.

Each is loaded when it is first used, so that ``import bertsent`` is fast.
"""

import importlib
from typing import Any

import lazy_loader

__version__ = "0.2.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        # Not an import statement: rooms below `system` import this package.
        importlib.import_module("bertsent.system.room").require_room()
    return _load(name)
