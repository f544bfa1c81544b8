#include "work.h"

#include <string.h>

#include "model/mlm_head.h"
#include "model/score.h"
#include "model/stored.h"
#include "train/frozen.h"
#include "train/mlm_step.h"
#include "train/step.h"

/* So many words that the update of the parameters is cut into several tasks. */
enum { SEQUENCES = 14, LONGEST = 40, STEPS = 2, VOCABULARY = 4500, WIDTH = 32, LAYERS = 2 };

void *must_alloc(size_t size)
{
    void *made = calloc(1, size > 0 ? size : 1);
    CHECK(made != NULL, "no memory");
    return made;
}

void result_add(result *r, const void *bytes, size_t size)
{
    r->bytes = realloc(r->bytes, r->size + size + 1);
    CHECK(r->bytes != NULL, "no memory");
    memcpy(r->bytes + r->size, bytes, size);
    r->size += size;
}

void result_free(result *r)
{
    free(r->bytes);
    *r = (result){0};
}

/* ---- models and batches ---- */

const bs_adamw_options test_adamw = {.learning_rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f,
                                     .eps = 1e-8f, .weight_decay = 0.01f, .max_grad_norm = 1.0f};

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

void test_model_make(test_model *t, bs_head_kind head, bool mean_pooling)
{
    bs_error e = BS_ERROR_INIT;
    uint32_t state = 1;
    memset(t, 0, sizeof *t);
    t->model.config = (bs_config){
        .vocab_size = VOCABULARY, .hidden_size = WIDTH,
        .embedding_size = WIDTH, .num_layers = LAYERS, .num_heads = 4,
        .intermediate_size = 2 * WIDTH, .max_positions = LONGEST, .type_vocab_size = 2,
        .num_labels = TEST_LABELS, .pad_token_id = 0, .activation = BS_GELU,
        .mean_pooling = mean_pooling, .head = head, .layer_norm_eps = 1e-12f,
        .hidden_dropout = 0.1f, .attention_dropout = 0.1f,
        .attention_output_dropout = 0.1f, .classifier_dropout = 0.1f};
    CHECK(bs_config_check(&t->model.config, &e) == BS_OK, "%s", e.text);
    CHECK(bs_model_make(&t->model, &e) == BS_OK, "%s", e.text);
    const bs_parameter_table *table = &t->model.table;
    const size_t size = (size_t)table->total * sizeof(float);
    float **buffers[] = {&t->parameters, &t->gradients, &t->exp_avg, &t->exp_avg_sq};
    for (int i = 0; i < 4; i++)
        *buffers[i] = must_alloc(size);
    for (int64_t i = 0; i < table->count; i++) {
        const bs_parameter *p = &table->entries[i];
        const float middle = strstr(p->name, "norm.weight") != NULL ? 1.0f : 0.0f;
        for (int64_t k = 0; k < p->size; k++)
            t->parameters[p->offset + k] =
                middle + 0.2f * ((float)next_random(&state) / (float)(1 << 24) - 0.5f);
    }
    t->model.parameters = t->parameters;
}

void test_model_free(test_model *t)
{
    bs_model_free(&t->model);
    bs_arena_free(&t->arena);
    free(t->parameters);
    free(t->gradients);
    free(t->exp_avg);
    free(t->exp_avg_sq);
}

static int32_t batch_ids[SEQUENCES * LONGEST], batch_labels[SEQUENCES];
static int64_t batch_ends[SEQUENCES + 1];
static bs_batch the_batch;

/* Called first by the thread that starts all others. */
const bs_batch *test_batch(void)
{
    if (the_batch.n_sequences == 0) {
        uint32_t state = 7;
        for (int s = 0; s < SEQUENCES; s++) {
            const int length = 1 + (int)(next_random(&state) % LONGEST);
            batch_labels[s] = (int32_t)(next_random(&state) % TEST_LABELS);
            batch_ends[s + 1] = batch_ends[s] + length;
        }
        for (int64_t i = 0; i < batch_ends[SEQUENCES]; i++)
            batch_ids[i] = (int32_t)(1 + next_random(&state) % (VOCABULARY - 1));
        the_batch = (bs_batch){.n_tokens = batch_ends[SEQUENCES], .n_sequences = SEQUENCES,
                               .ids = batch_ids, .cu_seqlens = batch_ends};
    }
    return &the_batch;
}

const int32_t *test_labels(void)
{
    return batch_labels;
}

bs_pass_options test_options(bs_precision precision, int step)
{
    return (bs_pass_options){.training = true, .seed = 5, .step = (uint32_t)step,
                             .tokens = 3 * LONGEST, .precision = precision};
}

/* ---- training and scoring ---- */

static bs_targets plain_targets(void)
{
    return (bs_targets){.loss = bs_loss_find("cross_entropy"), .ids = test_labels()};
}

static void step(test_model *t, const bs_batch *batch, const bs_targets *targets,
                 const bs_pass_options *options, int n_threads)
{
    bs_error e = BS_ERROR_INIT;
    float logits[SEQUENCES * TEST_LABELS];
    double loss, norm;
    CHECK(bs_train_step(&t->model, batch, targets, options, &test_adamw, n_threads, &t->arena,
                        logits, t->gradients, t->exp_avg, t->exp_avg_sq, &loss, &norm, &e)
              == BS_OK, "%s", e.text);
    CHECK(loss > 0.0 && norm > 0.0, "loss %g, norm %g", loss, norm);
}

void train_once(test_model *t, bs_precision precision, int number, int n_threads)
{
    const bs_pass_options options = test_options(precision, number);
    const bs_targets targets = plain_targets();
    step(t, test_batch(), &targets, &options, n_threads);
}

void score_once(const bs_model *model, bs_precision precision, int64_t tokens, int n_threads,
                float *logits)
{
    bs_error e = BS_ERROR_INIT;
    const bs_pass_options options = {.tokens = tokens, .precision = precision};
    CHECK(bs_score(model, test_batch(), &options, n_threads, logits, NULL, &e) == BS_OK, "%s", e.text);
}

/* A model that is trained, and scored. */
typedef struct {
    bs_precision precision;
    bool mean_pooling, windows, stored;
    int64_t freeze;
} training;

/* Three texts, the second one with more windows than a micro-batch holds. */
static const int64_t window_first[] = {0, 1, SEQUENCES - 1, SEQUENCES};
static float window_shares[SEQUENCES];
static int64_t sequence_numbers[SEQUENCES];

static void score_into(result *r, test_model *t, bs_precision precision, int n_threads)
{
    bs_error e = BS_ERROR_INIT;
    float logits[SEQUENCES * TEST_LABELS];
    CHECK(bs_model_pack(&t->model, precision, false, n_threads, &e) == BS_OK, "%s", e.text);
    /* Chunk by chunk in one thread each, and all threads in one chunk. */
    for (int64_t tokens = LONGEST; tokens <= 64 * LONGEST; tokens *= 64) {
        score_once(&t->model, precision, tokens, n_threads, logits);
        result_add(r, logits, sizeof logits);
    }
}

static result train(const void *arg, int n_threads)
{
    const training *how = arg;
    result r = {0};
    test_model t;
    bs_error e = BS_ERROR_INIT;
    bs_batch batch = *test_batch();
    bs_targets targets = plain_targets();
    const bs_windows windows = {3, window_first, window_shares};
    bs_pass_options options = test_options(how->precision, 0);
    bs_stored_rows stored = {0};
    float *rows = NULL;
    options.freeze = how->freeze;
    options.freeze_dropout = how->stored;
    test_model_make(&t, BS_HEAD_POOLED, how->mean_pooling);
    if (how->windows)
        targets.windows = &windows;
    if (how->stored) {
        const int64_t count = how->freeze < LAYERS ? batch.n_tokens : batch.n_sequences;
        rows = must_alloc((size_t)(count * WIDTH) * sizeof *rows);
        CHECK(bs_frozen_rows(&t.model, &batch, how->freeze, &options, n_threads, &t.arena, rows,
                             &e) == BS_OK, "%s", e.text);
        result_add(&r, rows, (size_t)(count * WIDTH) * sizeof *rows);
        stored = (bs_stored_rows){.data = rows, .count = count};
        batch.stored = &stored;
        batch.stored_at = how->freeze < LAYERS ? batch_ends : sequence_numbers;
        CHECK(bs_stored_check(&batch, &t.model.config, &options, &e) == BS_OK, "%s", e.text);
    }
    for (int i = 0; i < STEPS; i++) {
        options.step = (uint32_t)i;
        step(&t, &batch, &targets, &options, n_threads);
    }
    result_add(&r, t.parameters, (size_t)t.model.table.total * sizeof(float));
    for (int p = 0; p < BS_PRECISION_COUNT; p++)
        if (bs_model_can(&t.model, (bs_precision)p))
            score_into(&r, &t, (bs_precision)p, n_threads);
    free(rows);
    test_model_free(&t);
    return r;
}

static result train_masked(const void *arg, int n_threads)
{
    const training *how = arg;
    result r = {0};
    test_model t;
    bs_error e = BS_ERROR_INIT;
    int64_t tokens[SEQUENCES];
    int32_t labels[SEQUENCES];
    for (int s = 0; s < SEQUENCES; s++) {
        tokens[s] = batch_ends[s];
        labels[s] = batch_ids[batch_ends[s]];
    }
    const bs_mlm_targets targets = {.count = SEQUENCES, .tokens = tokens, .labels = labels};
    bs_pass_options options = test_options(how->precision, 0);
    test_model_make(&t, BS_HEAD_MASKED_LM, false);
    for (int i = 0; i < STEPS; i++) {
        bs_mlm_result found = {0};
        double norm;
        options.step = (uint32_t)i;
        CHECK(bs_mlm_train_step(&t.model, test_batch(), &targets, &options, &test_adamw, n_threads,
                                &t.arena, t.gradients, t.exp_avg, t.exp_avg_sq, &found, &norm, &e)
                  == BS_OK, "%s", e.text);
        result_add(&r, &found.loss, sizeof found.loss);
    }
    result_add(&r, t.parameters, (size_t)t.model.table.total * sizeof(float));
    test_model_free(&t);
    return r;
}

const work *model_work(int *n)
{
    static const training kinds[][8] = {
#define KINDS(precision)                                                                          \
    {{precision, false, false, false, 0}, {precision, true, false, false, 1},                     \
     {precision, false, true, false, 0},  {precision, false, false, true, 1},                     \
     {precision, true, false, true, LAYERS}, {precision, false, false, false, 0}}
        KINDS(BS_FLOAT32), KINDS(BS_BFLOAT16)};
    static const char *const names[] = {"[CLS]",         "mean",           "windows",
                                        "stored tokens", "stored outputs", "masked tokens"};
    static work made[16];
    const bs_kernels *kernels = bs_kernels_get(NULL);
    *n = 0;
    (void)test_batch();
    for (int s = 0; s < SEQUENCES; s++) {
        sequence_numbers[s] = s;
        window_shares[s] = s == 0 || s == SEQUENCES - 1 ? 1.0f : 1.0f / (SEQUENCES - 2);
    }
    for (int p = BS_FLOAT32; p <= BS_BFLOAT16; p++)
        for (int i = 0; i < 6 && bs_kernels_can(kernels, (bs_precision)p); i++)
            made[(*n)++] = (work){names[i], i < 5 ? train : train_masked, &kinds[p][i]};
    return made;
}
