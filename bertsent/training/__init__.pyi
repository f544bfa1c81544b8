from .budget import (
    MARGIN as MARGIN,
    SLACK as SLACK,
    Budget as Budget,
)
from .callbacks import (
    Callback as Callback,
    Listeners as Listeners,
    callback_name as callback_name,
    import_callbacks as import_callbacks,
    is_callback as is_callback,
    open_log as open_log,
)
from .checkpoint_file import (
    CheckpointFile as CheckpointFile,
    naming_damage as naming_damage,
    write_checkpoint as write_checkpoint,
)
from .checkpoints import (
    RunStore as RunStore,
    Saved as Saved,
    describe_run as describe_run,
    has_checkpoints as has_checkpoints,
    list_checkpoints as list_checkpoints,
)
from .evaluation import Best as Best
from .example_history import ExampleHistory as ExampleHistory
from .examples import (
    Examples as Examples,
    Learned as Learned,
)
from .frozen import (
    FrozenCache as FrozenCache,
    expects_cache as expects_cache,
    open_cache as open_cache,
)
from .hashes import hash_parts as hash_parts
from .loop import train as train
from .options import TrainingOptions as TrainingOptions
from .run_log import (
    MEASURES as MEASURES,
    PRETRAINING_TASK as PRETRAINING_TASK,
    RecordedRun as RecordedRun,
    describe_record as describe_record,
    hashed_steps as hashed_steps,
    read_history as read_history,
    read_log as read_log,
)
from .schedule import (
    Seeds as Seeds,
    draw_seeds as draw_seeds,
    epoch_order as epoch_order,
    group_rates as group_rates,
    member_seeds as member_seeds,
)
from .sklearn_callbacks import (
    CallbackSupport as CallbackSupport,
    tell_callbacks as tell_callbacks,
)
from .state import State as State
from .types import (
    Trainable as Trainable,
)
