/*
 * Test only: a disk that forgets, for LD_PRELOAD.
 *
 * POWERCUT_DIR     the directory whose files lie on that disk
 * POWERCUT_SHADOW  an empty directory: what would be there after a power cut at this instant
 * POWERCUT_SEED    for sectors that reach the disk although nobody asked; 0: none does
 * POWERCUT_QUOTA   a file with the size of the disk in octets; missing: endless
 *
 * The program works on real files. The shadow gets data when fsync or fdatasync is called on a file,
 * and names when fsync is called on their directory, as POSIX promises and no more: a file that was
 * synced in a directory that was not is lost. With a seed, each sector of an unsynced write may reach
 * the shadow at once, as a disk may write back in any order and a last write may be torn.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
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
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 4096
#define SECTOR 512

struct range { off_t at; size_t length; };
struct file {
    ino_t inode;
    struct range *dirty;
    size_t count, room;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *dir, *shadow, *quota;
static size_t dir_length;
static uint64_t seed;
static struct file files[MOST_FILES];
static size_t file_count;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, off_t, off_t);

static void fail(const char *what) {
    perror(what);
    abort();
}

/* xorshift64: the same seed gives the same disk. */
static uint64_t chance(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int ours(int fd, struct stat *stat) {
    char link[64], path[PATH_MAX];
    if (!dir || fd <= 2 || fstat(fd, stat) != 0) return 0;
    if (!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, dir, dir_length) == 0 && (path[dir_length] == '/' || path[dir_length] == 0);
}

static void inode_path(ino_t inode, char *path) {
    snprintf(path, PATH_MAX, "%s/inode/%llu", shadow, (unsigned long long)inode);
}

static int shadow_of(ino_t inode) {
    char path[PATH_MAX];
    inode_path(inode, path);
    int fd = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) fail("powercut: shadow");
    return fd;
}

static struct file *file_of(ino_t inode) {
    for (size_t i = 0; i < file_count; i++)
        if (files[i].inode == inode) return &files[i];
    if (file_count == MOST_FILES) {
        /* Forget a file without unsynced writes. */
        for (size_t i = 0; i < file_count; i++)
            if (files[i].count == 0) {
                files[i].inode = inode;
                return &files[i];
            }
        fail("powercut: too many files");
    }
    files[file_count].inode = inode;
    return &files[file_count++];
}

static void copy_range(int from, int to, off_t at, size_t length) {
    char buffer[65536];
    while (length > 0) {
        size_t part = length < sizeof buffer ? length : sizeof buffer;
        ssize_t got = pread(from, buffer, part, at);
        if (got <= 0) return;
        if (real_pwrite(to, buffer, (size_t)got, at) != got) fail("powercut: shadow write");
        at += got;
        length -= (size_t)got;
    }
}

static int reading(int fd) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = real_open(link, O_RDONLY | O_CLOEXEC);
    if (again < 0) fail("powercut: read back");
    return again;
}

static void written(ino_t inode, const char *bytes, off_t at, size_t length) {
    struct file *file = file_of(inode);
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 64;
        file->dirty = realloc(file->dirty, file->room * sizeof *file->dirty);
        if (!file->dirty) fail("powercut: memory");
    }
    file->dirty[file->count++] = (struct range){at, length};
    if (seed == 0 || !bytes) return;
    int to = -1;
    for (size_t done = 0; done < length;) {
        size_t part = SECTOR - (size_t)(at + (off_t)done) % SECTOR;
        if (part > length - done) part = length - done;
        if (chance() % 3 == 0) {
            if (to < 0) to = shadow_of(inode);
            if (real_pwrite(to, bytes + done, part, at + (off_t)done) != (ssize_t)part) fail("powercut: shadow write");
        }
        done += part;
    }
    if (to >= 0) close(to);
}

static void sync_file(int fd, ino_t inode, off_t size) {
    struct file *file = file_of(inode);
    int from = reading(fd), to = shadow_of(inode);
    for (size_t i = 0; i < file->count; i++) copy_range(from, to, file->dirty[i].at, file->dirty[i].length);
    file->count = 0;
    if (real_ftruncate(to, size) != 0) fail("powercut: shadow truncate");
    close(from);
    close(to);
}

/* Makes the names in the shadow of one directory those that it has now. */
static void sync_names(const char *path, int first) {
    char names[PATH_MAX], from[PATH_MAX], to[PATH_MAX + 300], fresh[PATH_MAX + 300], entry[PATH_MAX + 300];
    snprintf(names, sizeof names, "%s/root%s", shadow, path + dir_length);
    mkdir(names, 0700);
    DIR *open = opendir(path);
    if (!open) fail("powercut: opendir");
    for (struct dirent *it; (it = readdir(open));) {
        if (!strcmp(it->d_name, ".") || !strcmp(it->d_name, "..")) continue;
        struct stat now, then;
        snprintf(entry, sizeof entry, "%s/%s", path, it->d_name);
        snprintf(to, sizeof to, "%s/%s", names, it->d_name);
        if (lstat(entry, &now) != 0) continue;
        if (S_ISDIR(now.st_mode)) {
            mkdir(to, 0700);
            if (first) sync_names(entry, first);
            continue;
        }
        int fd = shadow_of(now.st_ino);
        if (first) {
            int source = real_open(entry, O_RDONLY | O_CLOEXEC);
            if (source >= 0) {
                copy_range(source, fd, 0, (size_t)now.st_size);
                close(source);
            }
        }
        close(fd);
        inode_path(now.st_ino, from);
        struct stat there;
        if (stat(from, &there) == 0 && lstat(to, &then) == 0 && there.st_ino == then.st_ino) continue;
        /* A name is never missing in between: the process may be killed here, too. */
        snprintf(fresh, sizeof fresh, "%s/inode/fresh", shadow);
        unlink(fresh);
        if (link(from, fresh) != 0 || rename(fresh, to) != 0) fail("powercut: name");
    }
    closedir(open);
    if (first || !(open = opendir(names))) return;
    for (struct dirent *it; (it = readdir(open));) {
        struct stat now;
        snprintf(entry, sizeof entry, "%s/%s", path, it->d_name);
        snprintf(to, sizeof to, "%s/%s", names, it->d_name);
        if (lstat(entry, &now) != 0) unlink(to);
    }
    closedir(open);
}

static int sync_fd(int fd, int (*real)(int)) {
    struct stat stat;
    if (!ours(fd, &stat)) return real(fd);
    pthread_mutex_lock(&turn);
    if (S_ISDIR(stat.st_mode)) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            sync_names(path, 0);
        }
    } else {
        fstat(fd, &stat);
        sync_file(fd, stat.st_ino, stat.st_size);
    }
    pthread_mutex_unlock(&turn);
    return 0;
}

static uint64_t used(const char *path) {
    uint64_t sum = 0;
    DIR *open = opendir(path);
    if (!open) return 0;
    for (struct dirent *it; (it = readdir(open));) {
        char entry[PATH_MAX + 300];
        struct stat stat;
        if (!strcmp(it->d_name, ".") || !strcmp(it->d_name, "..")) continue;
        snprintf(entry, sizeof entry, "%s/%s", path, it->d_name);
        if (lstat(entry, &stat) != 0) continue;
        sum += S_ISDIR(stat.st_mode) ? used(entry) : (uint64_t)stat.st_size;
    }
    closedir(open);
    return sum;
}

/* Whether the disk has no room for a file to grow to `end`. */
static int is_full(const struct stat *stat, off_t end) {
    unsigned long long size;
    if (!quota || end <= stat->st_size) return 0;
    FILE *file = fopen(quota, "r");
    if (!file) return 0;
    int known = fscanf(file, "%llu", &size) == 1;
    fclose(file);
    return known && used(dir) + (uint64_t)(end - stat->st_size) > size;
}

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fallocate = dlsym(RTLD_NEXT, "posix_fallocate64");
    const char *text = getenv("POWERCUT_SEED");
    seed = text ? strtoull(text, NULL, 10) : 0;
    quota = getenv("POWERCUT_QUOTA");
    shadow = getenv("POWERCUT_SHADOW");
    const char *path = getenv("POWERCUT_DIR");
    if (!path || !shadow) return;
    char inode[PATH_MAX];
    snprintf(inode, sizeof inode, "%s/inode", shadow);
    mkdir(inode, 0700);
    dir_length = strlen(path);
    /* What is there at the start is on the disk. */
    dir = path;
    sync_names(dir, 1);
}

static void opened(int fd, int existed) {
    struct stat stat;
    if (fd < 0 || existed || !ours(fd, &stat) || !S_ISREG(stat.st_mode)) return;
    /* A new file may have the number of one that is gone. */
    char path[PATH_MAX];
    pthread_mutex_lock(&turn);
    inode_path(stat.st_ino, path);
    unlink(path);
    file_of(stat.st_ino)->count = 0;
    pthread_mutex_unlock(&turn);
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    struct stat stat;
    int existed = !(flags & O_CREAT) || fstatat(at, path, &stat, 0) == 0;
    int fd = real_openat(at, path, flags, mode);
    int kept = errno;
    if (dir) opened(fd, existed);
    errno = kept;
    return fd;
}

#define MODE                                                    \
    mode_t mode = 0;                                            \
    if (flags & (O_CREAT | O_TMPFILE)) {                        \
        va_list list;                                           \
        va_start(list, flags);                                  \
        mode = va_arg(list, mode_t);                            \
        va_end(list);                                           \
    }

int open(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode); }

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t at, int seeks) {
    struct stat stat;
    if (!ours(fd, &stat)) return seeks ? real_write(fd, bytes, length) : real_pwrite(fd, bytes, length, at);
    pthread_mutex_lock(&turn);
    fstat(fd, &stat);
    if (seeks) at = fcntl(fd, F_GETFL) & O_APPEND ? stat.st_size : lseek(fd, 0, SEEK_CUR);
    ssize_t done = -1;
    if (is_full(&stat, at + (off_t)length)) {
        errno = ENOSPC;
    } else {
        done = seeks ? real_write(fd, bytes, length) : real_pwrite(fd, bytes, length, at);
        if (done > 0) written(stat.st_ino, bytes, at, (size_t)done);
    }
    int kept = errno;
    pthread_mutex_unlock(&turn);
    errno = kept;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_at(fd, bytes, length, 0, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at, 0); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct stat stat;
    if (!ours(fd, &stat)) return real_writev(fd, parts, count);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write_at(fd, parts[i].iov_base, parts[i].iov_len, 0, 1);
        if (done < 0) return sum ? sum : -1;
        sum += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return sum;
}

static int resize(int fd, off_t size) {
    struct stat stat;
    if (!ours(fd, &stat)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&turn);
    int outcome = -1;
    if (is_full(&stat, size)) errno = ENOSPC;
    else outcome = real_ftruncate(fd, size);
    int kept = errno;
    pthread_mutex_unlock(&turn);
    errno = kept;
    return outcome;
}

int ftruncate(int fd, off_t size) { return resize(fd, size); }
int ftruncate64(int fd, off_t size) { return resize(fd, size); }

int posix_fallocate(int fd, off_t at, off_t length) { return real_fallocate(fd, at, length); }
int posix_fallocate64(int fd, off_t at, off_t length) { return real_fallocate(fd, at, length); }

int fsync(int fd) { return sync_fd(fd, real_fsync); }
int fdatasync(int fd) { return sync_fd(fd, real_fdatasync); }
