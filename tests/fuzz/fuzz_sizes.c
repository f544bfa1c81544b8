/* Configurations of models, and batches for them. A configuration that is not refused has a
 * parameter table without overlaps or overflow. Arrays of a batch have exactly the sizes that Python
 * checks, and any contents; what is not refused must lie within the tables that the engine reads. */
#include "common.h"
#include "model/loss.h"
#include "model/parameters.h"
#include "model/stored.h"

#define MAX_TOKENS 40
#define MAX_SEQUENCES 12

/* --- configurations ----------------------------------------------------------------------- */

static bs_config read_config(reader *r)
{
    const int flags = read_byte(r);
    bs_config c = {
        .vocab_size = 1 + read_below(r, 40),
        .num_layers = 1 + read_below(r, 4),
        .num_heads = 1 + read_below(r, 4),
        .intermediate_size = 1 + read_below(r, 40),
        .max_positions = 1 + read_below(r, 20),
        .position_offset = read_below(r, 3),
        .type_vocab_size = read_below(r, 3),
        .num_labels = 1 + read_below(r, 4),
        .pad_token_id = -1 + read_below(r, 4),
        .activation = (bs_activation)read_below(r, BS_ACTIVATION_COUNT),
        .mean_pooling = flags & 1,
        .head = (bs_head_kind)read_below(r, BS_HEAD_COUNT),
        .layer_norm_eps = 1e-12f,
    };
    c.hidden_size = c.num_heads * (1 + read_below(r, 8));
    c.embedding_size = c.hidden_size;
    int64_t *const sizes[] = {&c.vocab_size, &c.hidden_size, &c.num_layers, &c.num_heads,
                              &c.intermediate_size, &c.max_positions, &c.position_offset,
                              &c.type_vocab_size, &c.num_labels, &c.pad_token_id};
    float *const rates[] = {&c.layer_norm_eps, &c.hidden_dropout, &c.attention_dropout,
                            &c.classifier_dropout};
    for (int n = read_one_in(r, 3) ? read_below(r, 8) : 0; n > 0; n--)
        *sizes[read_below(r, 10)] = read_hostile(r);
    if (read_one_in(r, 8)) {
        const int32_t bits = (int32_t)read_any(r);
        memcpy(rates[read_below(r, 4)], &bits, sizeof bits);
    }
    return c;
}

/* The entries follow each other without overlaps, and no product of sizes overflows. */
static void check_table(reader *r, const bs_config *c)
{
    bs_parameter_table t = {0};
    bs_error e = BS_ERROR_INIT;
    __int128 at = 0;
    CHECK(c->hidden_size % c->num_heads == 0 && c->pad_token_id < c->vocab_size, "a wrong size");
    CHECK(bs_parameter_table_make(&t, c, &e) == BS_OK, "%s", e.text);
    for (int64_t i = 0; i < t.count; i++) {
        const bs_parameter *p = &t.entries[i];
        const __int128 size = (__int128)p->shape[0] * (p->shape[1] > 0 ? p->shape[1] : 1);
        CHECK(p->shape[0] > 0 && p->shape[1] >= 0 && p->size == size, "size of %s", p->name);
        CHECK(p->offset >= at && p->offset < at + 16, "offset of %s", p->name);
        CHECK(p->layer >= -1 && p->layer <= c->num_layers, "layer of %s", p->name);
        at = (__int128)p->offset + p->size;
    }
    CHECK(t.total >= at && t.total < at + 16 && at < INT64_MAX / 64, "total %lld",
          (long long)t.total);
    const int64_t freeze = read_below(r, 6) % (c->num_layers + 1);
    const int64_t from = bs_parameter_table_trained_from(&t, c, freeze);
    /* A head that returns vectors has no parameters, so that nothing may be left to train. */
    const bool nothing = freeze == c->num_layers && c->head == BS_HEAD_VECTORS;
    CHECK(from >= 0 && (nothing ? from == t.total : from < t.total), "trained from %lld",
          (long long)from);
    bs_parameter_table_free(&t);
}

/* --- batches ------------------------------------------------------------------------------ */

typedef struct {
    bs_batch batch;
    bs_stored_rows rows;
    bs_windows windows;
    bs_targets targets;
    bs_pass_options options;
    int64_t n_texts;
} arrays;

/* `n` numbers of `size` bytes below `limit`, with some that are hostile. */
static void *read_numbers(reader *r, int64_t n, size_t size, int64_t limit)
{
    char *made = must_alloc(NULL, (size_t)n * size);
    const bool hostile = read_one_in(r, 4);
    for (int64_t i = 0; i < n; i++) {
        const int64_t value = hostile && read_one_in(r, 8)
                                  ? read_hostile(r)
                                  : read_below(r, limit > 255 ? 255 : limit < 1 ? 1 : (int)limit);
        memcpy(made + (size_t)i * size, &value, size); /* little-endian */
    }
    return made;
}

/* Offsets 0 ... end that rise, or not; `n` is their number. */
static int64_t *read_offsets(reader *r, int64_t n, int64_t end)
{
    int64_t *offsets = must_alloc(NULL, sizeof *offsets * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        offsets[i] = n > 1 ? end * i / (n - 1) : 0;
    if (read_one_in(r, 4))
        offsets[read_below(r, (int)n)] = read_hostile(r);
    else if (n > 2)
        offsets[1 + read_below(r, (int)n - 2)] += read_below(r, 4) - 1;
    return offsets;
}

static float *read_floats(reader *r, int64_t n)
{
    float *made = must_alloc(NULL, sizeof *made * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const int32_t bits = (int32_t)read_any(r);
        made[i] = (float)read_below(r, 8) / 4.0f;
        if (read_one_in(r, 32))
            memcpy(&made[i], &bits, sizeof bits);
    }
    return made;
}

static void read_arrays(reader *r, const bs_config *c, arrays *a)
{
    bs_batch *b = &a->batch;
    const int64_t T = b->n_tokens = read_below(r, MAX_TOKENS + 1);
    const int64_t B = b->n_sequences = read_below(r, MAX_SEQUENCES + 1);
    const bool hostile_freeze = read_one_in(r, 8);
    b->cu_seqlens = read_offsets(r, B + 1, T);
    b->ids = read_numbers(r, T, 4, c->vocab_size);
    if (read_one_in(r, 2))
        b->types = read_numbers(r, T, 4, c->type_vocab_size);
    if (read_one_in(r, 2))
        b->positions = read_numbers(r, T, 4, c->max_positions);
    if (read_one_in(r, 2)) {
        a->rows.count = read_below(r, 50);
        b->stored = &a->rows;
        b->stored_at = read_numbers(r, B, 8, 12);
    }
    a->n_texts = B;
    if (read_one_in(r, 2)) {
        a->n_texts = a->windows.n_texts = read_below(r, (int)B + 2);
        a->windows.first = read_offsets(r, a->n_texts + 1, B);
        a->windows.shares = read_floats(r, B);
    }
    a->targets.loss = bs_loss_list(read_below(r, 7));
    if (a->targets.loss->takes_matrix)
        a->targets.matrix = read_floats(r, a->n_texts * c->num_labels);
    if (a->targets.loss->takes_ids)
        a->targets.ids = read_numbers(r, a->n_texts, 4, c->num_labels);
    a->targets.temperature = (float)read_below(r, 3);
    a->targets.teacher_weight = (float)read_below(r, 3);
    if (read_one_in(r, 2))
        a->targets.weights = read_floats(r, a->n_texts);
    a->options.freeze = hostile_freeze ? 0 : 1 + read_below(r, 4) % c->num_layers;
    a->options.training = read_one_in(r, 2);
    a->options.freeze_dropout = read_one_in(r, 2);
}

static void free_arrays(arrays *a)
{
    const void *const all[] = {a->batch.cu_seqlens, a->batch.ids, a->batch.types,
                               a->batch.positions, a->batch.stored_at, a->windows.first,
                               a->windows.shares, a->targets.ids, a->targets.matrix,
                               a->targets.weights};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free((void *)all[i]);
}

/* What the passes rely on. */
static void check_batch(const bs_batch *b, const bs_config *c)
{
    int64_t tokens = 0;
    CHECK(b->n_sequences > 0 && bs_batch_longest(b) <= c->max_positions, "%lld sequences",
          (long long)b->n_sequences);
    for (int64_t s = 0; s < b->n_sequences; s++) {
        const bs_batch one = bs_batch_slice(b, s, s + 1);
        CHECK(one.n_tokens > 0 && one.ids == b->ids + tokens, "sequence %lld", (long long)s);
        tokens += one.n_tokens;
    }
    CHECK(tokens == b->n_tokens, "%lld tokens", (long long)tokens);
    for (int64_t t = 0; t < tokens; t++) {
        const int64_t type = b->types != NULL ? b->types[t] : 0;
        const int64_t position = b->positions != NULL ? b->positions[t] : 0;
        CHECK(b->ids[t] >= 0 && b->ids[t] < c->vocab_size, "id %d", b->ids[t]);
        CHECK(type >= 0 && (type == 0 || type < c->type_vocab_size), "type %lld", (long long)type);
        CHECK(position >= 0 && position < c->max_positions, "position %lld", (long long)position);
    }
}

static void check_stored(const arrays *a, const bs_config *c)
{
    const bs_batch *b = &a->batch;
    for (int64_t s = 0; s < b->n_sequences; s++) {
        const int64_t rows = a->options.freeze < c->num_layers ? bs_batch_length(b, s) : 1;
        CHECK(b->stored_at[s] >= 0 && (__int128)b->stored_at[s] + rows <= a->rows.count,
              "rows of sequence %lld", (long long)s);
    }
}

static void check_windows(const bs_windows *w, int64_t n_sequences)
{
    int64_t next = 0;
    for (int64_t i = 0; i < w->n_texts; i++) {
        CHECK(w->first[i] == next && w->first[i + 1] > next, "text %lld", (long long)i);
        next = w->first[i + 1];
    }
    CHECK(next == n_sequences, "%lld of the sequences", (long long)next);
}

static void check_arrays(reader *r, const bs_config *c)
{
    arrays a = {0};
    bs_error e = BS_ERROR_INIT;
    read_arrays(r, c, &a);
    const bool good = bs_batch_check(&a.batch, c, &e) == BS_OK;
    CHECK(good == (e.text[0] == '\0'), "a mute failure");
    if (good)
        check_batch(&a.batch, c);
    if (good && a.batch.stored != NULL
        && bs_stored_check(&a.batch, c, &a.options, &e) == BS_OK)
        check_stored(&a, c);
    if (good && a.windows.first != NULL
        && bs_windows_check(&a.windows, a.batch.n_sequences, &e) == BS_OK)
        check_windows(&a.windows, a.batch.n_sequences);
    if (bs_targets_check(&a.targets, a.n_texts, c->num_labels, &e) == BS_OK
        && a.targets.ids != NULL)
        for (int64_t i = 0; i < a.n_texts; i++)
            CHECK(a.targets.ids[i] >= (a.targets.matrix != NULL ? -1 : 0)
                  && a.targets.ids[i] < c->num_labels, "target %lld", (long long)i);
    free_arrays(&a);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    reader r = {data, size};
    bs_error e = BS_ERROR_INIT;
    const bs_config c = read_config(&r);
    if (bs_config_check(&c, &e) != BS_OK) {
        CHECK(e.status == BS_ERR_VALUE && e.text[0] != '\0', "status %d", e.status);
        return 0;
    }
    check_table(&r, &c);
    if (c.num_labels <= 64)
        check_arrays(&r, &c);
    return 0;
}
