from .config import (
    check_config as check_config,
    engine_config as engine_config,
    family_in as family_in,
    family_of as family_of,
    label_names as label_names,
    length_limit as length_limit,
    masked_lm_config as masked_lm_config,
    read_config as read_config,
    read_json as read_json,
    with_labels as with_labels,
    with_pooling as with_pooling,
)
from .diagnosis import cache_gap as cache_gap
from .families import Family as Family
from .int8 import quantize as quantize
from .packaged import is_at_hand as is_at_hand
from .parameters import (
    RandomState as RandomState,
    aligned_zeros as aligned_zeros,
    output_names as output_names,
    parameter_table as parameter_table,
    random_parameters as random_parameters,
)
from .resolve import (
    hub_id as hub_id,
    resolve_directory as resolve_directory,
)
from .sentence import sentence_pooling as sentence_pooling
from .tensors import (
    read_arrays as read_arrays,
    write_arrays as write_arrays,
)
from .weights import (
    ModelDirectory as ModelDirectory,
    describe_unused as describe_unused,
    identify_parameters as identify_parameters,
    load_masked_lm_directory as load_masked_lm_directory,
    load_member_parameters as load_member_parameters,
    load_model_directory as load_model_directory,
    outline_model_directory as outline_model_directory,
    read_model_shape as read_model_shape,
    save_member as save_member,
    save_model_directory as save_model_directory,
    saved_identity as saved_identity,
)
