/* Comes before libc in an agent under test: fsync that fails, and a wall clock that is off.
 * What it does is commanded through a file of two 64-bit integers that another process writes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t sync_fails;
    int64_t offset_s;
};

static const volatile struct control *control;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("EDGECONSOLE_FAULT_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (fd >= 0) {
        void *shared = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED)
            control = shared;
        close(fd);
    }
}

int fsync(int fd)
{
    if (control && control->sync_fails) {
        errno = EIO;
        return -1;
    }
    return real_fsync(fd);
}

int fdatasync(int fd)
{
    if (control && control->sync_fails) {
        errno = EIO;
        return -1;
    }
    return real_fdatasync(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (!real_clock_gettime)
        attach();
    int result = real_clock_gettime(id, now);
    if (!result && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->offset_s;
    return result;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
