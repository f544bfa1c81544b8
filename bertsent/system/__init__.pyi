from .axes import (
    BLUE as BLUE,
    COLOURS as COLOURS,
    GREEN as GREEN,
    QUIET as QUIET,
    VERMILION as VERMILION,
    make_axes as make_axes,
    whole_numbers as whole_numbers,
)
from .collector import pause_collector as pause_collector
from .display import (
    display_kind as display_kind,
    write_line as write_line,
)
from .encodings import is_utf_8 as is_utf_8
from .interrupts import (
    HungUp as HungUp,
    Interrupts as Interrupts,
    Terminated as Terminated,
    check_interrupts as check_interrupts,
    checking_interrupts as checking_interrupts,
    hold_interrupts as hold_interrupts,
    interrupt_at_once as interrupt_at_once,
    interrupted as interrupted,
    interruptible as interruptible,
    uninterrupted as uninterrupted,
)
from .machine import (
    describe_machine as describe_machine,
    feature_names as feature_names,
    identify_build as identify_build,
    read_memory as read_memory,
    read_peak as read_peak,
)
from .notices import (
    notice as notice,
    warn as warn,
)
from .paths import (
    close_names as close_names,
    expand_path as expand_path,
)
from .progress import (
    Silent as Silent,
    SilentRows as SilentRows,
    format_means as format_means,
    make_progress as make_progress,
    row_progress as row_progress,
)
from .room import require_room as require_room
from .scratch import (
    ScratchFile as ScratchFile,
    ScratchMemory as ScratchMemory,
    cache_folder as cache_folder,
    cache_limit as cache_limit,
    spool as spool,
)
from .tables import (
    html_table as html_table,
    printable as printable,
    text_table as text_table,
    text_width as text_width,
)
from .threads import resolve_n_threads as resolve_n_threads
from .units import (
    format_seconds as format_seconds,
    format_size as format_size,
    format_time as format_time,
    parse_size as parse_size,
    parse_time as parse_time,
)
