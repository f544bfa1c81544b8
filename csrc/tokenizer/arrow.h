/* Strings in Arrow's C data and C stream interfaces, read in place.
 *
 * The numbers in the structures and buffers are checked before they are used: lengths and offsets
 * of arrays, numbers of buffers, missing buffers, offsets of strings, views, sizes of the buffers
 * that views refer to, and indices of dictionaries. An array that fails is refused as a whole.
 *
 * The interface does not say how large other buffers are, so the producer is trusted in this: what
 * a pointer points to is there, unless it is NULL. Bitmaps, offsets, views and indices have as many
 * items as length and offset of the array say, and strings as many bytes as their last offset says.
 * The bytes of strings are not trusted; the tokenizer checks that they are UTF-8. */
#ifndef BS_TOKENIZER_ARROW_H
#define BS_TOKENIZER_ARROW_H

#include <stdbool.h>

#include "core/status.h"
#include "tokenizer/arrow_abi.h"
#include "tokenizer/text.h"

/* The layouts of strings. */
typedef enum {
    BS_ARROW_OFFSETS_32, /* format "u": bytes between two offsets of 4 bytes */
    BS_ARROW_OFFSETS_64, /* format "U": bytes between two offsets of 8 bytes */
    BS_ARROW_VIEWS,      /* format "vu": views of 16 bytes, with the bytes or a reference */
} bs_arrow_layout;

/* A column of strings; zero it before the first use. */
typedef struct {
    struct ArrowArray *chunks; /* owned */
    int64_t n_chunks, capacity, n_texts;
    bs_arrow_layout layout;
    char index; /* format of the indices of dictionary-encoded strings, or 0 */
} bs_arrow;

/* Releases all chunks. */
void bs_arrow_clear(bs_arrow *arrow);

/* Sets the layout from a schema. Returns false if the schema is not one of strings. */
bool bs_arrow_find_layout(bs_arrow *arrow, const struct ArrowSchema *schema);

/* Takes ownership of a chunk, which is released if this fails. */
bs_status bs_arrow_append(bs_arrow *arrow, const struct ArrowArray *chunk, bs_error *e);

/* Takes all chunks of a stream. *strings is false if the stream fails or has another type. */
bs_status bs_arrow_read_stream(bs_arrow *arrow, struct ArrowArrayStream *stream, bool *strings,
                               bs_error *e);

/* Writes the n_texts texts to `out`. They are valid until bs_arrow_clear. Fails at the first value
 * that is missing (BS_ERR_TYPE) or invalid (BS_ERR_VALUE). */
bs_status bs_arrow_texts(const bs_arrow *arrow, bs_text *out, bs_error *e);

/* The index of the first missing value, or -1. */
int64_t bs_arrow_first_missing(const bs_arrow *arrow);

#endif
