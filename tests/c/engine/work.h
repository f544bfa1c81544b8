/* Pieces of work for the engine. What each one computes must not depend on the number of threads,
 * nor on what other threads do meanwhile. */
#ifndef BS_TEST_WORK_H
#define BS_TEST_WORK_H

#include <stdio.h>
#include <stdlib.h>

#include "model/batch.h"
#include "model/model.h"
#include "model/pass_state.h"
#include "train/optimizer.h"

#define CHECK(what, ...)                                                                          \
    do {                                                                                          \
        if (!(what)) {                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #what);                            \
            fprintf(stderr, __VA_ARGS__);                                                         \
            fputc('\n', stderr);                                                                  \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

/* What a piece of work computed: bytes to compare. */
typedef struct {
    char *bytes;
    size_t size;
} result;

void result_add(result *r, const void *bytes, size_t size);
void result_free(result *r);
void *must_alloc(size_t size);

typedef struct {
    const char *name;
    result (*run)(const void *arg, int n_threads);
    const void *arg;
} work;

/* A model with random parameters, and the buffers that training needs. */
typedef struct {
    bs_model model;
    float *parameters, *gradients, *exp_avg, *exp_avg_sq;
    bs_arena arena;
} test_model;

void test_model_make(test_model *t, bs_head_kind head, bool mean_pooling);
void test_model_free(test_model *t);

/* The batch that all models read, and the classes of its sequences. */
const bs_batch *test_batch(void);
const int32_t *test_labels(void);
enum { TEST_LABELS = 3 };

bs_pass_options test_options(bs_precision precision, int step);

/* Steps of training with the batch, and the logits (B, C) of scoring it. */
void train_once(test_model *t, bs_precision precision, int step, int n_threads);
void score_once(const bs_model *model, bs_precision precision, int64_t tokens, int n_threads,
                float *logits);

extern const bs_adamw_options test_adamw;

/* All pieces of work that these kernels can do; *n receives their number. */
const work *model_work(int *n);
const work *tokenizer_work(int *n);

#endif
