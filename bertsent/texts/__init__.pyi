from .arrow import arrow_texts as arrow_texts
from .check import (
    check_texts as check_texts,
    check_training_texts as check_training_texts,
    describe_no_text as describe_no_text,
    digest_texts as digest_texts,
    hash_texts as hash_texts,
    name_texts as name_texts,
    strip_html as strip_html,
    strip_texts as strip_texts,
)
from .columns import (
    abbreviate as abbreviate,
    check_feature_names as check_feature_names,
    column_names as column_names,
    column_values as column_values,
    feature_names as feature_names,
    is_missing as is_missing,
    row_labels as row_labels,
)
from .frames import (
    arrow_column as arrow_column,
    in_memory as in_memory,
    in_memory_all as in_memory_all,
    polars_column as polars_column,
    table_like as table_like,
)
from .label_check import warn_of_column_vector as warn_of_column_vector
from .label_doubts import describe_doubts as describe_doubts
from .label_order import learn_ordered_labels as learn_ordered_labels
from .label_sets import (
    LabelSets as LabelSets,
    column_lists as column_lists,
    has_label_columns as has_label_columns,
    is_multi_label as is_multi_label,
    learn_label_sets as learn_label_sets,
)
from .labels import (
    LabelType as LabelType,
    check_weights as check_weights,
    class_factors as class_factors,
    column_labels as column_labels,
    encode_labels as encode_labels,
    learn_labels as learn_labels,
    match_labels as match_labels,
    translate_labels as translate_labels,
)
from .long_text import (
    AUTO_LENGTH as AUTO_LENGTH,
    Reader as Reader,
    Windows as Windows,
    count_tokens as count_tokens,
    most_sequences as most_sequences,
    most_shared as most_shared,
    resolve_max_length as resolve_max_length,
    sum_pairs as sum_pairs,
)
from .numbers import (
    NumberColumns as NumberColumns,
    learn_numbers as learn_numbers,
)
from .pairs import (
    are_pairs as are_pairs,
    as_single as as_single,
    check_alike as check_alike,
    describe_columns as describe_columns,
    describe_sort as describe_sort,
    take_apart as take_apart,
    text_columns as text_columns,
)
from .split import (
    Labelled as Labelled,
    hold_out as hold_out,
    split_rows as split_rows,
    thin_out as thin_out,
)
from .types import (
    Labels as Labels,
    PairColumn as PairColumn,
    Table as Table,
    Text as Text,
    TextColumn as TextColumn,
    Texts as Texts,
)
