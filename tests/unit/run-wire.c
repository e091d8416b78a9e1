/* tools/run/wire.c: messages and descriptors between a run's processes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "tools/run/wire.h"

static void messages(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_wire_message m = TV_WIRE_INIT;
	int pair[2];
	assert_int_equal(tv_wire_pair(pair, &err), 0);

	assert_int_equal(tv_wire_tell(pair[0], "note", "text", "a \"b\"\n", &err), 0);
	assert_int_equal(tv_wire_tell(pair[0], "go", NULL, NULL, &err), 0);
	assert_int_equal(tv_wire_receive(pair[1], &m, &err), 1);
	assert_true(tv_wire_is(&m, "note"));
	assert_string_equal(tv_wire_text(&m, "text"), "a \"b\"\n");
	assert_string_equal(tv_wire_text(&m, "absent"), "");
	assert_true(tv_wire_number(&m, "text") == 0);
	tv_wire_clear(&m);
	assert_int_equal(tv_wire_expect(pair[1], "go", NULL, &err), 0);

	/* an error travels with its code, and stands in for what was expected */
	struct tv_err sent = { -ENOSPC, "disk full" };
	assert_int_equal(tv_wire_send_error(pair[0], &sent, &err), 0);
	assert_int_equal(tv_wire_expect(pair[1], "ready", NULL, &err), -ENOSPC);
	assert_string_equal(err.text, "disk full");

	assert_int_equal(tv_wire_tell(pair[0], "other", NULL, NULL, &err), 0);
	assert_int_equal(tv_wire_expect(pair[1], "ready", NULL, &err), -EPROTO);
	assert_int_equal(send(pair[0], "{nonsense", 9, 0), 9);
	assert_true(tv_wire_receive(pair[1], &m, &err) < 0);
	close(pair[0]);
	assert_int_equal(tv_wire_receive(pair[1], &m, &err), 0);
	assert_int_equal(tv_wire_expect(pair[1], "ready", NULL, &err), -EPIPE);
	assert_int_equal(tv_wire_tell(pair[1], "x", NULL, NULL, &err), -EPIPE);
	close(pair[1]);
}

static void descriptors(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_wire_message m = TV_WIRE_INIT;
	struct stat a, b;
	int pair[2], fds[2] = { open("/dev/null", O_RDWR), open("/", O_RDONLY | O_DIRECTORY) };
	assert_int_equal(tv_wire_pair(pair, &err), 0);
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "what", "take");
	assert_int_equal(tv_wire_send(pair[0], doc, fds, 2, &err), 0);
	assert_int_equal(tv_wire_expect(pair[1], "take", &m, &err), 0);
	assert_int_equal(m.n_fds, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fstat(fds[i], &a), 0);
		assert_int_equal(fstat(m.fds[i], &b), 0);
		assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
		assert_true(fcntl(m.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	int stolen = tv_steal_fd(&m.fds[0]), dropped = m.fds[1];
	tv_wire_clear(&m);
	assert_int_equal(fcntl(stolen, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(dropped, F_GETFD), -1);
	close(stolen);

	/* too long, and no memory */
	char *big = malloc(200000);
	memset(big, 'x', 199999);
	big[199999] = '\0';
	assert_int_equal(tv_wire_tell(pair[0], "note", "text", big, &err), -EMSGSIZE);
	assert_int_equal(tv_wire_send(pair[0], NULL, NULL, 0, &err), -ENOMEM);
	free(big);
	close(pair[0]);
	close(pair[1]);
	close(fds[0]);
	close(fds[1]);
}

/* Who closes without reading does not take back what it said. */
static void unread(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	int pair[2];
	assert_int_equal(tv_wire_pair(pair, &err), 0);
	assert_int_equal(tv_wire_tell(pair[1], "never read", NULL, NULL, &err), 0);
	assert_int_equal(tv_wire_tell(pair[0], "last words", NULL, NULL, &err), 0);
	close(pair[0]);
	assert_int_equal(tv_wire_expect(pair[1], "last words", NULL, &err), 0);
	assert_int_equal(tv_wire_expect(pair[1], "more", NULL, &err), -EPIPE);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(unread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
