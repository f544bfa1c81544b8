from .duplicates import (
    THRESHOLD as THRESHOLD,
    even_out as even_out,
    find_similar as find_similar,
)
from .table import audit as audit
