/* A lock that many readers share and a writer holds alone, and that keeps neither waiting for ever:
 * readers that come while a writer waits go after it, and before the next writer. A pthread_rwlock
 * prefers one or the other. Waiting is cut into parts, so that a caller can look at signals in
 * between without losing its place. */
#ifndef BS_CORE_FAIR_LOCK_H
#define BS_CORE_FAIR_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    pthread_mutex_t mutex; /* guards the other fields */
    pthread_cond_t changed;
    int readers;           /* that hold the lock */
    int waiting_readers;
    int waiting_writers;
    bool writer;           /* holds the lock */
    uint64_t turn;         /* counts how often waiting readers were let in */
} bs_fair_lock;

typedef struct {
    bool write;
    uint64_t turn; /* when the wait began */
} bs_fair_wait;

/* Makes the lock, also over one that a fork copied in any state. */
void bs_fair_lock_init(bs_fair_lock *lock);

void bs_fair_lock_destroy(bs_fair_lock *lock);

/* Takes the lock if it is free, and otherwise begins to wait. Returns whether it is taken. */
bool bs_fair_lock_begin(bs_fair_lock *lock, bool write, bs_fair_wait *wait);

/* Waits for up to `milliseconds`. Returns whether the lock is taken. */
bool bs_fair_lock_wait(bs_fair_lock *lock, bs_fair_wait *wait, int milliseconds);

/* Stops waiting, and releases the lock if it was taken meanwhile. */
void bs_fair_lock_give_up(bs_fair_lock *lock, bs_fair_wait *wait);

void bs_fair_lock_release(bs_fair_lock *lock, bool write);

#endif
