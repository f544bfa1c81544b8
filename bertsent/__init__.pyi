from .active_learning import suggest_labels as suggest_labels
from .classifier import (
    RECIPES as RECIPES,
    BertClassifier as BertClassifier,
    BertRegressor as BertRegressor,
    Evaluation as Evaluation,
    Verification as Verification,
    verify as verify,
)
from .curves import (
    LearningCurve as LearningCurve,
    learning_curve as learning_curve,
)
from .explanation import (
    Explanation as Explanation,
    Explanations as Explanations,
)
from .features import BertEncoder as BertEncoder
from .model import BertForSequenceClassification as BertForSequenceClassification
from .plots import (
    AuditDisplay as AuditDisplay,
    HistoryDisplay as HistoryDisplay,
    LengthDisplay as LengthDisplay,
    ThresholdDisplay as ThresholdDisplay,
)
from .pretraining import (
    pretrain as pretrain,
    verify_pretraining as verify_pretraining,
)
from .tokenizer import (
    ByteLevelBPETokenizer as ByteLevelBPETokenizer,
    Tokenizer as Tokenizer,
    WordPieceTokenizer as WordPieceTokenizer,
)

__version__: str
