/*
 * The floor: what the same checks cost a plain C program on libcurl.
 *
 * One thread, one multi handle, a pool of easy handles that are used again, a
 * connection of its own for every request (the server closes it), bodies
 * thrown away. Requests start evenly spaced, as a monitor's do, -b of them
 * together when the last of them is due, or with -r 0 as fast as the pool
 * allows.
 *
 *   floor [-c POOL] [-r RATE] [-b BATCH] [-n REQUESTS] [-w WINDOWS] [-a CA_FILE] PREFIX SITES
 *
 * asks PREFIX1 .. PREFIX<SITES> in turn. Prints a line a window,
 * "window CPU_MICROSECONDS_A_REQUEST REQUESTS SECONDS", after a warm-up that
 * is not counted, then "memory RSS_KIB PEAK_KIB". Any answer but 200 ends it
 * with status 1: a failed request is cheap and would flatter the figures.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 100
#define POOL_MAX 256

static struct {
    int pool;
    double rate; /* requests a second, 0 = as fast as it goes */
    int batch; /* begin together, at most the pool */
    long requests; /* in each window */
    int windows;
    const char *ca_file;
    const char *prefix;
    long sites;
} options = { 7, 0, 1, 500, 3, NULL, NULL, 0 };

static CURLM *multi;
static CURL *idle[POOL_MAX];
static int idle_count;
static long next_site;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

static void usage(void)
{
    fputs("usage: floor [-c POOL] [-r RATE] [-b BATCH] [-n REQUESTS] [-w WINDOWS] [-a CA_FILE] PREFIX SITES\n", stderr);
    exit(2);
}

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_microseconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6
        + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* From /proc, not ru_maxrss: that one starts at the parent's size. */
static long status_kib(const char *field)
{
    char line[256];
    long kib = 0;
    size_t length = strlen(field);
    FILE *status = fopen("/proc/self/status", "r");
    if (!status)
        return 0;
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, field, length) && line[length] == ':')
            kib = strtol(line + length + 1, NULL, 10);
    fclose(status);
    return kib;
}

static size_t discard(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    (void)user;
    return size * count;
}

static CURL *new_handle(void)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        fail("curl_easy_init", "no handle");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "floor");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    if (options.ca_file) {
        /* libcurl keeps parsed roots for 24 h, but only where no directory
         * of roots is set, and Debian's build sets one. */
        curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    return easy;
}

static void start_request(void)
{
    char url[512];
    CURL *easy = idle[--idle_count];
    snprintf(url, sizeof url, "%s%ld", options.prefix, next_site + 1);
    next_site = (next_site + 1) % options.sites;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    CURLMcode code = curl_multi_add_handle(multi, easy);
    if (code != CURLM_OK)
        fail("curl_multi_add_handle", curl_multi_strerror(code));
}

static long reap_finished(void)
{
    CURLMsg *message;
    int left;
    long finished = 0;
    while ((message = curl_multi_info_read(multi, &left))) {
        CURL *easy = message->easy_handle;
        long status = 0;
        if (message->data.result != CURLE_OK)
            fail("request", curl_easy_strerror(message->data.result));
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200)
            fail("request", "the answer is not 200");
        curl_multi_remove_handle(multi, easy);
        idle[idle_count++] = easy;
        finished++;
    }
    return finished;
}

static void run_requests(long requests, double rate)
{
    long started = 0, finished = 0;
    double due = clock_seconds();
    int due_now = 0; /* of a batch that has begun */
    while (finished < requests) {
        while (idle_count > 0 && started < requests) {
            if (rate > 0 && due_now == 0) {
                if (clock_seconds() < due)
                    break;
                due += options.batch / rate;
                due_now = options.batch;
            }
            start_request();
            started++;
            due_now -= rate > 0;
        }
        int running;
        curl_multi_perform(multi, &running);
        finished += reap_finished();

        int wait_ms = 1000;
        if (idle_count > 0 && started < requests) {
            double left = rate == 0 ? 0 : due - clock_seconds();
            wait_ms = left > 0 ? (int)(left * 1000) + 1 : 0;
        }
        if (wait_ms > 0 && finished < requests)
            curl_multi_poll(multi, NULL, 0, wait_ms, NULL);
    }
}

static void parse_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "c:r:b:n:w:a:")) != -1) {
        switch (option) {
        case 'c': options.pool = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'b': options.batch = atoi(optarg); break;
        case 'n': options.requests = atol(optarg); break;
        case 'w': options.windows = atoi(optarg); break;
        case 'a': options.ca_file = optarg; break;
        default: usage();
        }
    }
    if (argc - optind != 2)
        usage();
    options.prefix = argv[optind];
    options.sites = atol(argv[optind + 1]);
    if (options.pool < 1 || options.pool > POOL_MAX || options.rate < 0
        || options.batch < 1 || options.batch > options.pool || options.requests < 1
        || options.windows < 1 || options.sites < 1)
        usage();
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    if (!multi)
        fail("curl_multi_init", "no handle");
    while (idle_count < options.pool)
        idle[idle_count++] = new_handle();

    run_requests(WARM_UP, 0);
    for (int window = 0; window < options.windows; window++) {
        double cpu = cpu_microseconds(), began = clock_seconds();
        run_requests(options.requests, options.rate);
        printf("window %.1f %ld %.2f\n", (cpu_microseconds() - cpu) / options.requests,
            options.requests, clock_seconds() - began);
    }
    printf("memory %ld %ld\n", status_kib("VmRSS"), status_kib("VmHWM"));

    while (idle_count > 0)
        curl_easy_cleanup(idle[--idle_count]);
    curl_multi_cleanup(multi);
    curl_global_cleanup();
    return 0;
}
