/* Stands between the program and the system, by way of LD_PRELOAD, and lies to it while a control file says so.
 *
 * SHIM_DISK   names a file that holds one of: full      writes to a ledger fail, the disk is full
 *                                             io        writes to a ledger do not get to the disk
 *                                             readonly  a ledger cannot be opened to write, or written
 * SHIM_CLOCK  names a file that holds the seconds by which the wall clock is wrong
 *
 * SHIM_PORTS  "from:to": connections to the one port of loopback go to the other
 *
 * And it notes what cannot be seen from outside:
 *
 * SHIM_TCP    names a file that gets a line for each connection's TCP_USER_TIMEOUT: its milliseconds
 *
 * Everything that is passed on goes to the kernel itself: to look for the C library's own function could end here
 * again. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What the control file of this name holds; nothing where there is none. */
static void control(const char *variable, char *text, size_t size)
{
    const char *path = getenv(variable);
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    long length = fd < 0 ? 0 : syscall(SYS_read, fd, text, size - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    text[length < 0 ? 0 : length] = 0;
}

static int disk_is(const char *wanted)
{
    char text[16];
    int before = errno;
    control("SHIM_DISK", text, sizeof text);
    errno = before;
    return strcmp(text, wanted) == 0;
}

static int ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

/* A ledger, its log, or what is rescued of it. */
static int is_ledger(const char *path)
{
    return ends_with(path, ".db") || ends_with(path, ".db-wal") || ends_with(path, ".db.rescued");
}

static int is_of_ledger(int fd)
{
    char link[64], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = before;
    path[length < 0 ? 0 : length] = 0;
    if (ends_with(path, " (deleted)"))
        path[length - 10] = 0;
    return is_ledger(path);
}

static int fails(int error)
{
    errno = error;
    return -1;
}

/* The error with which a write fails, 0 where it does not. */
static int write_error(int fd)
{
    int error = disk_is("full") ? ENOSPC : disk_is("readonly") ? EROFS : 0;
    return error && is_of_ledger(fd) ? error : 0;
}

#define LOST(fd) (disk_is("io") && is_of_ledger(fd))

ssize_t write(int fd, const void *bytes, size_t size)
{
    int error = write_error(fd);
    return error ? fails(error) : syscall(SYS_write, fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    int error = write_error(fd);
    return error ? fails(error) : syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    int error = write_error(fd);
    return error ? fails(error) : syscall(SYS_pwrite64, fd, bytes, size, at);
}

int fsync(int fd)
{
    return LOST(fd) ? fails(EIO) : syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return LOST(fd) ? fails(EIO) : syscall(SYS_fdatasync, fd);
}

static int open_file(const char *path, int flags, va_list rest)
{
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    if ((flags & O_ACCMODE) != O_RDONLY && is_ledger(path) && disk_is("readonly"))
        return fails(EACCES);
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int fd = open_file(path, flags, rest);
    va_end(rest);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int fd = open_file(path, flags, rest);
    va_end(rest);
    return fd;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    const char *path = getenv("SHIM_TCP");
    if (path && level == SOL_TCP && name == TCP_USER_TIMEOUT) {
        char line[32];
        int length = snprintf(line, sizeof line, "%u\n", *(const unsigned *)value);
        long notes = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        syscall(SYS_write, notes, line, length);
        syscall(SYS_close, notes);
    }
    return syscall(SYS_setsockopt, fd, level, name, value, size);
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
    const char *ports = getenv("SHIM_PORTS"), *colon = ports ? strchr(ports, ':') : NULL;
    struct sockaddr_in other;
    if (colon && to->sa_family == AF_INET && size == sizeof other) {
        memcpy(&other, to, sizeof other);
        if (ntohs(other.sin_port) == atoi(ports) && ntohl(other.sin_addr.s_addr) == INADDR_LOOPBACK) {
            other.sin_port = htons(atoi(colon + 1));
            to = (const struct sockaddr *)&other;
        }
    }
    return syscall(SYS_connect, fd, to, size);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        char text[32];
        control("SHIM_CLOCK", text, sizeof text);
        now->tv_sec += atol(text);
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (out)
        *out = precise.tv_sec;
    return precise.tv_sec;
}
