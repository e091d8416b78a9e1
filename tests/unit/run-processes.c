/* tools/run/processes.c: who belongs to a run, and ending them. The namespaces are real ones. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "tools/run/processes.h"

/* A child that sits in a mount namespace of its own; -1 when that cannot be had. */
static pid_t start_member(bool stubborn, ino_t *mount_ns)
{
	int ready[2];
	char path[64], told = 'n';
	struct stat st;
	if (pipe(ready) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		int flags = CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0);
		if (stubborn)
			signal(SIGTERM, SIG_IGN);
		if (unshare(flags) == 0 && write(ready[1], "y", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	bool good = read(ready[0], &told, 1) == 1 && told == 'y';
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (!good || stat(path, &st) < 0) {
		waitpid(pid, NULL, 0);
		return -1;
	}
	*mount_ns = st.st_ino;
	return pid;
}

static int take_first(void *arg, const struct tv_member *m, struct tv_err *err)
{
	(void)err;
	*(struct tv_member *)arg = *m;
	return 7;
}

static void *reap(void *arg)
{
	waitpid(*(pid_t *)arg, NULL, 0);
	return NULL;
}

static void members(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_member found;
	struct tv_scope scope = { 0 };
	pid_t pid = start_member(false, &scope.mount_ns);
	if (pid < 0) {
		print_message("machine cannot: make namespaces\n");
		skip();
	}
	assert_int_equal(tv_members_count(&scope, &err), 1);
	assert_int_equal(tv_members_each(&scope, take_first, &found, &err), 7);
	assert_int_equal(found.process.pid, pid);
	assert_true(strlen(found.command) > 0);
	assert_true(tv_process_alive(&found.process));
	assert_int_equal(tv_members_wait(&scope, 20, &err), 0);
	assert_int_equal(tv_process_wait(&found.process, 20), 0);

	/* with a path, the number of the namespace alone says nothing: it may be another's by now */
	struct tv_scope strict = { .mount_ns = scope.mount_ns, .device = 12345, .path = "/" };
	assert_int_equal(tv_members_count(&strict, &err), 0);
	assert_int_equal(tv_members_count(&(struct tv_scope){ 0 }, &err), 0);

	tv_process_signal(&found.process, SIGTERM);
	waitpid(pid, NULL, 0);
	assert_int_equal(tv_members_wait(&scope, 1000, &err), 1);
	assert_int_equal(tv_process_wait(&found.process, -1), 1);
	assert_int_equal(tv_process_open(&found.process), -ESRCH);
	tv_process_command(pid, found.command);
	assert_string_equal(found.command, "");
}

static void stubborn(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_scope scope = { 0 };
	pthread_t reaper;
	pid_t pid = start_member(true, &scope.mount_ns);
	if (pid < 0) {
		print_message("machine cannot: make namespaces\n");
		skip();
	}
	/* A zombie has no namespace any more, but reap it as a parent does. */
	pthread_create(&reaper, NULL, reap, &pid);
	int64_t start = tv_boottime_ns();
	assert_int_equal(tv_members_end(&scope, 300, &err), 0);
	assert_true(tv_boottime_ns() - start >= 300 * (int64_t)1000000);
	pthread_join(reaper, NULL);
	assert_int_equal(tv_members_count(&scope, &err), 0);
}

static void documents(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_process self, back;
	assert_int_equal(tv_process_self(&self, &err), 0);
	cJSON *doc = tv_process_json(&self);
	assert_true(tv_process_from_json(doc, &back));
	assert_int_equal(back.pid, self.pid);
	assert_true(back.start_ticks == self.start_ticks);
	assert_string_equal(back.boot_id, self.boot_id);
	cJSON_DeleteItemFromObject(doc, "boot_id");
	assert_false(tv_process_from_json(doc, &back));
	assert_false(tv_process_from_json(NULL, &back));
	cJSON_Delete(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members),
		cmocka_unit_test(stubborn),
		cmocka_unit_test(documents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
