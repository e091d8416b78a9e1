/*
 * Runs a program and says what it took: its parent is so small that the peak of memory is the program's own, which
 * the kernel would count from what the parent had at the fork.
 *
 *	meter FILE PROGRAM [WORD...]
 *
 * FILE gets a line: nanoseconds, microseconds of processor (user, system), kilobytes of memory at the peak (VmHWM: private,
 * shared and mapped pages), blocks written, exit status. Of several processes the largest peak counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long microseconds(struct timeval t)
{
	return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage used;
	int status;
	if (argc < 3)
		return 2;
	long long start = now();
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) < 0)
		return 1;
	long long end = now();
	FILE *out = fopen(argv[1], "we");
	if (!out)
		return 1;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fprintf(out, "%lld %lld %lld %ld %ld %d\n", end - start, microseconds(used.ru_utime),
		microseconds(used.ru_stime), used.ru_maxrss, used.ru_oublock, code);
	return fclose(out) == 0 ? code : 1;
}
