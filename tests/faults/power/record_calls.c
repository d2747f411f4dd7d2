/* When preloaded, logs the calls of a process on the files of one folder: writes with their bytes, the names created,
   changed and taken away, and the syncs of files and of the folder. tests/support/power.py reads it.
   An entry of the log: kind, name, offset, length, bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int log_file(void) {
    static int file = -2;
    if (file == -2) {
        const char *path = getenv("RECORDED_CALLS");
        file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    return file;
}

/* Returns whether a path is in the folder, and its name there; the folder itself has an empty name. */
static int name_at(const char *path, char *name) {
    const char *folder = getenv("RECORDED_FOLDER");
    if (!folder || log_file() < 0) return 0;
    size_t prefix = strlen(folder);
    if (strncmp(path, folder, prefix) != 0 || (path[prefix] != '/' && path[prefix] != 0)) return 0;
    strcpy(name, path[prefix] == 0 ? "" : path + prefix + 1);
    return 1;
}

static int name_of(int file, char *name) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return name_at(path, name);
}

static void keep(char kind, const char *name, uint64_t offset, const void *data, uint32_t length) {
    uint16_t name_length = (uint16_t)strlen(name);
    struct iovec parts[] = {
        {&kind, 1}, {&name_length, 2}, {(void *)name, name_length}, {&offset, 8}, {&length, 4}, {(void *)data, data ? length : 0},
    };
    pthread_mutex_lock(&one_at_a_time);
    syscall(SYS_writev, log_file(), parts, 6);
    pthread_mutex_unlock(&one_at_a_time);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    struct stat status;
    int is_new = (flags & O_CREAT) && name_at(path, name) && stat(path, &status) != 0;
    int file = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (file >= 0 && is_new) keep('c', name, 0, 0, 0);
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }

int rename(const char *before, const char *after) {
    char old[PATH_MAX], new[PATH_MAX];
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, before, AT_FDCWD, after, 0);
    if (done == 0 && name_at(before, old) && name_at(after, new)) keep('r', old, 0, new, (uint32_t)strlen(new));
    return done;
}

int unlink(const char *path) {
    char name[PATH_MAX];
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0 && name_at(path, name)) keep('u', name, 0, 0, 0);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
    char name[PATH_MAX];
    ssize_t written = syscall(SYS_pwrite64, file, data, length, offset);
    if (written > 0 && name_of(file, name)) keep('w', name, (uint64_t)offset, data, (uint32_t)written);
    return written;
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) {
    return pwrite64(file, data, length, offset);
}

ssize_t write(int file, const void *data, size_t length) {
    char name[PATH_MAX];
    int ours = name_of(file, name);
    uint64_t offset = 0;
    if (ours) {
        struct stat status;
        int appends = (int)syscall(SYS_fcntl, file, F_GETFL) & O_APPEND;
        if (appends && fstat(file, &status) == 0) offset = (uint64_t)status.st_size;
        else offset = (uint64_t)lseek(file, 0, SEEK_CUR);
    }
    ssize_t written = syscall(SYS_write, file, data, length);
    if (ours && written > 0) keep('w', name, offset, data, (uint32_t)written);
    return written;
}

int ftruncate64(int file, off64_t length) {
    char name[PATH_MAX];
    int done = (int)syscall(SYS_ftruncate, file, length);
    if (done == 0 && name_of(file, name)) keep('t', name, (uint64_t)length, 0, 0);
    return done;
}

int ftruncate(int file, off_t length) {
    return ftruncate64(file, length);
}

int fsync(int file) {
    char name[PATH_MAX];
    int done = (int)syscall(SYS_fsync, file);
    if (done == 0 && name_of(file, name)) keep('s', name, 0, 0, 0);
    return done;
}

int fdatasync(int file) {
    char name[PATH_MAX];
    int done = (int)syscall(SYS_fdatasync, file);
    if (done == 0 && name_of(file, name)) keep('s', name, 0, 0, 0);
    return done;
}
