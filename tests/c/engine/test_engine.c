/* The whole engine from several threads: everything that csrc/python calls. Each piece of work must
 * give the same bits on 1, 2 and 4 threads, and while all other pieces are running. A model that is
 * scored and trained at the same time must give the scores of some step. Exits with 0 if all holds;
 * made for ThreadSanitizer, see tests/c/run. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/fair_lock.h"
#include "core/pool.h"
#include "model/pass.h"
#include "work.h"

enum { MAX_WORK = 20, SHARED_STEPS = 6, SCORERS = 3 };

static int n_work;
static work all_work[MAX_WORK];
static result expected[MAX_WORK];

static void check_work(int i, int n_threads, const char *when)
{
    result found = all_work[i].run(all_work[i].arg, n_threads);
    CHECK(found.size == expected[i].size &&
              memcmp(found.bytes, expected[i].bytes, found.size) == 0,
          "%s differ on %d threads, %s", all_work[i].name, n_threads, when);
    result_free(&found);
}

static void *work_in_a_thread(void *index_)
{
    const int i = (int)(intptr_t)index_;
    check_work(i % n_work, 1 + i % 4, "beside others");
    return NULL;
}

static void start(pthread_t *thread, void *(*function)(void *), void *arg)
{
    CHECK(pthread_create(thread, NULL, function, arg) == 0, "cannot start a thread");
}

static void test_threads_do_not_change_results(void)
{
    int n;
    const work *found = model_work(&n);
    for (int i = 0; i < n; i++)
        all_work[n_work++] = found[i];
    found = tokenizer_work(&n);
    for (int i = 0; i < n; i++)
        all_work[n_work++] = found[i];
    for (int i = 0; i < n_work; i++) {
        expected[i] = all_work[i].run(all_work[i].arg, 1);
        check_work(i, 2, "alone");
        check_work(i, 4, "alone");
    }
    pthread_t threads[2 * MAX_WORK];
    for (int i = 0; i < 2 * n_work; i++)
        start(&threads[i], work_in_a_thread, (void *)(intptr_t)i);
    for (int i = 0; i < 2 * n_work; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < n_work; i++)
        result_free(&expected[i]);
}

/* ---- a model that several threads share, as csrc/python/py_model_object.c does ---- */

static test_model shared;
static bs_fair_lock lock;
static int steps_done; /* guarded by the lock */
static atomic_bool trained;
/* For each step: logits in each precision, and the gradient of a session. */
static float *known_logits[SHARED_STEPS + 1][BS_PRECISION_COUNT], *known_gradient[SHARED_STEPS + 1];
static size_t logits_size, gradient_size;

static void take(bool write)
{
    bs_fair_wait wait;
    bool held = bs_fair_lock_begin(&lock, write, &wait);
    while (!held)
        held = bs_fair_lock_wait(&lock, &wait, 50);
}

static void release(bool write)
{
    bs_fair_lock_release(&lock, write);
}

/* Takes the lock for reading, with the weights packed. */
static void take_packed(bs_precision precision, bool backward, int n_threads)
{
    bs_error e = BS_ERROR_INIT;
    for (;;) {
        take(false);
        if (bs_model_fresh(&shared.model, precision, backward))
            return;
        release(false);
        take(true);
        CHECK(bs_model_pack(&shared.model, precision, backward, n_threads, &e) == BS_OK, "%s",
              e.text);
        release(true);
    }
}

/* Forward and backward for a given gradient at the logits. */
static void session(bs_arena *arena, float *gradient, int n_threads)
{
    bs_error e = BS_ERROR_INIT;
    bs_pass pass;
    float d_logits[64];
    const bs_pass_options options = test_options(BS_FLOAT32, 0);
    for (size_t i = 0; i < logits_size / sizeof *d_logits; i++)
        d_logits[i] = 0.1f * (float)(i % 7) - 0.3f;
    memset(gradient, 0, gradient_size);
    CHECK(bs_pass_begin(&pass, &shared.model, test_batch(), &options, true, n_threads, arena, &e)
              == BS_OK, "%s", e.text);
    bs_pass_forward(&pass);
    bs_pass_backward(&pass, d_logits, gradient);
}

static void shared_start(void)
{
    test_model_make(&shared, BS_HEAD_POOLED, false);
    bs_fair_lock_init(&lock);
    steps_done = 0;
    atomic_store(&trained, false);
}

static void shared_end(void)
{
    bs_fair_lock_destroy(&lock);
    test_model_free(&shared);
}

static void *train_shared(void *unused)
{
    for (int i = 0; i < SHARED_STEPS; i++) {
        take(true);
        train_once(&shared, BS_FLOAT32, i, 1 + i % 4);
        steps_done = i + 1;
        release(true);
    }
    atomic_store(&trained, true);
    return unused;
}

static void *score_shared(void *index)
{
    float *logits = must_alloc(logits_size);
    for (int i = (int)(intptr_t)index; !atomic_load(&trained); i++) {
        const bs_precision precision = (bs_precision)(i % BS_PRECISION_COUNT);
        if (!bs_model_can(&shared.model, precision))
            continue;
        take_packed(precision, false, 1 + i % 3);
        score_once(&shared.model, precision, i % 2 ? 40 : 0, 1 + i % 4, logits);
        CHECK(memcmp(logits, known_logits[steps_done][precision], logits_size) == 0,
              "%s scores after step %d", bs_precision_names[precision], steps_done);
        release(false);
    }
    free(logits);
    return NULL;
}

static void *differentiate_shared(void *unused)
{
    bs_arena arena = {0};
    float *gradient = must_alloc(gradient_size);
    for (int i = 0; !atomic_load(&trained); i++) {
        take_packed(BS_FLOAT32, true, 1 + i % 3);
        session(&arena, gradient, 1 + i % 3);
        CHECK(memcmp(gradient, known_gradient[steps_done], gradient_size) == 0,
              "the gradient after step %d", steps_done);
        release(false);
    }
    bs_arena_free(&arena);
    free(gradient);
    return unused;
}

/* One thread, one step after the other: what the threads must find. */
static void learn_what_is_right(void)
{
    bs_arena arena = {0};
    shared_start();
    logits_size = (size_t)test_batch()->n_sequences * TEST_LABELS * sizeof(float);
    gradient_size = (size_t)shared.model.table.total * sizeof(float);
    for (int i = 0; i <= SHARED_STEPS; i++) {
        for (int p = 0; p < BS_PRECISION_COUNT; p++) {
            known_logits[i][p] = must_alloc(logits_size);
            if (!bs_model_can(&shared.model, (bs_precision)p))
                continue;
            take_packed((bs_precision)p, false, 1);
            score_once(&shared.model, (bs_precision)p, 0, 1, known_logits[i][p]);
            release(false);
        }
        known_gradient[i] = must_alloc(gradient_size);
        take_packed(BS_FLOAT32, true, 1);
        session(&arena, known_gradient[i], 1);
        release(false);
        if (i < SHARED_STEPS)
            train_once(&shared, BS_FLOAT32, i, 1);
    }
    bs_arena_free(&arena);
    shared_end();
}

static void test_a_model_that_is_scored_and_trained(void)
{
    pthread_t trainer, scorers[SCORERS], differentiators[2];
    learn_what_is_right();
    shared_start();
    for (int i = 0; i < SCORERS; i++)
        start(&scorers[i], score_shared, (void *)(intptr_t)i);
    for (int i = 0; i < 2; i++)
        start(&differentiators[i], differentiate_shared, NULL);
    start(&trainer, train_shared, NULL);
    pthread_join(trainer, NULL);
    for (int i = 0; i < SCORERS; i++)
        pthread_join(scorers[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(differentiators[i], NULL);
    CHECK(steps_done == SHARED_STEPS, "%d steps", steps_done);
    shared_end();
    for (int i = 0; i <= SHARED_STEPS; i++) {
        for (int p = 0; p < BS_PRECISION_COUNT; p++)
            free(known_logits[i][p]);
        free(known_gradient[i]);
    }
}

int main(void)
{
    bs_error e = BS_ERROR_INIT;
    bs_isa isa;
    alarm(1200);
    CHECK(bs_isa_choose(&isa, &e) == BS_OK, "%s", e.text);
    CHECK(bs_pool_init(&e) == BS_OK, "%s", e.text);
    test_threads_do_not_change_results();
    test_a_model_that_is_scored_and_trained();
    printf("%s: %d pieces of work\n", bs_isa_rows[isa].name, n_work);
    return 0;
}
