#include "tokenizer/ids.h"

#include <stdlib.h>
#include <string.h>

bs_status bs_ids_reserve(bs_ids *ids, int64_t more, bs_error *e)
{
    if (ids->capacity - ids->n >= more)
        return BS_OK;
    const int64_t capacity = (ids->n + more) + ids->n / 2 + 1024;
    int32_t *data = realloc(ids->data, sizeof *data * (size_t)capacity);
    if (data == NULL)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for token ids");
    ids->data = data;
    if (ids->track) {
        bs_span *spans = realloc(ids->spans, sizeof *spans * (size_t)capacity);
        if (spans == NULL)
            return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the places of tokens");
        ids->spans = spans;
    }
    ids->capacity = capacity;
    return BS_OK;
}

void bs_ids_free(bs_ids *ids)
{
    free(ids->data);
    free(ids->spans);
    memset(ids, 0, sizeof *ids);
}

void bs_ids_move(bs_ids *ids, int64_t to, int64_t from, int64_t count)
{
    if (to == from || count == 0)
        return;
    memmove(ids->data + to, ids->data + from, sizeof *ids->data * (size_t)count);
    if (ids->track)
        memmove(ids->spans + to, ids->spans + from, sizeof *ids->spans * (size_t)count);
}

void bs_ids_keep(bs_ids *ids, int64_t first, int64_t head, int64_t tail)
{
    if (ids->n - first <= head + tail)
        return;
    bs_ids_move(ids, first + head, ids->n - tail, tail);
    ids->n = first + head + tail;
}

void bs_spans_finish(bs_ids *ids, int64_t first, int64_t last, const bs_text *text)
{
    const uint8_t *bytes = text->data;
    int64_t unit = 0, chars = 0; /* spans move forward in all but contrived cases */

    for (int64_t i = first; i < last; i++) {
        int64_t *ends[2] = {&ids->spans[i].start, &ids->spans[i].stop};
        for (int k = 0; k < 2; k++) {
            const int64_t wanted = *ends[k];
            if (text->form == BS_TEXT_UTF8) {
                for (; unit < wanted; unit++)
                    chars += (bytes[unit] & 0xC0) != 0x80;
                for (; unit > wanted; unit--)
                    chars -= (bytes[unit - 1] & 0xC0) != 0x80;
                *ends[k] = chars + k;
            } else {
                *ends[k] = wanted + k;
            }
        }
    }
}
