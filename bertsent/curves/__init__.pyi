from .curve import LearningCurve as LearningCurve
from .measure import learning_curve as learning_curve
from .scorings import SCORINGS as SCORINGS
