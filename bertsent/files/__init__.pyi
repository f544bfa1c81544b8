from .arrays import mapping_error as mapping_error, read_array as read_array
from .atomic import (
    CARD_FILE as CARD_FILE,
    CARD_MARKER as CARD_MARKER,
    CLASSIFIER_FILES as CLASSIFIER_FILES,
    MODEL_FILES as MODEL_FILES,
    MOST_MEMBERS as MOST_MEMBERS,
    OWN_FILES as OWN_FILES,
    TOKENIZER_FILES as TOKENIZER_FILES,
    atomic_directory as atomic_directory,
    atomic_file as atomic_file,
    atomic_write as atomic_write,
    check_target as check_target,
)
from .batches import label_batches as label_batches
from .dialect import (
    Dialect as Dialect,
    DialectOptions as DialectOptions,
)
from .fields import (
    MOST_BYTES as MOST_BYTES,
    Field as Field,
    largest_id as largest_id,
    open_regular as open_regular,
    parse_json as parse_json,
    read_bytes as read_bytes,
    read_json as read_json,
    read_text as read_text,
)
from .formats import (
    FORMATS as FORMATS,
    OUTPUT_FORMATS as OUTPUT_FORMATS,
    output_format as output_format,
)
from .held import (
    has_entry as has_entry,
    has_file as has_file,
    hold_directory as hold_directory,
    leads_out as leads_out,
    path_of as path_of,
)
from .impostors import (
    BEGINNING as BEGINNING,
    describe_impostor as describe_impostor,
)
from .plain import (
    from_plain as from_plain,
    to_plain as to_plain,
)
from .readers import (
    column_texts as column_texts,
    drop_missing as drop_missing,
    frame_texts as frame_texts,
    hash_data as hash_data,
    is_split_folder as is_split_folder,
    parquet_schema as parquet_schema,
    read_chunks as read_chunks,
    read_rows as read_rows,
    require_columns as require_columns,
    row_namer as row_namer,
    text_columns_of as text_columns_of,
)
from .sources import (
    Source as Source,
    find_source as find_source,
    find_stdin as find_stdin,
)
from .stream import (
    DECIMALS as DECIMALS,
    ScoredFile as ScoredFile,
    check_files as check_files,
    label_file as label_file,
    refuse_taken as refuse_taken,
)
from .usual import find_columns as find_columns
from .writers import (
    check_output as check_output,
    open_output as open_output,
    require_printable as require_printable,
)
