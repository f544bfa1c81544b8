from .choice import (
    MOST_TEXTS as MOST_TEXTS,
    check_request as check_request,
    choose as choose,
    describe_shortage as describe_shortage,
    distinct_rows as distinct_rows,
)
from .fresh import suggest_labels as suggest_labels
