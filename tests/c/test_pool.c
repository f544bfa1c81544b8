/* The thread pool by itself: every task once, no two tasks on one worker at a
 * time, calls from several threads, nested calls, and forks. Exits 0 if all hold;
 * made to be built under ThreadSanitizer as well (with -DWITHOUT_FORK, since its
 * runtime cannot start threads in a forked child). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pool.h"

#define MAX_TASKS 97
#define MAX_WORKERS 9

static int failures;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            failures++;                                                        \
        }                                                                      \
    } while (0)

typedef struct {
    int n_threads;
    int64_t out[MAX_TASKS]; /* plain memory: the pool must order it for the caller */
    int times[MAX_TASKS];
    atomic_int in_use[MAX_WORKERS];
    atomic_int misuse;
    const int64_t *in;
} job;

static void one_task(void *arg, int64_t task, int worker)
{
    job *j = arg;
    if (worker < 0 || worker >= j->n_threads || worker >= MAX_WORKERS ||
        atomic_exchange(&j->in_use[worker], 1) != 0) {
        atomic_fetch_add(&j->misuse, 1);
        return;
    }
    int64_t sum = j->in[task];
    for (int i = 0; i < (int)(task % 5) * 40; i++)
        sum += i & 1;
    j->out[task] = sum;
    j->times[task]++;
    atomic_store(&j->in_use[worker], 0);
}

/* Runs one job and counts its errors. */
static int run_job(int n_threads, int64_t n_tasks, int64_t salt)
{
    int64_t in[MAX_TASKS];
    job j;
    memset(&j, 0, sizeof j);
    j.n_threads = n_threads < 1 ? 1 : n_threads;
    j.in = in;
    for (int64_t i = 0; i < MAX_TASKS; i++)
        in[i] = salt * 1000 + i;
    bs_pool_run(n_threads, n_tasks, one_task, &j);
    int wrong = atomic_load(&j.misuse);
    for (int64_t i = 0; i < MAX_TASKS; i++) {
        const int64_t expected = i < n_tasks ? in[i] + (i % 5) * 20 : 0;
        wrong += j.out[i] != expected || j.times[i] != (i < n_tasks);
    }
    return wrong;
}

static int run_many(int rounds, unsigned seed)
{
    int wrong = 0;
    for (int i = 0; i < rounds; i++) {
        seed = seed * 1103515245u + 12345u;
        const int n_threads = (int)(seed >> 16) % (MAX_WORKERS + 1);
        const int64_t n_tasks = (int64_t)(seed >> 20) % (MAX_TASKS + 1);
        wrong += run_job(n_threads, n_tasks, i);
    }
    return wrong;
}

static void *run_many_here(void *seed)
{
    return (void *)(intptr_t)run_many(600, (unsigned)(intptr_t)seed);
}

/* Waits until another task runs at the same time, at most ten seconds. */
static void meet(void *arg, int64_t task, int worker)
{
    atomic_int *here = arg;
    (void)task;
    (void)worker;
    atomic_fetch_add(here, 1);
    for (int i = 0; i < 10000 && atomic_load(here) < 2; i++)
        usleep(1000);
    if (atomic_load(here) < 2)
        atomic_fetch_add(here, -2);
}

static void test_tasks_run_at_the_same_time(void)
{
    atomic_int here = 0;
    bs_pool_run(2, 2, meet, &here);
    CHECK(atomic_load(&here) == 2);
}

static void inner_task(void *arg, int64_t task, int worker)
{
    int *inner_worker = arg;
    inner_worker[task] = worker + 1;
}

static void outer_task(void *arg, int64_t task, int worker)
{
    int(*seen)[4] = arg;
    (void)worker;
    bs_pool_run(4, 4, inner_task, seen[task]);
}

static void test_nested_calls_run_in_the_caller(void)
{
    int seen[16][4] = {{0}};
    bs_pool_run(4, 16, outer_task, seen);
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 4; k++)
            CHECK(seen[i][k] == 1);
}

static void test_callers_do_not_disturb_each_other(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, run_many_here, (void *)(intptr_t)(i + 1)) != 0)
            abort();
    CHECK(run_many(600, 77) == 0);
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK((intptr_t)wrong == 0);
    }
}

#ifndef WITHOUT_FORK
static void expect_child_works(void)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        _exit(run_many(50, 3) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static atomic_int stop;

static void *run_until_stopped(void *arg)
{
    intptr_t wrong = 0;
    (void)arg;
    while (!atomic_load(&stop))
        wrong += run_job(3, 60, 1);
    return (void *)wrong;
}

static void test_children_have_a_pool_of_their_own(void)
{
    const uint64_t before = bs_fork_generation();
    expect_child_works();
    CHECK(run_many(50, 4) == 0);
    CHECK(bs_fork_generation() == before);

    pthread_t thread;
    if (pthread_create(&thread, NULL, run_until_stopped, NULL) != 0)
        abort();
    for (int i = 0; i < 20; i++)
        expect_child_works();
    atomic_store(&stop, 1);
    void *wrong;
    pthread_join(thread, &wrong);
    CHECK((intptr_t)wrong == 0);
}

static int between; /* written only between hold and release */

static void *hold_until_stopped(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        bs_fork_hold();
        *(volatile int *)&between = 1;
        for (int i = 0; i < 2000; i++)
            (void)atomic_load(&stop);
        *(volatile int *)&between = 0;
        bs_fork_release();
    }
    return NULL;
}

static void test_forks_wait_for_those_who_hold_them_up(void)
{
    pthread_t thread;
    atomic_store(&stop, 0);
    if (pthread_create(&thread, NULL, hold_until_stopped, NULL) != 0)
        abort();
    for (int i = 0; i < 100; i++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(30);
            bs_fork_hold();
            bs_fork_release();
            _exit(between);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
}
#endif

int main(void)
{
    bs_error error = BS_ERROR_INIT;
    alarm(120);
    CHECK(bs_pool_init(&error) == BS_OK);
    CHECK(run_job(4, 0, 0) == 0);
    CHECK(run_many(2000, 1) == 0);
    test_tasks_run_at_the_same_time();
    test_nested_calls_run_in_the_caller();
    test_callers_do_not_disturb_each_other();
#ifndef WITHOUT_FORK
    test_children_have_a_pool_of_their_own();
    test_forks_wait_for_those_who_hold_them_up();
#endif
    return failures != 0;
}
