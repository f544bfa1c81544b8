/* Runs a fuzz target without libFuzzer: with the inputs of the given folders and files, and then
 * with random changes of them. Knows the options -runs=N, -max_total_time=SECONDS, -seed=N and
 * -max_len=N; other options that begin with - are those of libFuzzer and have no effect. Without a limit, it
 * runs for ever. An input that fails is written to the current folder. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>

#include "common.h"

#define SECONDS_PER_INPUT 120 /* on a machine that does other things */

typedef struct {
    uint8_t *data;
    size_t size;
} input;

static input *corpus;
static size_t n_corpus, cap_corpus;
static size_t longest = 2048;
static input current;
static long long n_runs;
static uint64_t state;

/* xorshift64* */
static uint64_t draw(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Dull;
}

static size_t below(size_t n)
{
    return n == 0 ? 0 : (size_t)(draw() >> 11) % n;
}

static void keep_input(void)
{
    char name[64];
    for (size_t i = 0; i < current.size; i++)
        fprintf(stderr, "%02x", current.data[i]);
    snprintf(name, sizeof name, "crash-%lld", n_runs);
    FILE *file = fopen(name, "wb");
    if (file != NULL) {
        fwrite(current.data, 1, current.size, file);
        fclose(file);
        fprintf(stderr, "\nthe input was written to %s\n", name);
    }
}

static void on_signal(int number)
{
    fprintf(stderr, number == SIGALRM ? "an input takes more than %d s\n" : "aborted\n",
            SECONDS_PER_INPUT);
    keep_input();
    _exit(77);
}

static void run(const uint8_t *data, size_t size)
{
    /* Of exactly its size, so that reads beyond the end are found. */
    current.data = must_alloc(current.data, size);
    current.size = size;
    if (size > 0)
        memcpy(current.data, data, size);
    alarm(SECONDS_PER_INPUT);
    n_runs++;
    LLVMFuzzerTestOneInput(current.data, current.size);
}

static void add_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    uint8_t *data = must_alloc(NULL, longest);
    const size_t size = fread(data, 1, longest, file);
    fclose(file);
    if (n_corpus == cap_corpus) {
        cap_corpus = 2 * cap_corpus + 64;
        corpus = must_alloc(corpus, cap_corpus * sizeof *corpus);
    }
    corpus[n_corpus++] = (input){data, size};
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_path(const char *path)
{
    struct stat found;
    struct dirent **entries;
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) {
        add_file(path);
        return;
    }
    const int n = scandir(path, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            add_path(name);
        free(entries[i]);
    }
    free(entries);
}

static size_t change(uint8_t *data, size_t size)
{
    static const uint8_t bytes[] = {0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, ' ', '#', '['};
    const size_t at = below(size), count = 1 + below(below(4) == 0 ? 64 : 8);
    const input *other = &corpus[below(n_corpus)];
    switch (size == 0 ? 3 : below(8)) {
    case 0:
        data[at] ^= (uint8_t)(1u << below(8));
        return size;
    case 1:
        data[at] = (uint8_t)draw();
        return size;
    case 2:
        data[at] = bytes[below(sizeof bytes)];
        return size;
    case 3: /* new bytes in between */
        if (size + count > longest)
            return size;
        memmove(data + at + count, data + at, size - at);
        for (size_t i = 0; i < count; i++)
            data[at + i] = (uint8_t)draw();
        return size + count;
    case 4: /* bytes removed */
        if (at + count > size)
            return at;
        memmove(data + at, data + at + count, size - at - count);
        return size - count;
    case 5: { /* bytes from elsewhere in it */
        const size_t from = below(size), most = size - (at > from ? at : from);
        memmove(data + at, data + from, count < most ? count : most);
        return size;
    }
    case 6: { /* the end of another input */
        const size_t from = below(other->size), rest = other->size - from;
        const size_t n = rest < longest - at ? rest : longest - at;
        if (n > 0)
            memcpy(data + at, other->data + from, n);
        return at + n;
    }
    default: /* a number of several bytes */
        for (size_t i = at; i < size && i < at + count; i++)
            data[i] = (uint8_t)(draw() & 1 ? 0 : 0xFF);
        return size;
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    long long runs = -1, most_seconds = 0, seed = 1;
    for (int i = 1; i < argc; i++) {
        sscanf(argv[i], "-runs=%lld", &runs);
        sscanf(argv[i], "-max_total_time=%lld", &most_seconds);
        sscanf(argv[i], "-seed=%lld", &seed);
        sscanf(argv[i], "-max_len=%zu", &longest);
    }
    state = (uint64_t)seed * 0x9E3779B97F4A7C15ull | 1;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            add_path(argv[i]);
    if (n_corpus == 0) {
        fprintf(stderr, "there is no input to begin with\n");
        return 2;
    }
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    __sanitizer_set_death_callback(keep_input);
    if (LLVMFuzzerInitialize(&argc, &argv) != 0)
        return 2;

    const double began = seconds();
    for (size_t i = 0; i < n_corpus && n_runs != runs; i++)
        run(corpus[i].data, corpus[i].size);
    uint8_t *data = must_alloc(NULL, longest);
    while (n_runs != runs && (most_seconds <= 0 || seconds() - began < (double)most_seconds)) {
        const input *chosen = &corpus[below(n_corpus)];
        size_t size = chosen->size;
        if (size > 0)
            memcpy(data, chosen->data, size);
        for (size_t n = 1 + below(8); n > 0; n--)
            size = change(data, size);
        run(data, size);
    }
    alarm(0);
    fprintf(stderr, "stat::number_of_executed_units: %lld\n", n_runs);
    fprintf(stderr, "stat::average_exec_per_sec: %.0f\n", (double)n_runs / (seconds() - began));
    free(data);
    free(current.data);
    for (size_t i = 0; i < n_corpus; i++)
        free(corpus[i].data);
    free(corpus);
    return 0;
}
