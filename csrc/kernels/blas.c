#include "kernels/blas.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/pool.h"

/* OpenBLAS ends the process if it cannot allocate a buffer. It never gives buffers back, and takes
 * a new one only if all others are in use. So we know when it would allocate, and look before. */
#define BUFFER ((size_t)32 << 20)
#define SPARE ((size_t)16 << 20) /* for what other threads allocate in the meantime */

/* Sides of a product that does not do without a buffer. */
#define FIRST_SIDE 256

static struct {
    pthread_mutex_t lock; /* guards the fields below */
    pthread_cond_t returned;
    int buffers; /* that exist or that a call under way allocates */
    int used;
    int coming; /* calls under way that allocate */
} blas = {.lock = PTHREAD_MUTEX_INITIALIZER, .returned = PTHREAD_COND_INITIALIZER};

/* Whether there is address space for another buffer beside those that are being allocated. */
static bool has_room(void)
{
    const size_t size = (size_t)(blas.coming + 1) * BUFFER + SPARE;
    void *space = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        return false;
    munmap(space, size);
    return true;
}

/* Takes a buffer. Returns whether the call will allocate it. Within bs_fork_hold, so that a child
 * process finds the lock free and no buffer in use. */
static bool take_buffer(void)
{
    pthread_mutex_lock(&blas.lock);
    while (blas.used == blas.buffers && blas.buffers > 0 && !has_room())
        pthread_cond_wait(&blas.returned, &blas.lock);
    blas.used++;
    const bool is_new = blas.used > blas.buffers;
    if (is_new) {
        blas.buffers++;
        blas.coming++;
    }
    pthread_mutex_unlock(&blas.lock);
    return is_new;
}

static void return_buffer(bool is_new)
{
    pthread_mutex_lock(&blas.lock);
    blas.used--;
    blas.coming -= is_new;
    pthread_cond_signal(&blas.returned);
    pthread_mutex_unlock(&blas.lock);
}

void bs_blas_product(const bs_small_product *g)
{
    bs_fork_hold(); /* OpenBLAS takes a lock to find its buffers */
    const bool is_new = take_buffer();
    BS_BLAS(cblas_sgemm)
    (BS_BLAS_ROW_MAJOR, g->trans_a ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN,
     g->trans_b ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN, (int)g->m, (int)g->n, (int)g->k, g->alpha,
     g->a, (int)g->lda, g->b, (int)g->ldb, g->beta, g->c, (int)g->ldc);
    return_buffer(is_new);
    bs_fork_release();
}

bs_status bs_blas_reserve(bs_error *e)
{
    const size_t count = FIRST_SIDE * FIRST_SIDE;
    bs_fork_hold();
    pthread_mutex_lock(&blas.lock);
    const bool ready = blas.buffers > 0, possible = ready || has_room();
    pthread_mutex_unlock(&blas.lock);
    bs_fork_release();
    if (ready)
        return BS_OK;
    float *zeros = possible ? calloc(2 * count, sizeof *zeros) : NULL;
    if (zeros == NULL)
        return bs_error_set(e, BS_ERR_MEMORY, -1,
                            "cannot allocate the working memory of OpenBLAS (%zu MB)",
                            (BUFFER + SPARE) / 1000000 + 1);
    bs_blas_product(&(bs_small_product){
        .m = FIRST_SIDE, .n = FIRST_SIDE, .k = FIRST_SIDE, .alpha = 1.0f, .a = zeros,
        .lda = FIRST_SIDE, .b = zeros, .ldb = FIRST_SIDE, .c = zeros + count, .ldc = FIRST_SIDE});
    free(zeros);
    return BS_OK;
}
