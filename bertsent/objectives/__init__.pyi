from .base import (
    Objective as Objective,
    ReportTable as ReportTable,
    list_outputs as list_outputs,
)
from .charts import (
    ReportChart as ReportChart,
    Series as Series,
)
from .classification import (
    SingleLabelClassification as SingleLabelClassification,
    margin_uncertainty as margin_uncertainty,
)
from .contrast import Contrast as Contrast
from .distillation import (
    UNLABELLED as UNLABELLED,
    Distillation as Distillation,
    join_targets as join_targets,
)
from .multi_label import MultiLabelClassification as MultiLabelClassification
from .ordinal import (
    OrdinalClassification as OrdinalClassification,
    cumulative_losses as cumulative_losses,
    cumulative_slopes as cumulative_slopes,
    quadratic_kappa as quadratic_kappa,
)
from .registry import (
    OBJECTIVES as OBJECTIVES,
    choose_objective as choose_objective,
    objective_from_json as objective_from_json,
    objective_to_json as objective_to_json,
)
from .regression import Regression as Regression
from .scorers import Scorer as Scorer
