from .findings import AuditDisplay as AuditDisplay
from .history import HistoryDisplay as HistoryDisplay
from .lengths import LengthDisplay as LengthDisplay
from .thresholds import ThresholdDisplay as ThresholdDisplay
