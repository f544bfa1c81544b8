/* Arrow arrays and streams that say what is not true, as far as that can be found out. What a
 * consumer must believe is true here: buffers have as many items as the array says, and exactly
 * these, so that reads beyond them are found. The result is compared with rules that are written
 * down again below. */
#include "common.h"
#include "tokenizer/arrow.h"

#define MOST (INT64_C(1) << 56) /* arrays that claim more items are refused */
#define MAX_CHUNKS 4
#define MAX_ITEMS 12
#define MAX_BYTES 512

enum { BITMAP, ITEMS, DATA, MAX_BUFFERS = 8 };

typedef struct {
    struct ArrowArray array;
    const void *buffers[MAX_BUFFERS];
    int n_made;
} values;

typedef struct {
    values own, dictionary;
    int released;
    bool broken; /* refused as a whole */
} chunk;

typedef struct {
    chunk chunks[MAX_CHUNKS];
    int n_chunks, next;
    struct ArrowSchema schema, of_dictionary;
    int released_schemas;
    bool fails_first, fails_last, unreleased;
} producer;

/* What the reader of the column must say. */
typedef struct {
    bool strings;
    bool broken;
    bs_status status;
    int64_t item, n_texts, missing;
    bs_text texts[MAX_CHUNKS * MAX_ITEMS];
} expected;

static const char *const string_formats[] = {"u", "U", "vu"};

/* --- making arrays ------------------------------------------------------------------------ */

static void *make_bytes(reader *r, size_t size)
{
    uint8_t *bytes = must_alloc(NULL, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = read_byte(r);
    return bytes;
}

static void put(void *items, int size, int64_t i, int64_t value)
{
    memcpy((char *)items + i * size, &value, (size_t)size); /* little-endian */
}

static int64_t get(const void *items, int size, int64_t i)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)items + i * size, (size_t)size);
    const int shift = 64 - 8 * size;
    return (int64_t)(value << shift) >> shift;
}

/* Offsets that rise, but for some; the last one is that of the bytes that are there. */
static void make_offsets(reader *r, values *v, int size, int64_t n)
{
    void *offsets = must_alloc(NULL, (size_t)(n + 1) * (size_t)size);
    int64_t at = read_below(r, 8);
    for (int64_t i = 0; i <= n; i++, at += read_below(r, 20))
        put(offsets, size, i, read_one_in(r, 24) ? read_hostile(r) : at);
    int64_t last = get(offsets, size, n);
    if (last > MAX_BYTES)
        put(offsets, size, n, last = last % MAX_BYTES);
    v->buffers[ITEMS] = offsets;
    v->buffers[DATA] = make_bytes(r, last > 0 ? (size_t)last : 0);
    v->n_made = 3;
}

/* Views that hold their bytes or refer to one of a few buffers, and the sizes of these. */
static void make_views(reader *r, values *v, int64_t n)
{
    const int n_data = read_below(r, 4);
    int64_t sizes[4] = {0};
    for (int i = 0; i < n_data; i++) {
        sizes[i] = read_below(r, 40);
        v->buffers[DATA + i] = make_bytes(r, (size_t)sizes[i]);
        if (read_one_in(r, 24)) /* less than there is can be said, but not more */
            sizes[i] = -1 - (int64_t)(read_any(r) & INT64_MAX);
        else if (read_one_in(r, 24))
            sizes[i] /= 2;
    }
    v->buffers[DATA + n_data] = must_alloc(NULL, 8 * (size_t)n_data);
    memcpy((void *)v->buffers[DATA + n_data], sizes, 8 * (size_t)n_data);
    uint8_t *views = make_bytes(r, 16 * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t buffer =
            read_one_in(r, 24) ? read_hostile(r) : read_below(r, n_data + !n_data);
        const int64_t start = read_one_in(r, 24) ? read_hostile(r) : read_below(r, 12);
        const int64_t length = read_one_in(r, 24) ? read_hostile(r) : read_below(r, 26);
        put(views, 4, 4 * i, length);
        if (length > 12) {
            put(views, 4, 4 * i + 2, buffer);
            put(views, 4, 4 * i + 3, start);
        }
    }
    v->buffers[ITEMS] = views;
    v->n_made = 3 + n_data;
}

static void make_indices(reader *r, values *v, int size, int64_t n)
{
    void *indices = must_alloc(NULL, (size_t)n * (size_t)size);
    for (int64_t i = 0; i < n; i++)
        put(indices, size, i, read_one_in(r, 24) ? read_hostile(r) : read_below(r, 6));
    v->buffers[ITEMS] = indices;
    v->n_made = 2;
}

static void drop_buffer(values *v, int i)
{
    free((void *)v->buffers[i]);
    v->buffers[i] = NULL;
}

static bool is_possible(int64_t length, int64_t offset)
{
    return length >= 0 && offset >= 0 && (__int128)length + offset <= MOST;
}

/* Makes an array of `format`, or of indices of `size` bytes. */
static void make_values(reader *r, values *v, const char *format, int size)
{
    const int64_t length = read_below(r, MAX_ITEMS);
    const int64_t offset = read_one_in(r, 4) ? read_below(r, 20) : 0;
    if (size != 0)
        make_indices(r, v, size, length + offset);
    else if (strcmp(format, "vu") == 0)
        make_views(r, v, length + offset);
    else
        make_offsets(r, v, strcmp(format, "U") == 0 ? 8 : 4, length + offset);
    if (read_below(r, 3) == 1)
        v->buffers[BITMAP] = make_bytes(r, (size_t)(length + offset + 7) / 8);
    v->array = (struct ArrowArray){.length = length, .offset = offset, .n_buffers = v->n_made,
                                   .buffers = v->buffers};
    if (v->buffers[BITMAP] != NULL || read_one_in(r, 24))
        v->array.null_count = read_one_in(r, 4) ? read_hostile(r) : -(int64_t)read_below(r, 2);
    if (!read_one_in(r, 6))
        return;
    const int64_t hostile = read_hostile(r);
    switch (read_below(r, 6)) {
    case 0: /* what would have to be believed is not said */
        v->array.length = is_possible(hostile, offset) ? length : hostile;
        break;
    case 1:
        v->array.offset = is_possible(length, hostile) ? offset : hostile;
        break;
    case 2:
        v->array.n_buffers = hostile < v->n_made ? hostile : v->n_made;
        break;
    case 3:
        v->array.buffers = NULL;
        break;
    default:
        drop_buffer(v, (int)(hostile & 7) % v->n_made);
        break;
    }
}

static void release_values(values *v)
{
    for (int i = 0; i < v->n_made; i++)
        free((void *)v->buffers[i]);
}

/* --- the callbacks ------------------------------------------------------------------------ */

static void release_chunk(struct ArrowArray *array)
{
    chunk *c = array->private_data;
    c->released++;
    release_values(&c->own);
    release_values(&c->dictionary);
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    ((producer *)schema->private_data)->released_schemas++;
    schema->release = NULL;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    producer *p = stream->private_data;
    if (p->fails_first)
        return 5;
    *out = p->schema;
    if (p->unreleased)
        out->release = NULL;
    return 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    producer *p = stream->private_data;
    if (p->next == p->n_chunks) {
        *out = (struct ArrowArray){0};
        return p->fails_last ? 5 : 0;
    }
    *out = p->chunks[p->next++].own.array;
    return 0;
}

/* --- what must come out ------------------------------------------------------------------- */

static int index_size(char format)
{
    return format == 'c' || format == 'C' ? 1 : format == 's' || format == 'S' ? 2
           : format == 'i' || format == 'I' ? 4 : 8;
}

static bool is_whole(const values *v, int least)
{
    const struct ArrowArray *a = &v->array;
    return is_possible(a->length, a->offset) && a->n_buffers >= least && a->buffers != NULL
           && (a->null_count <= 0 || v->buffers[BITMAP] != NULL)
           && (a->length == 0 || v->buffers[ITEMS] != NULL);
}

static bool is_null(const values *v, int64_t i)
{
    const uint8_t *bits = v->buffers[BITMAP];
    i += v->array.offset;
    return v->array.null_count != 0 && bits != NULL && !(bits[i / 8] & 1 << i % 8);
}

/* The text of item i, or false if it is broken. */
static bool text_at(const values *v, const char *format, int64_t i, bs_text *text)
{
    const int size = strcmp(format, "U") == 0 ? 8 : 4;
    const int64_t at = v->array.offset + i;
    text->form = BS_TEXT_UTF8;
    if (strcmp(format, "vu") != 0) {
        const int64_t start = get(v->buffers[ITEMS], size, at);
        const int64_t stop = get(v->buffers[ITEMS], size, at + 1);
        const int64_t last = get(v->buffers[ITEMS], size, v->array.offset + v->array.length);
        const char *data = v->buffers[DATA];
        if (start < 0 || start > stop || stop > last || (data == NULL && start < stop))
            return false;
        text->data = data == NULL ? NULL : data + start;
        text->length = stop - start;
        return true;
    }
    const char *view = (const char *)v->buffers[ITEMS] + 16 * at;
    const int64_t length = get(view, 4, 0), buffer = get(view, 4, 2), start = get(view, 4, 3);
    text->data = view + 4;
    text->length = length;
    if (length <= 12)
        return length >= 0;
    if (buffer < 0 || buffer >= v->n_made - 3 || v->buffers[DATA + buffer] == NULL
        || v->buffers[v->n_made - 1] == NULL || v->array.n_buffers != v->n_made)
        return false;
    if (start < 0 || start + length > get(v->buffers[v->n_made - 1], 8, buffer))
        return false;
    text->data = (const char *)v->buffers[DATA + buffer] + start;
    return true;
}

/* One chunk's part of the result. */
static void expect_chunk(const chunk *c, const char *format, char index, expected *want)
{
    for (int64_t i = 0; i < c->own.array.length; i++, want->n_texts++) {
        const values *v = &c->own;
        int64_t item = i;
        bool missing = is_null(v, i), wrong = false;
        if (index != 0 && !missing) {
            const int size = index_size(index);
            item = get(v->buffers[ITEMS], size, v->array.offset + i);
            if (index < 'a' && size < 8)
                item &= (INT64_C(1) << 8 * size) - 1;
            v = &c->dictionary;
            wrong = item < 0 || item >= v->array.length;
            missing = !wrong && is_null(v, item);
        }
        if (missing && want->missing < 0)
            want->missing = want->n_texts;
        bs_text *text = &want->texts[want->n_texts];
        if (want->status == BS_OK && (missing || wrong || !text_at(v, format, item, text))) {
            want->status = missing ? BS_ERR_TYPE : BS_ERR_VALUE;
            want->item = want->n_texts;
        }
    }
}

static bool is_string_format(const char *format)
{
    return format != NULL
           && (strcmp(format, "u") == 0 || strcmp(format, "U") == 0 || strcmp(format, "vu") == 0);
}

static expected expect(const producer *p, int n_chunks)
{
    expected want = {.status = BS_OK, .item = -1, .missing = -1};
    const char *format = p->schema.format;
    const char index = p->schema.dictionary != NULL && format != NULL ? *format : 0;
    want.strings = is_string_format(format);
    if (p->schema.dictionary != NULL) {
        want.strings = format != NULL && strlen(format) == 1 && strchr("cCsSiIlL", *format) != NULL
                       && is_string_format(p->of_dictionary.format)
                       && p->of_dictionary.dictionary == NULL;
        format = p->of_dictionary.format;
    }
    for (int i = 0; i < n_chunks && want.strings && !want.broken; i++) {
        const chunk *c = &p->chunks[i];
        want.broken = !is_whole(&c->own, index ? 2 : 3)
                      || (index && c->own.array.dictionary == NULL)
                      || (index && !is_whole(&c->dictionary, 3));
        if (!want.broken)
            expect_chunk(c, format, index, &want);
    }
    return want;
}

/* --- the target --------------------------------------------------------------------------- */

/* A schema, usually one of strings, and chunks that have its layout. */
static void make_producer(reader *r, producer *p)
{
    static const char *const odd[] = {NULL, "", "z", "uu", "cc", "vz", "+s", "i"};
    const char *format = string_formats[read_below(r, 3)];
    const char *const index = &"cCsSiIlL"[read_below(r, 8)];
    const bool coded = read_below(r, 3) == 1;
    static char index_format[2];
    index_format[0] = *index;
    p->schema = (struct ArrowSchema){.format = format, .release = release_schema,
                                     .private_data = p};
    p->of_dictionary = (struct ArrowSchema){.format = format};
    if (coded) {
        p->schema.format = index_format;
        p->schema.dictionary = &p->of_dictionary;
    }
    p->n_chunks = read_below(r, MAX_CHUNKS + 1);
    for (int i = 0; i < p->n_chunks; i++) {
        chunk *c = &p->chunks[i];
        make_values(r, &c->own, format, coded ? index_size(*index) : 0);
        if (coded)
            make_values(r, &c->dictionary, format, 0);
        c->own.array.dictionary = coded && !read_one_in(r, 32) ? &c->dictionary.array : NULL;
        c->own.array.release = release_chunk;
        c->own.array.private_data = c;
    }
    if (read_one_in(r, 16)) { /* the schema lies */
        if (coded && read_one_in(r, 2))
            p->of_dictionary.format = odd[read_below(r, 8)];
        else if (coded && read_one_in(r, 2))
            p->of_dictionary.dictionary = &p->schema;
        else
            p->schema.format = odd[read_below(r, 7)]; /* "i" would be indices */
    }
    p->fails_first = read_one_in(r, 64);
    p->fails_last = read_one_in(r, 32);
    p->unreleased = read_one_in(r, 64);
}

static void check_texts(const bs_arrow *arrow, const expected *want)
{
    static volatile uint8_t sum; /* so that all bytes are read */
    bs_text *texts = must_alloc(NULL, sizeof *texts * (size_t)arrow->n_texts);
    bs_error e = BS_ERROR_INIT;
    CHECK(arrow->n_texts == want->n_texts, "%lld texts", (long long)arrow->n_texts);
    CHECK(bs_arrow_first_missing(arrow) == want->missing, "missing: %lld, not %lld",
          (long long)bs_arrow_first_missing(arrow), (long long)want->missing);
    const bs_status status = bs_arrow_texts(arrow, texts, &e);
    CHECK(status == want->status && e.item == want->item, "status %d at %lld, not %d at %lld: %s",
          status, (long long)e.item, want->status, (long long)want->item, e.text);
    for (int64_t i = 0; i < arrow->n_texts && status == BS_OK; i++) {
        const bs_text *a = &texts[i], *b = &want->texts[i];
        CHECK(a->length == b->length && a->form == BS_TEXT_UTF8
                  && (a->length == 0 || a->data == b->data),
              "text %lld", (long long)i);
        for (int64_t k = 0; k < a->length; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)a->data)[k]);
    }
    free(texts);
}

/* As one array, which is the first chunk. */
static void run_array(producer *p)
{
    bs_arrow arrow = {0};
    bs_error e = BS_ERROR_INIT;
    const expected want = expect(p, 1);
    const bool strings = bs_arrow_find_layout(&arrow, &p->schema);
    CHECK(strings == want.strings, "%d", strings);
    if (!strings)
        return;
    const bs_status status = bs_arrow_append(&arrow, &p->chunks[p->next++].own.array, &e);
    CHECK((status == BS_ERR_VALUE) == want.broken, "status %d: %s", status, e.text);
    if (status == BS_OK)
        check_texts(&arrow, &want);
    bs_arrow_clear(&arrow);
}

static void run_stream(producer *p)
{
    struct ArrowArrayStream stream = {.get_schema = get_schema, .get_next = get_next,
                                      .private_data = p};
    bs_arrow arrow = {0};
    bs_error e = BS_ERROR_INIT;
    bool strings;
    const expected want = expect(p, p->n_chunks);
    const bool starts = !p->fails_first && !p->unreleased;
    const bs_status status = bs_arrow_read_stream(&arrow, &stream, &strings, &e);
    CHECK((status == BS_ERR_VALUE) == (starts && want.strings && want.broken), "status %d: %s",
          status, e.text);
    CHECK(status != BS_OK || strings == (starts && want.strings && !p->fails_last), "%d", strings);
    CHECK(p->released_schemas == starts, "released %d times", p->released_schemas);
    if (status == BS_OK && strings)
        check_texts(&arrow, &want);
    bs_arrow_clear(&arrow);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    reader r = {data, size};
    producer p = {0};
    const bool stream = read_one_in(&r, 2);
    make_producer(&r, &p);
    if (stream)
        run_stream(&p);
    else if (p.n_chunks > 0)
        run_array(&p);
    for (int i = 0; i < p.n_chunks; i++) {
        chunk *c = &p.chunks[i];
        CHECK(c->released == (i < p.next), "chunk %d was released %d times", i, c->released);
        if (c->released == 0)
            release_chunk(&c->own.array);
    }
    return 0;
}
