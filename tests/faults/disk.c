/* A disk that fails, for one process: preloaded, it counts what the process does to the files below FAULT_DIR.
 *
 * fault_arm(at, mode, errno) has the at-th of these steps go wrong: mode 1, the process is killed before it; 2, killed after half
 * of a write; 3, the step fails with errno, once; 4, so does every later one. fault_log(fd) writes each step down instead, with
 * its data, so that a disk that loses power can be simulated: see powerloss.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long steps, fail_at;
static int mode, fail_errno, log_fd = -1;

void fault_arm(long at, int how, int error) { steps = 0; fail_at = at; mode = how; fail_errno = error; }
long fault_steps(void) { return steps; }
void fault_log(int fd) { log_fd = fd; }

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static int watched_path(const char *path) {
    const char *folder = getenv("FAULT_DIR");
    size_t length = folder ? strlen(folder) : 0;
    /* SQLite's shared memory is made anew after a crash; it is no part of what is kept. */
    return length && !strncmp(path, folder, length) && !(strlen(path) > 4 && !strcmp(path + strlen(path) - 4, "-shm"));
}

static int watched(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return watched_path(path);
}

static void note(const char *what, const char *path, long long offset, const void *data, size_t size) {
    if (log_fd < 0) return;
    __typeof__(&write) real = REAL(write);
    char head[PATH_MAX + 100];
    int n = snprintf(head, sizeof head, "%s\t%s\t%lld\t%zu\n", what, path, offset, size);
    if (real(log_fd, head, n) != n || (size && real(log_fd, data, size) != (ssize_t) size)) abort();
}

/* Whether this step is to fail now. */
static int step(void) {
    steps++;
    if (!fail_at || steps < fail_at || (steps > fail_at && mode != 4)) return 0;
    if (mode == 1) kill(getpid(), SIGKILL);
    if (mode == 2) return 2;
    errno = fail_errno;
    return 1;
}

static ssize_t writing(int fd, const void *data, size_t size, off64_t offset, const char *path) {
    __typeof__(&pwrite64) real = REAL(pwrite64);
    int wrong = step();
    if (wrong == 1) return -1;
    if (wrong == 2) {
        if (real(fd, data, size / 2, offset) < 0) abort();
        kill(getpid(), SIGKILL);
    }
    ssize_t written = real(fd, data, size, offset);
    if (written > 0) note("write", path, offset, data, written);
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    char path[PATH_MAX];
    return watched(fd, path) ? writing(fd, data, size, offset, path) : REAL(pwrite64)(fd, data, size, offset);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

static int syncing(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd);
    int wrong = step();
    if (wrong == 1) return -1;
    if (wrong == 2) kill(getpid(), SIGKILL);
    int result = real(fd);
    if (!result) note("sync", path, 0, NULL, 0);
    return result;
}
int fsync(int fd) { return syncing(fd, REAL(fsync)); }
int fdatasync(int fd) { return syncing(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    __typeof__(&ftruncate64) real = REAL(ftruncate64);
    if (!watched(fd, path)) return real(fd, size);
    int wrong = step();
    if (wrong == 1) return -1;
    if (wrong == 2) kill(getpid(), SIGKILL);
    int result = real(fd, size);
    if (!result) note("truncate", path, size, NULL, 0);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
    __typeof__(&unlink) real = REAL(unlink);
    if (!watched_path(path)) return real(path);
    int wrong = step();
    if (wrong == 1) return -1;
    if (wrong == 2) kill(getpid(), SIGKILL);
    int result = real(path);
    if (!result) note("unlink", path, 0, NULL, 0);
    return result;
}

static int opening(const char *path, int flags, mode_t permissions, const char *name) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, name);
    if (!(flags & O_CREAT) || !watched_path(path) || !access(path, F_OK)) return real(path, flags, permissions);
    int wrong = step();
    if (wrong == 1) return -1;
    if (wrong == 2) kill(getpid(), SIGKILL);
    int fd = real(path, flags, permissions);
    if (fd >= 0) note("create", path, 0, NULL, 0);
    return fd;
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t permissions = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opening(path, flags, permissions, "open64");
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t permissions = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opening(path, flags, permissions, "open");
}
