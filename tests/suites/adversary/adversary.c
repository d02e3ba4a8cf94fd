/* What another account does while root works. Each way runs until it is ended, or has done its part.
 *
 *   sweep DIR TARGET VICTIM COUNT   a folder DIR/a with VICTIM in it and one DIR/b with COUNT files: once somebody removes
 *                                   in DIR/b, a link to TARGET takes the place of DIR/a
 *   catch DIR TARGET                each temporary name that appears in DIR becomes a link to TARGET
 *   flip DIR ONE OTHER              two names in DIR are exchanged for each other, all the time
 *   lease FILE                      a lease that is never given back
 *   deep DIR LEVELS                 directories in each other, deeper than any path may be long
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what) { perror(what); return 1; }

static int sweep(char **v) {
    char from[4096], to[4096], events[4096];
    mkdir(v[0], 0755);
    snprintf(from, sizeof from, "%s/a", v[0]); mkdir(from, 0755);
    snprintf(from, sizeof from, "%s/a/%s", v[0], v[2]); close(open(from, O_CREAT | O_WRONLY, 0644));
    snprintf(from, sizeof from, "%s/b", v[0]); mkdir(from, 0755);
    for (int i = 0; i < atoi(v[3]); i++) {
        snprintf(to, sizeof to, "%s/b/%06d", v[0], i); close(open(to, O_CREAT | O_WRONLY, 0644));
    }
    int watch = inotify_init();
    if (inotify_add_watch(watch, from, IN_DELETE) < 0) return fail(from);
    snprintf(to, sizeof to, "%s/ready", v[0]); close(open(to, O_CREAT | O_WRONLY, 0644));
    if (read(watch, events, sizeof events) <= 0) return fail("inotify");
    snprintf(from, sizeof from, "%s/a", v[0]); snprintf(to, sizeof to, "%s/a.old", v[0]);
    return rename(from, to) || symlink(v[1], from) ? fail(from) : 0;
}

static int catch(char **v) {
    char events[65536], name[4096], aside[4200];
    int watch = inotify_init();
    if (inotify_add_watch(watch, v[0], IN_CREATE) < 0) return fail(v[0]);
    for (;;) {
        ssize_t count = read(watch, events, sizeof events);
        if (count <= 0) return fail("inotify");
        for (char *at = events; at < events + count;) {
            struct inotify_event *event = (struct inotify_event *)at;
            at += sizeof *event + event->len;
            if (strncmp(event->name, ".chom-tmp-", 10)) continue;
            snprintf(name, sizeof name, "%s/%s", v[0], event->name);
            snprintf(aside, sizeof aside, "%s/caught", v[0]);
            if (!rename(name, aside)) symlink(v[1], name);
        }
    }
}

static int flip(char **v) {
    int dir = open(v[0], O_PATH | O_DIRECTORY);
    if (dir < 0) return fail(v[0]);
    for (;;) renameat2(dir, v[1], dir, v[2], RENAME_EXCHANGE);
}

static int lease(char **v) {
    int file = open(v[0], O_RDWR);
    signal(SIGIO, SIG_IGN);
    if (file < 0 || fcntl(file, F_SETLEASE, F_WRLCK)) return fail(v[0]);
    for (;;) pause();
}

static int deep(char **v) {
    char name[201];
    memset(name, 'd', 200); name[200] = 0;
    if (chdir(v[0])) return fail(v[0]);
    for (int level = 0; level < atoi(v[1]); level++)
        if (mkdir(name, 0700) || chdir(name)) return fail(name);
    close(open("file", O_CREAT | O_WRONLY, 0644));
    return 0;
}

int main(int count, char **v) {
    struct { const char *name; int words; int (*does)(char **); } ways[] = {
        { "sweep", 4, sweep }, { "catch", 2, catch }, { "flip", 3, flip }, { "lease", 1, lease }, { "deep", 2, deep },
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (count == ways[i].words + 2 && !strcmp(v[1], ways[i].name)) return ways[i].does(v + 2);
    fprintf(stderr, "usage: see the head of adversary.c\n");
    return 2;
}
