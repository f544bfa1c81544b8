/* Status codes, and the error record that every fallible function fills.
 *
 * The engine never touches Python: it returns a status, and csrc/python turns the record into an
 * exception. */
#ifndef BS_CORE_STATUS_H
#define BS_CORE_STATUS_H

#include <stdint.h>

typedef enum {
    BS_OK = 0,
    BS_ERR_MEMORY,
    BS_ERR_VALUE,
    BS_ERR_TYPE,
    BS_ERR_INDEX,
    BS_ERR_NONFINITE,
    BS_ERR_SYSTEM
} bs_status;

typedef struct {
    bs_status status;
    int64_t item; /* index of the item at fault, -1 if none */
    char text[256];
} bs_error;

#define BS_ERROR_INIT {BS_OK, -1, {0}}

/* Records a failure and returns `status`. Only the first failure is kept. `e` may be NULL. */
bs_status bs_error_set(bs_error *e, bs_status status, int64_t item, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

#endif
