from .parameters import (
    PRETRAINING as PRETRAINING,
    check_pretraining as check_pretraining,
)
from .replay import (
    recorded_pretraining as recorded_pretraining,
    verify_pretraining as verify_pretraining,
    verify_pretraining_run as verify_pretraining_run,
)
from .run import (
    pretrain as pretrain,
    run_pretraining as run_pretraining,
)
