/* A disk that does what a test wants: loaded into the program by LD_PRELOAD.
 *
 * DISK_FOLDER   what is below this folder is on that disk (SQLite's shared memory and the lock are not: they are memory)
 * DISK_ORDERS   a file that says how the disk is now, one word a line:
 *                   write=ENOSPC | write=EROFS | write=EIO    no write succeeds
 *                   sync=EIO                                  no sync succeeds
 *                   clock=-3600                               what the clock is off by, in seconds
 * DISK_JOURNAL  where every write is noted, with what it replaces, until it is synced: what a power cut may undo
 * DISK_BOOT_ID  the file to be read instead of the kernel's boot id
 *
 * A note is a header and its bytes, written before what it notes is done, so that no crash leaves a write without one.
 * Renaming and removing are durable at once, as on a file system with a journal.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITE = 1, TRUNCATE = 2, SYNC_BEGUN = 3, SYNCED = 4, RENAME = 5, REMOVE = 6 };

/* All numbers as this machine has them: whoever reads the journal runs on it. */
struct note {
    uint32_t kind;
    uint32_t path_length;
    uint64_t offset;     /* of a write; of a truncation, the new length; of a sync, which one it is */
    uint64_t old_length; /* of the file */
    uint64_t old_bytes;  /* how many bytes that are replaced follow the path */
    uint64_t new_bytes;  /* how many bytes that replace them follow those */
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static uint64_t syncs;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}


/* Calls the kernel itself: nothing here may come back here. */
static long raw_write(int fd, const void *bytes, size_t count) { return syscall(SYS_write, fd, bytes, count); }

static int is_on_disk(const char *path) {
    const char *folder = setting("DISK_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length) != 0 || path[length] != '/') return 0;
    size_t all = strlen(path);
    if (all > 4 && strcmp(path + all - 4, "-shm") == 0) return 0;
    return strcmp(path + length, "/lock") != 0;
}

/* The path of an open file, if it is on the disk. */
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_on_disk(path);
}

/* What the orders say under a name; "" if nothing. */
static void order(const char *name, char value[32]) {
    value[0] = 0;
    const char *file = setting("DISK_ORDERS");
    if (!file) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char text[512];
    long length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (length <= 0) return;
    text[length] = 0;
    size_t known = strlen(name);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, name, known) == 0 && line[known] == '=') snprintf(value, 32, "%s", line + known + 1);
    }
}

/* The error that is ordered, 0 if none. */
static int ordered(const char *name) {
    char value[32];
    order(name, value);
    if (strcmp(value, "ENOSPC") == 0) return ENOSPC;
    if (strcmp(value, "EROFS") == 0) return EROFS;
    if (strcmp(value, "EIO") == 0) return EIO;
    return 0;
}

static int journal(void) {
    static int fd = -1;
    const char *file = setting("DISK_JOURNAL");
    if (fd < 0 && file) fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd;
}

/* One note, in one write: a kill leaves a whole one or none. */
static void note(struct note head, const char *path, const void *old, const void *new) {
    head.path_length = (uint32_t)strlen(path);
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)path, head.path_length},
                             {(void *)old, head.old_bytes}, {(void *)new, head.new_bytes}};
    if (syscall(SYS_writev, journal(), parts, 4) < 0) abort();
}

static uint64_t length_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? (uint64_t)found.st_size : 0;
}

/* Notes that bytes will be written. */
static void note_write(int fd, const char *path, const void *bytes, size_t count, uint64_t offset) {
    uint64_t length = length_of(fd);
    uint64_t end = offset + count < length ? offset + count : length;
    struct note head = {.kind = WRITE, .offset = offset, .old_length = length, .new_bytes = count};
    head.old_bytes = end > offset ? end - offset : 0;
    char *old = malloc(head.old_bytes + 1);
    int readable = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long got = syscall(SYS_pread64, readable, old, head.old_bytes, offset);
    syscall(SYS_close, readable);
    if (got != (long)head.old_bytes) abort();
    note(head, path, old, bytes);
    free(old);
}

static ssize_t put(int fd, const void *bytes, size_t count, off_t offset, int positioned) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) goto real;
    int error = ordered("write");
    if (error) {
        errno = error;
        return -1;
    }
    if (journal() >= 0) {
        pthread_mutex_lock(&turn);
        uint64_t at = (uint64_t)offset;
        if (!positioned) at = fcntl(fd, F_GETFL) & O_APPEND ? length_of(fd) : (uint64_t)lseek(fd, 0, SEEK_CUR);
        note_write(fd, path, bytes, count, at);
        long done = positioned ? syscall(SYS_pwrite64, fd, bytes, count, offset) : raw_write(fd, bytes, count);
        pthread_mutex_unlock(&turn);
        return done;
    }
real:
    return positioned ? syscall(SYS_pwrite64, fd, bytes, count, offset) : raw_write(fd, bytes, count);
}

ssize_t write(int fd, const void *bytes, size_t count) { return put(fd, bytes, count, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return put(fd, bytes, count, offset, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return put(fd, bytes, count, offset, 1); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_writev, fd, parts, count);
    ssize_t all = 0;
    for (int part = 0; part < count; part++) {
        ssize_t done = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[part].iov_len) break;
    }
    return all;
}

int ftruncate(int fd, off_t length) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        int error = ordered("write");
        if (error) {
            errno = error;
            return -1;
        }
        if (journal() >= 0) {
            pthread_mutex_lock(&turn);
            struct note head = {.kind = TRUNCATE, .offset = (uint64_t)length, .old_length = length_of(fd)};
            if (head.old_length > head.offset) head.old_bytes = head.old_length - head.offset;
            char *old = malloc(head.old_bytes + 1);
            int readable = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
            long got = syscall(SYS_pread64, readable, old, head.old_bytes, length);
            syscall(SYS_close, readable);
            if (got != (long)head.old_bytes) abort();
            note(head, path, old, NULL);
            free(old);
            int done = (int)syscall(SYS_ftruncate, fd, length);
            pthread_mutex_unlock(&turn);
            return done;
        }
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

/* What was written before a sync begins is safe when it has ended. */
static int sync_by(long number, int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(number, fd);
    int error = ordered("sync");
    if (error) {
        errno = error;
        return -1;
    }
    if (journal() < 0) return (int)syscall(number, fd);
    pthread_mutex_lock(&turn);
    struct note head = {.kind = SYNC_BEGUN, .offset = syncs++};
    note(head, path, NULL, NULL);
    pthread_mutex_unlock(&turn);
    int done = (int)syscall(number, fd);
    if (done == 0) {
        head.kind = SYNCED;
        note(head, path, NULL, NULL);
    }
    return done;
}
int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

int rename(const char *from, const char *to) {
    char path[PATH_MAX];
    if (journal() >= 0 && realpath(from, path) && is_on_disk(path)) {
        pthread_mutex_lock(&turn);
        note((struct note){.kind = RENAME, .new_bytes = strlen(to)}, path, NULL, to);
        int done = (int)syscall(SYS_rename, from, to);
        pthread_mutex_unlock(&turn);
        return done;
    }
    return (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path) {
    char whole[PATH_MAX];
    if (journal() >= 0 && realpath(path, whole) && is_on_disk(whole)) {
        pthread_mutex_lock(&turn);
        note((struct note){.kind = REMOVE}, whole, NULL, NULL);
        int done = (int)syscall(SYS_unlink, path);
        pthread_mutex_unlock(&turn);
        return done;
    }
    return (int)syscall(SYS_unlink, path);
}

static int open_at(int folder, const char *path, int flags, va_list rest) {
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    const char *boot = setting("DISK_BOOT_ID");
    if (boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN(name, ...)                                       \
    {                                                         \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        int fd = open_at(__VA_ARGS__, path, flags, rest);     \
        va_end(rest);                                         \
        return fd;                                            \
    }
int open(const char *path, int flags, ...) OPEN(open, AT_FDCWD)
int open64(const char *path, int flags, ...) OPEN(open64, AT_FDCWD)
int openat(int folder, const char *path, int flags, ...) OPEN(openat, folder)
int openat64(int folder, const char *path, int flags, ...) OPEN(openat64, folder)

int clock_gettime(clockid_t clock, struct timespec *time) {
    int done = (int)syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME && done == 0) {
        char value[32];
        order("clock", value);
        time->tv_sec += atol(value);
    }
    return done;
}
