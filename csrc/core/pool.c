#include "core/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cpu.h"

/* How often a worker polls for the next job before it sleeps. The gaps between the operations of a
 * training step are far shorter. */
#define SPIN_ROUNDS 4000

#define PARTICIPANT_BITS 16

/* Milliseconds between two questions whether to stop. */
#define ASK_EVERY 100

/* Variables of a thread that exist as soon as it does. Others are allocated when they are first
 * used, and the C library ends the process if that fails. */
#ifdef __GLIBC__
#define OF_THREAD _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define OF_THREAD _Thread_local
#endif

typedef struct {
    pthread_mutex_t owner; /* held by the caller whose job is running */
    pthread_mutex_t lock;  /* guards the fields below; used to sleep and to wake */
    pthread_cond_t wake;
    pthread_cond_t done;
    int n_workers;
    /* The current job: the number of participants in the low bits, the job's number above. It is
     * one word, so that a worker that wakes late never mixes two jobs. */
    atomic_uint_fast64_t job;
    int sleepers;
    bool waiting; /* the owner is sleeping on `done` */
    /* The job itself, written by the owner before `job` advances. */
    bs_task_fn fn;
    void *arg;
    int64_t n_tasks;
    bs_question *question;
    atomic_int_fast64_t next;
    atomic_int busy; /* participants that have not finished yet */
} pool;

static pool the_pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

static atomic_uint_fast64_t fork_generation;
static OF_THREAD bool inside_task;
static OF_THREAD bs_question *current; /* of the call that the thread works for */
static OF_THREAD bool asks;            /* whether it is this thread's own */

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bs_pool_ask(bs_question *question)
{
    current = question;
    asks = question != NULL;
    if (asks && question->next == 0) {
        question->next = milliseconds() + ASK_EVERY;
        question->cpu_state = bs_cpu_flush_subnormals();
        bs_cpu_restore(question->cpu_state);
    }
}

/* Whether the remaining tasks are to be left out. */
static bool is_stopped(void)
{
    bs_question *q = current;
    if (q == NULL)
        return false;
    if (asks && milliseconds() >= q->next &&
        !atomic_load_explicit(&q->stopped, memory_order_relaxed)) {
        const bool inside = inside_task;
        bs_pool_ask(NULL); /* the answer may come from code that uses the pool */
        inside_task = true;
        bs_cpu_restore(q->cpu_state);
        if (q->stop(q->arg))
            atomic_store_explicit(&q->stopped, true, memory_order_relaxed);
        (void)bs_cpu_flush_subnormals();
        inside_task = inside;
        q->next = milliseconds() + ASK_EVERY;
        bs_pool_ask(q);
    }
    return atomic_load_explicit(&q->stopped, memory_order_relaxed);
}

static void run_tasks(pool *p, int worker)
{
    const bs_task_fn fn = p->fn;
    void *const arg = p->arg;
    const int64_t n = p->n_tasks;
    inside_task = true;
    while (!is_stopped()) {
        const int64_t task = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (task >= n)
            break;
        fn(arg, task, worker);
    }
    inside_task = false;
}

/* Waits for a job other than `seen` and returns it. */
static uint64_t wait_for_job(pool *p, uint64_t seen)
{
    uint64_t job;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        job = atomic_load_explicit(&p->job, memory_order_acquire);
        if (job != seen)
            return job;
        bs_cpu_relax();
    }
    pthread_mutex_lock(&p->lock);
    p->sleepers++;
    while ((job = atomic_load_explicit(&p->job, memory_order_acquire)) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    p->sleepers--;
    pthread_mutex_unlock(&p->lock);
    return job;
}

typedef struct {
    int index;
    uint64_t seen;
} worker_start;

static void *worker_main(void *start_)
{
    worker_start start = *(worker_start *)start_;
    pool *p = &the_pool;
    free(start_);
    const uint32_t saved = bs_cpu_flush_subnormals();
    (void)saved; /* never restored: the thread belongs to the pool */
    uint64_t seen = start.seen;
    for (;;) {
        seen = wait_for_job(p, seen);
        if (start.index >= (int)(seen & ((1u << PARTICIPANT_BITS) - 1)))
            continue;
        current = p->question;
        run_tasks(p, start.index);
        current = NULL;
        if (atomic_fetch_sub_explicit(&p->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&p->lock);
            if (p->waiting)
                pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
    return NULL;
}

/* Starts workers until there are `wanted`, or as many as the system allows. */
static void grow(pool *p, int wanted)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while (p->n_workers < wanted) {
        worker_start *start = malloc(sizeof *start);
        if (start == NULL)
            break;
        start->index = p->n_workers + 1;
        start->seen = atomic_load_explicit(&p->job, memory_order_relaxed);
        pthread_t thread;
        if (pthread_create(&thread, &attr, worker_main, start) != 0) {
            free(start);
            break;
        }
        p->n_workers++;
    }
    pthread_attr_destroy(&attr);
}

static void wait_until_done(pool *p)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0)
            return;
        bs_cpu_relax();
    }
    pthread_mutex_lock(&p->lock);
    p->waiting = true;
    while (atomic_load_explicit(&p->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    p->waiting = false;
    pthread_mutex_unlock(&p->lock);
}

void bs_pool_run(int n_threads, int64_t n_tasks, bs_task_fn fn, void *arg)
{
    pool *p = &the_pool;
    if (n_tasks <= 0)
        return;
    if (n_threads > BS_MAX_THREADS)
        n_threads = BS_MAX_THREADS;
    if (n_threads > n_tasks)
        n_threads = (int)n_tasks;
    if (n_threads <= 1 || inside_task || pthread_mutex_trylock(&p->owner) != 0) {
        const uint32_t saved = bs_cpu_flush_subnormals();
        for (int64_t task = 0; task < n_tasks && !is_stopped(); task++)
            fn(arg, task, 0);
        bs_cpu_restore(saved);
        return;
    }
    grow(p, n_threads - 1);
    const int helpers = p->n_workers < n_threads - 1 ? p->n_workers : n_threads - 1;
    p->fn = fn;
    p->arg = arg;
    p->n_tasks = n_tasks;
    p->question = current;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    /* Workers that do not participate go back to waiting without touching the job. */
    atomic_store_explicit(&p->busy, helpers, memory_order_relaxed);
    const uint64_t number = atomic_load_explicit(&p->job, memory_order_relaxed) >> PARTICIPANT_BITS;
    pthread_mutex_lock(&p->lock);
    atomic_store_explicit(&p->job, (number + 1) << PARTICIPANT_BITS | (uint64_t)(helpers + 1),
                          memory_order_release);
    if (p->sleepers > 0)
        pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);

    const uint32_t saved = bs_cpu_flush_subnormals();
    run_tasks(p, 0);
    bs_cpu_restore(saved);
    wait_until_done(p);
    pthread_mutex_unlock(&p->owner);
}

uint64_t bs_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

/* bs_fork_hold takes it for reading, a fork for writing. */
static pthread_rwlock_t fork_gate;

static void make_fork_gate(void)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
    /* Otherwise a steady stream of readers could delay a fork forever. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&fork_gate, &attr);
    pthread_rwlockattr_destroy(&attr);
}

void bs_fork_hold(void)
{
    pthread_rwlock_rdlock(&fork_gate);
}

void bs_fork_release(void)
{
    pthread_rwlock_unlock(&fork_gate);
}

static void before_fork(void)
{
    pthread_rwlock_wrlock(&fork_gate);
}

static void after_fork_in_parent(void)
{
    pthread_rwlock_unlock(&fork_gate);
}

/* The child has no workers, and its locks may be in any state. */
static void after_fork_in_child(void)
{
    pool *p = &the_pool;
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->owner, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    make_fork_gate();
    inside_task = false;
    current = NULL;
    asks = false;
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

bs_status bs_pool_init(bs_error *e)
{
    static atomic_bool installed;
    if (atomic_exchange(&installed, true))
        return BS_OK;
    make_fork_gate();
    if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "cannot install the fork handlers");
    return BS_OK;
}
