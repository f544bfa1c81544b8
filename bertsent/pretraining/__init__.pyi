from .parameters import (
    PRETRAINING as PRETRAINING,
    check_pretraining as check_pretraining,
)
from .run import (
    pretrain as pretrain,
    run_pretraining as run_pretraining,
)
