from .base import (
    BertEstimator as BertEstimator,
    check_fitted as check_fitted,
    open_predictor as open_predictor,
    predictor as predictor,
)
from .candidates import named_model as named_model
from .declaration import (
    FLAG as FLAG,
    TIME as TIME,
    Kind as Kind,
    Parameter as Parameter,
    either as either,
    one_of as one_of,
    path as path,
    real as real,
    whole as whole,
)
from .estimate import (
    estimate_fit as estimate_fit,
    resolve_auto as resolve_auto,
)
from .estimator import BertClassifier as BertClassifier
from .evaluation import (
    Evaluation as Evaluation,
    evaluate as evaluate,
)
from .explaining import explain as explain
from .exporting import export_onnx as export_onnx
from .fitted import (
    Fitted as Fitted,
    Predictor as Predictor,
)
from .inspection import inspect_directory as inspect_directory
from .job import (
    CHARACTERS_A_TOKEN as CHARACTERS_A_TOKEN,
    count_job as count_job,
    read_shape as read_shape,
)
from .members import (
    count_members as count_members,
    is_list as is_list,
)
from .opening import load_tokenizer as load_tokenizer
from .parameters import (
    CLASSIFICATION as CLASSIFICATION,
    PARAMETERS as PARAMETERS,
    REGRESSION as REGRESSION,
    check_each as check_each,
    check_parameters as check_parameters,
    compared_on_resume as compared_on_resume,
    without_machine as without_machine,
)
from .plan import (
    describe_plan as describe_plan,
    settle as settle,
)
from .recipes import (
    RECIPES as RECIPES,
    with_recipe as with_recipe,
)
from .regressor import BertRegressor as BertRegressor
from .replay import (
    Comparison as Comparison,
    Verification as Verification,
    recorded_objective as recorded_objective,
    recorded_parameters as recorded_parameters,
    repeat_runs as repeat_runs,
    verify as verify,
    verify_runs as verify_runs,
)
from .resolve import resolve_freeze as resolve_freeze
from .settings import read_parameters as read_parameters
from .suggestion import suggest_labels as suggest_labels
from .words import describe_words as describe_words, words_seconds as words_seconds
