/* The lock of models: who holds it with whom, who goes first, and waits that are given up. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/fair_lock.h"

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { READERS = 6, WRITERS = 2, ROUNDS = 500 };

static bs_fair_lock lock;
static long guarded[2]; /* equal whenever no writer holds the lock */
static atomic_int writing, reading;
static atomic_bool stop;

static void write_once(void)
{
    CHECK(atomic_fetch_add(&writing, 1) == 0);
    CHECK(atomic_load(&reading) == 0);
    guarded[0]++;
    sched_yield();
    guarded[1]++;
    atomic_fetch_sub(&writing, 1);
}

static void read_once(void)
{
    atomic_fetch_add(&reading, 1);
    CHECK(atomic_load(&writing) == 0);
    CHECK(guarded[0] == guarded[1]);
    atomic_fetch_sub(&reading, 1);
}

/* Takes the lock, however long that takes. */
static void take(bool write)
{
    bs_fair_wait wait;
    bool held = bs_fair_lock_begin(&lock, write, &wait);
    while (!held)
        held = bs_fair_lock_wait(&lock, &wait, 60000);
}

static void *reader(void *unused)
{
    while (!atomic_load(&stop)) {
        take(false);
        read_once();
        bs_fair_lock_release(&lock, false);
    }
    return unused;
}

/* Every third wait is given up if it lasts. */
static void *hesitant(void *unused)
{
    for (long i = 0; !atomic_load(&stop); i++) {
        bs_fair_wait wait;
        const bool write = i % 2 == 0;
        bool held = bs_fair_lock_begin(&lock, write, &wait);
        if (!held && i % 3 == 0) {
            bs_fair_lock_give_up(&lock, &wait);
            continue;
        }
        while (!held)
            held = bs_fair_lock_wait(&lock, &wait, 1);
        (write ? write_once : read_once)();
        bs_fair_lock_release(&lock, write);
    }
    return unused;
}

/* Readers that never pause do not keep it out. */
static void *writer(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        take(true);
        write_once();
        bs_fair_lock_release(&lock, true);
    }
    return unused;
}

static void order(void)
{
    bs_fair_wait first, second, late, other;
    bs_fair_lock_init(&lock);
    CHECK(bs_fair_lock_begin(&lock, false, &first));
    CHECK(bs_fair_lock_begin(&lock, false, &second)); /* readers share it */
    CHECK(!bs_fair_lock_begin(&lock, true, &other));
    CHECK(!bs_fair_lock_begin(&lock, false, &late));  /* and queue behind a writer */
    bs_fair_lock_release(&lock, false);
    CHECK(!bs_fair_lock_wait(&lock, &other, 0));
    bs_fair_lock_release(&lock, false);
    CHECK(!bs_fair_lock_wait(&lock, &late, 0));
    CHECK(bs_fair_lock_wait(&lock, &other, 0));
    bs_fair_wait next;
    CHECK(!bs_fair_lock_begin(&lock, true, &next));
    bs_fair_lock_release(&lock, true);
    CHECK(!bs_fair_lock_wait(&lock, &next, 0)); /* the reader came first */
    CHECK(bs_fair_lock_wait(&lock, &late, 0));
    bs_fair_lock_release(&lock, false);
    CHECK(bs_fair_lock_wait(&lock, &next, 0));
    bs_fair_lock_release(&lock, true);

    /* A writer that gives up lets in the readers behind it. */
    CHECK(bs_fair_lock_begin(&lock, false, &first));
    CHECK(!bs_fair_lock_begin(&lock, true, &other));
    CHECK(!bs_fair_lock_begin(&lock, false, &late));
    bs_fair_lock_give_up(&lock, &other);
    CHECK(bs_fair_lock_wait(&lock, &late, 0));
    bs_fair_lock_release(&lock, false);

    /* A reader that was let in and gives up all the same does not keep it. */
    CHECK(!bs_fair_lock_begin(&lock, true, &other));
    CHECK(!bs_fair_lock_begin(&lock, false, &late));
    bs_fair_lock_release(&lock, false);
    CHECK(bs_fair_lock_wait(&lock, &other, 0));
    bs_fair_lock_release(&lock, true);
    bs_fair_lock_give_up(&lock, &late);
    CHECK(bs_fair_lock_begin(&lock, true, &other));
    bs_fair_lock_release(&lock, true);
    bs_fair_lock_destroy(&lock);
}

int main(void)
{
    pthread_t readers[READERS], writers[WRITERS], doubt[2];
    alarm(150);
    order();
    bs_fair_lock_init(&lock);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&readers[i], NULL, reader, NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&doubt[i], NULL, hesitant, NULL) == 0);
    for (int i = 0; i < WRITERS; i++)
        CHECK(pthread_create(&writers[i], NULL, writer, NULL) == 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(doubt[i], NULL);
    CHECK(guarded[0] >= WRITERS * ROUNDS && guarded[0] == guarded[1]);
    bs_fair_lock_destroy(&lock);
    return 0;
}
