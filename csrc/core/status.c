#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

bs_status bs_error_set(bs_error *e, bs_status status, int64_t item, const char *format, ...)
{
    if (e != NULL && e->status == BS_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
        e->status = status;
        e->item = item;
    }
    return status;
}
