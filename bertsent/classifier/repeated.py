"""Whether scikit-learn fits a classifier as one of many, such as in a grid search."""

import sys
from types import FrameType

# In these modules, scikit-learn fits estimators repeatedly. Most meta-estimators do so through the
# first one, also in other processes; the others have loops of their own.
_REPEATED = (
    "sklearn.utils.parallel", "sklearn.model_selection", "sklearn.calibration", "sklearn.ensemble",
    "sklearn.multioutput", "sklearn.semi_supervised",
)


def is_one_of_many() -> bool:
    """Return whether scikit-learn has called `fit`, as one of many calls.

    It tells estimators nothing about this, so the call stack is looked through. A pipeline that a
    user fits is no such call.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_REPEATED):
            return True
        frame = frame.f_back
    return False
