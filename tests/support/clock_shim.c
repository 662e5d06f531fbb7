/* Preloaded into the agent: its wall clock is off by what a file says, and so is what the kernel
 * says of it. The file (SITEMON_CLOCK_SHIM) has two numbers: seconds that the clock is ahead, and
 * what adjtimex(2) comes to (0 synchronised, 5 not, -1 refused). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static void read_file(long *ahead, int *state)
{
	char text[64];
	const char *path = getenv("SITEMON_CLOCK_SHIM");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);

	*ahead = 0;
	*state = 5;
	if (file >= 0)
		close(file);
	if (length > 0) {
		text[length] = 0;
		sscanf(text, "%ld %d", ahead, state);
	}
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int before = errno;
	long ahead;
	int state, result = syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		read_file(&ahead, &state);
		now->tv_sec += ahead;
		errno = before;
	}
	return result;
}

time_t time(time_t *result)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}

int adjtimex(struct timex *told)
{
	long ahead;
	int state;

	read_file(&ahead, &state);
	if (state < 0) {
		errno = EPERM;
		return -1;
	}
	told->status = state == 5 ? STA_UNSYNC : 0;
	return state;
}
