/* A machine with the wrong time, for one process: loaded before it, this adds WRONG_CLOCK_SECS to what the process is told
   of the wall clock. On such a machine waits would end in time, since the system that ends them has the same clock. Here the
   system has another one, so the moments until which librdkafka waits are put right (cnd_timedwait); what waits by the
   monotonic clock is not touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void) {
    const char *text = getenv("WRONG_CLOCK_SECS");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *told) {
    int result = (int)syscall(SYS_clock_gettime, clock, told);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) told->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    told->tv_sec = now.tv_sec;
    told->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}

typedef int waiting(cnd_t *, mtx_t *, const struct timespec *);

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec now, right = *until;
    waiting *really = (waiting *)dlsym(RTLD_NEXT, "cnd_timedwait");
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    /* Nearer to what we tell than to the truth: it was made from what we told. */
    if (labs(until->tv_sec - now.tv_sec - offset()) < labs(until->tv_sec - now.tv_sec)) right.tv_sec -= offset();
    return really(condition, mutex, &right);
}
