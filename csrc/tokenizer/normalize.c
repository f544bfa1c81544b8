#include "tokenizer/normalize.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PARTS 4 /* parts of one character; the generator of the tables checks it */

/* Bits above the code of a pending mark, where sources are tracked. */
#define MARK_GONE (1u << 31) /* an accent that is removed once the marks are in order */
#define MARK_PART (1u << 30) /* not the first part of its character */
#define MARK_CODE 0x1FFFFFu

void bs_normbuf_free(bs_normbuf *out)
{
    free(out->bytes);
    free(out->word);
    free(out->cut);
    free(out->marks);
    free(out->ranks);
    free(out->sources);
    free(out->mark_sources);
    memset(out, 0, sizeof *out);
}

static bs_status marks_reserve(bs_normbuf *out, int64_t max_marks)
{
    uint32_t *marks = realloc(out->marks, sizeof *marks * (size_t)max_marks * 2);
    if (marks == NULL)
        return BS_ERR_MEMORY;
    out->marks = marks;
    uint8_t *ranks = realloc(out->ranks, (size_t)max_marks * 2);
    if (ranks == NULL)
        return BS_ERR_MEMORY;
    out->ranks = ranks;
    if (out->track) {
        int64_t *sources = realloc(out->mark_sources, sizeof *sources * (size_t)max_marks);
        if (sources == NULL)
            return BS_ERR_MEMORY;
        out->mark_sources = sources;
    }
    out->max_marks = max_marks;
    return BS_OK;
}

bs_status bs_normbuf_reserve(bs_normbuf *out, int64_t chars, int64_t max_marks, bs_error *e)
{
    int64_t need, words, old_words, waiting;

    if (chars > (INT64_MAX / 32 - out->n) / BS_EXPANSION)
        goto memory;
    if (out->track && out->max_marks < out->n_marks + chars * MAX_PARTS)
        max_marks = out->n_marks * 2 + chars * MAX_PARTS + 1;
    if (out->max_marks < max_marks && marks_reserve(out, max_marks) != BS_OK)
        goto memory;
    waiting = out->n_marks * 4;
    need = out->n + chars * BS_EXPANSION + waiting;
    if (out->bytes != NULL && need <= out->capacity)
        return BS_OK;
    need += need / 2;
    words = (need + BS_NORM_SLACK) / 64 + 2;
    old_words = out->word == NULL ? 0 : (out->capacity + BS_NORM_SLACK) / 64 + 2;

    uint8_t *bytes = realloc(out->bytes, (size_t)(need + BS_NORM_SLACK));
    if (bytes == NULL)
        goto memory;
    out->bytes = bytes;
    uint64_t *word = realloc(out->word, (size_t)words * sizeof *word);
    if (word == NULL)
        goto memory;
    out->word = word;
    uint64_t *cut = realloc(out->cut, (size_t)words * sizeof *cut);
    if (cut == NULL)
        goto memory;
    out->cut = cut;
    if (out->track) {
        int64_t *sources = realloc(out->sources, (size_t)(need + BS_NORM_SLACK) * sizeof *sources);
        if (sources == NULL)
            goto memory;
        out->sources = sources;
    }
    memset(word + old_words, 0, (size_t)(words - old_words) * sizeof *word);
    memset(cut + old_words, 0, (size_t)(words - old_words) * sizeof *cut);
    out->capacity = need;
    return BS_OK;

memory:
    return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for normalised text");
}

void bs_normbuf_restart(bs_normbuf *out, int64_t keep, int64_t keep_at_most)
{
    const size_t used = (size_t)(out->n / 64 + 2);
    const int64_t from = out->n - keep;
    if (keep > keep_at_most)
        keep = keep_at_most;
    memmove(out->bytes, out->bytes + from, (size_t)keep);
    if (out->track && keep > 0) {
        const int64_t last = out->sources[out->n - 1]; /* the end of the word if it ends here */
        memmove(out->sources, out->sources + from, (size_t)keep * sizeof *out->sources);
        out->sources[keep - 1] = last;
    }
    memset(out->word, 0, used * sizeof *out->word);
    memset(out->cut, 0, used * sizeof *out->cut);
    out->n = keep;
    for (int64_t i = 0; i < keep; i += 64)
        out->word[i >> 6] = keep - i >= 64 ? ~0ull : (1ull << (keep - i)) - 1;
}

/* `track` is a constant wherever these are called often, so it costs nothing if false. */
static inline void put_source(bs_normbuf *out, int n, int64_t source, bool track)
{
    for (int i = 0; track && i < n; i++)
        out->sources[out->n + i] = source;
}

static inline void put_word(bs_normbuf *out, uint32_t code, int64_t source, bool track)
{
    const int n = bs_utf8_put(out->bytes + out->n, code);
    bs_bits_or(out->word, out->n, (1ull << n) - 1);
    put_source(out, n, source, track);
    out->n += n;
}

static inline void put_space(bs_normbuf *out, uint32_t code, int64_t source, bool track)
{
    const int n = bs_utf8_put(out->bytes + out->n, code ? code : ' ');
    put_source(out, n, source, track);
    out->n += n;
}

static inline void put_alone(bs_normbuf *out, uint32_t code, int64_t source, bool track)
{
    const int n = bs_utf8_put(out->bytes + out->n, code);
    bs_bits_or(out->word, out->n, (1ull << n) - 1);
    bs_bits_or(out->cut, out->n, 1ull | 1ull << n);
    put_source(out, n, source, track);
    out->n += n;
}

/* Sorts the pending marks by rank, stably: by insertion, or by counting if there are many. */
static void marks_sort(bs_normbuf *out)
{
    const int64_t n = out->n_marks;
    uint32_t *marks = out->marks;
    uint8_t *ranks = out->ranks;

    if (n > 32) {
        int64_t start[257] = {0};
        uint32_t *sorted = out->marks + n; /* both arrays have room for 2 * max_marks */
        for (int64_t i = 0; i < n; i++)
            start[ranks[i] + 1]++;
        for (int r = 0; r < 256; r++)
            start[r + 1] += start[r];
        for (int64_t i = 0; i < n; i++)
            sorted[start[ranks[i]]++] = marks[i];
        memmove(marks, sorted, sizeof *marks * (size_t)n);
        return;
    }
    for (int64_t i = 1; i < n; i++) {
        const uint32_t mark = marks[i];
        const uint8_t rank = ranks[i];
        int64_t k = i;
        for (; k > 0 && ranks[k - 1] > rank; k--) {
            marks[k] = marks[k - 1];
            ranks[k] = ranks[k - 1];
        }
        marks[k] = mark;
        ranks[k] = rank;
    }
}

/* The library replaces characters in order: the first of the sorted marks stands for the first that
 * arrived, whichever that is, and a later part of a character for the last one replaced. */
static void flush_tracked(bs_normbuf *out)
{
    const int64_t *next = out->mark_sources;
    int64_t source = out->before_marks;
    for (int64_t i = 0; i < out->n_marks; i++) {
        const uint32_t mark = out->marks[i];
        if (!(mark & MARK_PART))
            source = *next++;
        if (!(mark & MARK_GONE))
            put_word(out, mark & MARK_CODE, source, true);
    }
    out->n_mark_sources = 0;
}

void bs_normbuf_flush(bs_normbuf *out)
{
    if (out->n_marks == 0)
        return;
    marks_sort(out);
    if (out->track)
        flush_tracked(out);
    else
        for (int64_t i = 0; i < out->n_marks; i++)
            put_word(out, out->marks[i], 0, false);
    out->n_marks = 0;
}

static void put_mark(bs_normbuf *out, uint32_t mark, uint32_t rank, int64_t source)
{
    if (out->n_marks == out->max_marks)
        return; /* the word is already too long, and stays so */
    if (out->track && out->n_marks == 0)
        out->before_marks = source; /* used if this is a part: the source of what precedes it */
    if (out->track && !(mark & MARK_PART))
        out->mark_sources[out->n_mark_sources++] = source;
    out->marks[out->n_marks] = mark;
    out->ranks[out->n_marks++] = (uint8_t)rank;
}

static void put_hangul(bs_normbuf *out, uint32_t code, int64_t source)
{
    const uint32_t index = code - 0xAC00;
    put_word(out, 0x1100 + index / 588, source, out->track);
    put_word(out, 0x1161 + index % 588 / 28, source, out->track);
    if (index % 28 != 0)
        put_word(out, 0x11A7 + index % 28, source, out->track);
}

/* Writes an entry that has several parts. Each part is a fully normalised character. */
static void put_many(const bs_charmap *map, uint32_t payload, bs_normbuf *out, int64_t source)
{
    const uint32_t *const first = map->many + (payload >> 3);
    for (const uint32_t *part = first, *end = first + (payload & 7); part < end; part++) {
        const uint32_t code = BS_CHAR_PAYLOAD(*part);
        if (BS_CHAR_KIND(*part) == BS_CHAR_MARK) {
            const uint32_t rank = BS_CHAR_PAYLOAD(bs_charmap_get(map, code));
            put_mark(out, code | (out->track && part > first ? MARK_PART : 0), rank, source);
            continue;
        }
        bs_normbuf_flush(out);
        if (BS_CHAR_KIND(*part) == BS_CHAR_WORD)
            put_word(out, code, source, out->track);
        else if (BS_CHAR_KIND(*part) == BS_CHAR_ALONE)
            put_alone(out, code, source, out->track);
        else
            put_space(out, code, source, out->track);
    }
}

/* Returns false if the entry is not a character. */
static bool put_other(const bs_charmap *map, uint32_t code, uint32_t entry, bs_normbuf *out,
                      int64_t source)
{
    const uint32_t payload = BS_CHAR_PAYLOAD(entry);
    switch (BS_CHAR_KIND(entry)) {
    case BS_CHAR_DROP:
        if (out->track && payload != 0)
            put_mark(out, code | MARK_GONE, payload, source);
        return true;
    case BS_CHAR_BREAK:
        bs_normbuf_flush(out);
        return true;
    case BS_CHAR_MARK:
        put_mark(out, code, payload, source);
        return true;
    case BS_CHAR_MANY:
        put_many(map, payload, out, source);
        return true;
    default:
        break;
    }
    bs_normbuf_flush(out);
    switch (payload & 7) {
    case BS_OTHER_CJK:
        if (out->keep_spaces)
            put_space(out, 0, source, out->track);
        put_alone(out, payload >> 3 ? payload >> 3 : code, source, out->track);
        if (out->keep_spaces)
            put_space(out, 0, source, out->track);
        return true;
    case BS_OTHER_HANGUL:
        put_hangul(out, code, source);
        return true;
    default:
        return false;
    }
}

static inline bool put_char(const bs_charmap *map, uint32_t code, bs_normbuf *out, int64_t source,
                            bool track)
{
    const uint32_t entry = bs_charmap_get(map, code);
    const uint32_t kind = BS_CHAR_KIND(entry);
    if (kind > BS_CHAR_SPACE)
        return put_other(map, code, entry, out, source);
    if (out->n_marks != 0)
        bs_normbuf_flush(out);
    const uint32_t changed = BS_CHAR_PAYLOAD(entry);
    if (kind == BS_CHAR_WORD)
        put_word(out, changed ? changed : code, source, track);
    else if (kind == BS_CHAR_ALONE)
        put_alone(out, changed ? changed : code, source, track);
    else
        put_space(out, changed, source, track);
    return true;
}

/* Takes blocks of plain ASCII, if any: one byte for each unit. Returns the number of units. */
static inline int64_t put_blocks(const bs_normalizer *how, int width, const void *units,
                                 int64_t count, bs_normbuf *out, int64_t source, bool track)
{
    const int64_t n = out->n;
    const int64_t taken = how->scan[width](units, count, how->lower, out);
    for (int64_t i = 0; track && i < taken; i++)
        out->sources[n + i] = source + i;
    return taken;
}

/* One function for each width, with and without tracking. Takes characters one by one, and blocks
 * of plain ASCII at once. */
#define NORMALIZE_UNITS(name, unit, slot, track)                                                 \
    static bs_status name(const bs_normalizer *how, const unit *chars, int64_t at, int64_t to,   \
                          bs_normbuf *out, int64_t *bad)                                         \
    {                                                                                            \
        while (at < to) {                                                                        \
            if (chars[at] < 0x80 && out->n_marks == 0)                                           \
                at += put_blocks(how, slot, chars + at, to - at, out, at, track);                \
            const int64_t stop = to - at < BS_BLOCK ? to : at + BS_BLOCK;                        \
            for (; at < stop; at++) {                                                            \
                if ((uint32_t)chars[at] >= 0x110000u                                             \
                    || !put_char(how->map, chars[at], out, at, track)) {                         \
                    *bad = at;                                                                   \
                    return BS_ERR_VALUE;                                                         \
                }                                                                                \
            }                                                                                    \
        }                                                                                        \
        return BS_OK;                                                                            \
    }

NORMALIZE_UNITS(normalize_latin1, uint8_t, 0, false)
NORMALIZE_UNITS(normalize_ucs2, uint16_t, 1, false)
NORMALIZE_UNITS(normalize_ucs4, uint32_t, 2, false)
NORMALIZE_UNITS(track_latin1, uint8_t, 0, true)
NORMALIZE_UNITS(track_ucs2, uint16_t, 1, true)
NORMALIZE_UNITS(track_ucs4, uint32_t, 2, true)

#define NORMALIZE_UTF8(name, track)                                                              \
    static bs_status name(const bs_normalizer *how, const uint8_t *bytes, int64_t at,            \
                          int64_t to, bs_normbuf *out, int64_t *bad)                             \
    {                                                                                            \
        while (at < to) {                                                                        \
            if (bytes[at] < 0x80 && out->n_marks == 0)                                           \
                at += put_blocks(how, 0, bytes + at, to - at, out, at, track);                   \
            const int64_t stop = to - at < BS_BLOCK ? to : at + BS_BLOCK;                        \
            while (at < stop) {                                                                  \
                const int64_t start = at;                                                        \
                const uint32_t code = bs_utf8_next(bytes, &at, to);                              \
                if (code == BS_CODE_BAD || !put_char(how->map, code, out, start, track)) {       \
                    *bad = at;                                                                   \
                    return BS_ERR_VALUE;                                                         \
                }                                                                                \
            }                                                                                    \
        }                                                                                        \
        return BS_OK;                                                                            \
    }

NORMALIZE_UTF8(normalize_utf8, false)
NORMALIZE_UTF8(track_utf8, true)

bs_status bs_normalize(const bs_normalizer *how, const bs_text *text, int64_t from, int64_t to,
                       bs_normbuf *out, int64_t *bad)
{
    switch (text->form) {
    case BS_TEXT_LATIN1:
        return (out->track ? track_latin1 : normalize_latin1)(how, text->data, from, to, out, bad);
    case BS_TEXT_UCS2:
        return (out->track ? track_ucs2 : normalize_ucs2)(how, text->data, from, to, out, bad);
    case BS_TEXT_UCS4:
        return (out->track ? track_ucs4 : normalize_ucs4)(how, text->data, from, to, out, bad);
    default:
        return (out->track ? track_utf8 : normalize_utf8)(how, text->data, from, to, out, bad);
    }
}
