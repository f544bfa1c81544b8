from .base import (
    Objective as Objective,
    ReportTable as ReportTable,
)
from .classification import SingleLabelClassification as SingleLabelClassification
from .registry import (
    OBJECTIVES as OBJECTIVES,
    objective_from_json as objective_from_json,
    objective_to_json as objective_to_json,
)
