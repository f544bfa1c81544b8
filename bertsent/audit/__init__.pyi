from .table import audit as audit
