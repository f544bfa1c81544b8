#include "tokenizer/arrow.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_VIEW = 12 /* most bytes that a view holds itself */ };

/* Larger than any buffer can be; 16 times that does not overflow. */
#define MOST (INT64_C(1) << 56)

static bool bit_at(const uint8_t *bits, int64_t i)
{
    return (bits[i >> 3] >> (i & 7) & 1) != 0;
}

/* Whether item i of an array is missing. Like all items below, i does not include the offset of
 * the array. */
static bool is_missing(const struct ArrowArray *array, int64_t i)
{
    return array->null_count != 0 && array->buffers[0] != NULL
           && !bit_at(array->buffers[0], array->offset + i);
}

static int64_t signed_at(const void *values, int size, int64_t i)
{
    const char *at = (const char *)values + i * size;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    switch (size) {
    case 1:
        memcpy(&i8, at, sizeof i8);
        return i8;
    case 2:
        memcpy(&i16, at, sizeof i16);
        return i16;
    case 4:
        memcpy(&i32, at, sizeof i32);
        return i32;
    default:
        memcpy(&i64, at, sizeof i64);
        return i64;
    }
}

/* Returns index i of a buffer. Unsigned values above INT64_MAX become negative. */
static int64_t index_at(char format, const void *indices, int64_t i)
{
    switch (format) {
    case 'c':
        return signed_at(indices, 1, i);
    case 'C':
        return (uint8_t)signed_at(indices, 1, i);
    case 's':
        return signed_at(indices, 2, i);
    case 'S':
        return (uint16_t)signed_at(indices, 2, i);
    case 'i':
        return signed_at(indices, 4, i);
    case 'I':
        return (uint32_t)signed_at(indices, 4, i);
    default:
        return signed_at(indices, 8, i);
    }
}

/* Finds the text of view `at`. A view holds the length, then either the bytes, or 4 of them, the
 * number of a buffer and the offset in it. The last buffer of the array holds the sizes of the
 * buffers that views refer to. Returns NULL, or what is wrong. */
static const char *view_text(const struct ArrowArray *values, int64_t at, bs_text *out)
{
    const char *view = (const char *)values->buffers[1] + at * 16;
    const int64_t length = signed_at(view, 4, 0);
    const char *bytes = view + 4;
    if (length < 0)
        return "a view has a length below 0";
    if (length > SHORT_VIEW) {
        const int64_t buffer = signed_at(view, 4, 2), start = signed_at(view, 4, 3);
        const int64_t n_buffers = values->n_buffers - 3;
        if (buffer < 0 || buffer >= n_buffers)
            return "a view refers to a buffer that is not there";
        const void *sizes = values->buffers[2 + n_buffers];
        const char *data = values->buffers[2 + buffer];
        if (sizes == NULL || data == NULL)
            return "a view refers to a buffer that is not there";
        const int64_t size = signed_at(sizes, 8, buffer);
        if (start < 0 || size < length || start > size - length)
            return "a view lies outside of its buffer";
        bytes = data + start;
    }
    *out = (bs_text){bytes, length, BS_TEXT_UTF8};
    return NULL;
}

static int offset_size(const bs_arrow *arrow)
{
    return arrow->layout == BS_ARROW_OFFSETS_64 ? 8 : 4;
}

/* The number of bytes of the strings of an array, by its last offset. */
static int64_t bytes_of(const bs_arrow *arrow, const struct ArrowArray *values)
{
    if (arrow->layout == BS_ARROW_VIEWS || values->buffers[1] == NULL)
        return 0;
    return signed_at(values->buffers[1], offset_size(arrow), values->offset + values->length);
}

/* Finds the text of item i of an array of `n_bytes` bytes. Returns NULL, or what is wrong. */
static const char *string_text(const bs_arrow *arrow, const struct ArrowArray *values,
                               int64_t n_bytes, int64_t i, bs_text *out)
{
    const int64_t at = values->offset + i;
    const int size = offset_size(arrow);
    if (arrow->layout == BS_ARROW_VIEWS)
        return view_text(values, at, out);
    const int64_t start = signed_at(values->buffers[1], size, at);
    const int64_t stop = signed_at(values->buffers[1], size, at + 1);
    const char *bytes = values->buffers[2];
    /* Of a dictionary only some offsets are read, so each is compared with the last one. */
    if (start < 0 || stop < start || stop > n_bytes || stop > MOST)
        return "its offsets are out of order";
    if (bytes == NULL && stop > start)
        return "the bytes of its strings are missing";
    *out = (bs_text){bytes == NULL ? "" : bytes + start, stop - start, BS_TEXT_UTF8};
    return NULL;
}

/* Returns the item of the dictionary that item i of a chunk refers to, or a negative number if
 * there is no such item. */
static int64_t dictionary_index(const bs_arrow *arrow, const struct ArrowArray *chunk, int64_t i)
{
    const int64_t index = index_at(arrow->index, chunk->buffers[1], chunk->offset + i);
    return index < chunk->dictionary->length ? index : -1;
}

/* Whether text i of a chunk is missing, either itself or in the dictionary. */
static bool is_text_missing(const bs_arrow *arrow, const struct ArrowArray *chunk, int64_t i)
{
    if (arrow->index == 0 || is_missing(chunk, i))
        return is_missing(chunk, i);
    const int64_t index = dictionary_index(arrow, chunk, i);
    return index >= 0 && is_missing(chunk->dictionary, index);
}

/* Whether a chunk is known to have no missing value. */
static bool has_none_missing(const bs_arrow *arrow, const struct ArrowArray *chunk)
{
    return chunk->null_count == 0 && (arrow->index == 0 || chunk->dictionary->null_count == 0);
}

bs_status bs_arrow_texts(const bs_arrow *arrow, bs_text *out, bs_error *e)
{
    int64_t at = 0;
    for (int64_t c = 0; c < arrow->n_chunks; c++) {
        const struct ArrowArray *chunk = &arrow->chunks[c];
        const struct ArrowArray *values = arrow->index == 0 ? chunk : chunk->dictionary;
        const int64_t n_bytes = bytes_of(arrow, values);
        for (int64_t i = 0; i < chunk->length; i++, at++) {
            if (is_text_missing(arrow, chunk, i))
                return bs_error_set(e, BS_ERR_TYPE, at, "expected str, got None");
            const int64_t item = arrow->index == 0 ? i : dictionary_index(arrow, chunk, i);
            const char *wrong = item < 0 ? "an index lies outside of its dictionary"
                                         : string_text(arrow, values, n_bytes, item, &out[at]);
            if (wrong != NULL)
                return bs_error_set(e, BS_ERR_VALUE, at, "the Arrow array is invalid: %s", wrong);
        }
    }
    return BS_OK;
}

int64_t bs_arrow_first_missing(const bs_arrow *arrow)
{
    int64_t at = 0;
    for (int64_t c = 0; c < arrow->n_chunks; c++) {
        const struct ArrowArray *chunk = &arrow->chunks[c];
        if (has_none_missing(arrow, chunk)) {
            at += chunk->length;
            continue;
        }
        for (int64_t i = 0; i < chunk->length; i++, at++)
            if (is_text_missing(arrow, chunk, i))
                return at;
    }
    return -1;
}

bool bs_arrow_find_layout(bs_arrow *arrow, const struct ArrowSchema *schema)
{
    const char *format = schema->format;
    arrow->index = 0;
    if (schema->dictionary != NULL) {
        if (format == NULL || strlen(format) != 1 || strchr("cCsSiIlL", format[0]) == NULL)
            return false;
        arrow->index = format[0];
        format = schema->dictionary->format;
        if (schema->dictionary->dictionary != NULL)
            return false;
    }
    if (format == NULL)
        return false;
    if (strcmp(format, "u") == 0)
        arrow->layout = BS_ARROW_OFFSETS_32;
    else if (strcmp(format, "U") == 0)
        arrow->layout = BS_ARROW_OFFSETS_64;
    else if (strcmp(format, "vu") == 0)
        arrow->layout = BS_ARROW_VIEWS;
    else
        return false;
    return true;
}

/* Checks an array with at least `n_buffers` buffers: a bitmap, items, and others. Returns NULL, or
 * what is wrong. */
static const char *check_array(const struct ArrowArray *array, int64_t n_buffers)
{
    if (array->length < 0 || array->offset < 0 || array->offset > MOST
        || array->length > MOST - array->offset)
        return "its length or its offset is not possible";
    if (array->n_buffers < n_buffers || array->buffers == NULL)
        return "it has too few buffers";
    if (array->null_count > 0 && array->buffers[0] == NULL)
        return "it counts missing values, but does not say which";
    if (array->length > 0 && array->buffers[1] == NULL)
        return "a buffer is missing";
    return NULL;
}

static const char *check_chunk(const bs_arrow *arrow, const struct ArrowArray *chunk)
{
    const char *wrong = check_array(chunk, arrow->index == 0 ? 3 : 2);
    if (wrong != NULL)
        return wrong;
    if (chunk->length > MOST - arrow->n_texts)
        return "its length or its offset is not possible";
    if (arrow->index == 0)
        return NULL;
    return chunk->dictionary == NULL ? "it has no dictionary" : check_array(chunk->dictionary, 3);
}

bs_status bs_arrow_append(bs_arrow *arrow, const struct ArrowArray *chunk, bs_error *e)
{
    struct ArrowArray own = *chunk;
    const char *wrong = check_chunk(arrow, chunk);
    bs_status status = BS_OK;
    if (wrong != NULL) {
        status = bs_error_set(e, BS_ERR_VALUE, -1, "the Arrow array is invalid: %s", wrong);
        goto done;
    }
    if (arrow->n_chunks == arrow->capacity) {
        const int64_t capacity = 2 * arrow->capacity + 1;
        struct ArrowArray *chunks = realloc(arrow->chunks, (size_t)capacity * sizeof *chunks);
        if (chunks == NULL) {
            status = bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for Arrow arrays");
            goto done;
        }
        arrow->chunks = chunks;
        arrow->capacity = capacity;
    }
    arrow->chunks[arrow->n_chunks++] = own;
    arrow->n_texts += own.length;
done:
    if (status != BS_OK)
        own.release(&own);
    return status;
}

bs_status bs_arrow_read_stream(bs_arrow *arrow, struct ArrowArrayStream *stream, bool *strings,
                               bs_error *e)
{
    struct ArrowSchema schema = {0};
    *strings = false;
    if (stream->get_schema(stream, &schema) != 0 || schema.release == NULL)
        return BS_OK;
    const bool found = bs_arrow_find_layout(arrow, &schema);
    schema.release(&schema);
    while (found) {
        struct ArrowArray chunk = {0};
        if (stream->get_next(stream, &chunk) != 0)
            break;
        if (chunk.release == NULL) {
            *strings = true;
            break;
        }
        if (bs_arrow_append(arrow, &chunk, e) != BS_OK)
            return e->status;
    }
    return BS_OK;
}

void bs_arrow_clear(bs_arrow *arrow)
{
    for (int64_t c = 0; c < arrow->n_chunks; c++)
        arrow->chunks[c].release(&arrow->chunks[c]);
    free(arrow->chunks);
    *arrow = (bs_arrow){0};
}
