/* tools/run/record.c, and what plan.c decides without a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/run/plan.h"
#include "tools/run/record.h"

static void ids(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	char a[TV_NEW_RUN_ID], b[TV_NEW_RUN_ID];
	assert_int_equal(tv_plan_new_id(1768824000 * (int64_t)1000000000, a, &err), 0);
	assert_int_equal(tv_plan_new_id(1768824000 * (int64_t)1000000000, b, &err), 0);
	assert_int_equal(strncmp(a, "20260119T120000Z-", 17), 0);
	assert_int_equal(strlen(a), TV_NEW_RUN_ID - 1);
	assert_string_not_equal(a, b);
}

static void passthrough_words(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	enum tv_passthrough p = TV_PASSTHROUGH_OFF;
	assert_int_equal(tv_plan_passthrough(NULL, &p, &err), 0);
	assert_int_equal(p, TV_PASSTHROUGH_AUTO);
	assert_int_equal(tv_plan_passthrough("require", &p, &err), 0);
	assert_int_equal(p, TV_PASSTHROUGH_REQUIRE);
	assert_int_equal(tv_plan_passthrough("yes", &p, &err), -TV_E_USAGE);
	assert_int_equal(p, TV_PASSTHROUGH_REQUIRE);
}

/* A record as the store gives it, on the commit 11…1. */
static cJSON *record(const char *state, bool keep_open, bool alive)
{
	struct tv_process self;
	cJSON *doc = cJSON_CreateObject(), *processes = cJSON_AddObjectToObject(doc, "processes");
	char hex[TV_SHA_HEX];
	memset(hex, '1', sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	cJSON_AddStringToObject(doc, "run_id", "r1");
	cJSON_AddStringToObject(doc, "commit", hex);
	cJSON_AddStringToObject(doc, "foundation_hash", "f00");
	cJSON_AddStringToObject(doc, "state", state);
	cJSON_AddBoolToObject(doc, "keep_open", keep_open);
	tv_process_self(&self, NULL);
	self.start_ticks += !alive;
	cJSON_AddItemToObject(processes, "supervisor", tv_process_json(&self));
	return doc;
}

static int admit(cJSON *doc, uint8_t commit, struct tv_err *err)
{
	struct tv_commit c = TV_COMMIT_INIT;
	memset(c.id.b, commit, sizeof(c.id.b));
	int r = tv_plan_admit(doc, &c, err);
	cJSON_Delete(doc);
	return r;
}

static void admission(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(admit(record("open", true, false), 0x11, &err), 0);
	assert_int_equal(admit(record("failed", true, false), 0x11, &err), 0);
	assert_int_equal(admit(record("failed", false, false), 0x11, &err), -EROFS);
	assert_int_equal(admit(record("sealed", true, false), 0x11, &err), -EROFS);
	assert_int_equal(admit(record("published", true, false), 0x11, &err), -EROFS);
	assert_int_equal(admit(record("live", false, true), 0x11, &err), -TV_E_LOCKED);
	assert_non_null(strstr(err.text, "--join r1"));
	assert_int_equal(admit(record("ending", false, true), 0x11, &err), -TV_E_LOCKED);
	assert_int_equal(admit(record("live", false, false), 0x11, &err), -TV_E_LOCKED);
	assert_non_null(strstr(err.text, "tvfs prune"));
	/* another commit: refused whatever the state, with both */
	assert_int_equal(admit(record("open", true, false), 0x22, &err), -TV_E_CONFLICT);
	assert_non_null(strstr(err.text, "111111111111"));
	assert_non_null(strstr(err.text, "222222222222"));
	assert_non_null(strstr(err.text, "f00"));
}

static int count_one(void *arg, cJSON *session)
{
	(void)session;
	++*(int *)arg;
	return 0;
}

static void sessions(void **state)
{
	(void)state;
	char *words[] = { (char[]){ "sh" }, (char[]){ "caf\xc3\xa9 \xff" }, NULL };
	struct tv_session s = { .id = "a", .argv = words, .cwd = "/x" };
	cJSON *doc = cJSON_CreateObject();
	int open = 0;
	tv_process_self(&s.front, NULL);
	assert_true(tv_record_add_session(doc, &s));
	s.id = "b";
	s.joined = true;
	assert_true(tv_record_add_session(doc, &s));
	assert_int_equal(tv_record_each_open_session(doc, count_one, &open), 0);
	assert_int_equal(open, 2);

	cJSON *a = tv_record_session(doc, "a"), *b = tv_record_session(doc, "b");
	assert_true(a && b && !tv_record_session(doc, "c"));
	assert_false(tv_record_flag(a, "joined"));
	assert_true(tv_record_flag(b, "joined"));
	const cJSON *command = cJSON_GetObjectItem(a, "command");
	assert_string_equal(cJSON_GetArrayItem(command, 0)->valuestring, "sh");
	assert_string_equal(cJSON_GetArrayItem(command, 1)->valuestring, "caf\xc3\xa9 ?");

	assert_true(tv_record_end_session(doc, "a", 3 << 8, "exited"));
	assert_int_equal(cJSON_GetObjectItem(a, "exit_status")->valueint, 3);
	assert_true(tv_record_end_session(doc, "b", 9, "signal"));
	assert_int_equal(cJSON_GetObjectItem(b, "exit_status")->valueint, 137);
	assert_int_equal(cJSON_GetObjectItem(b, "signal")->valueint, 9);
	assert_true(tv_record_end_session(doc, "a", -1, "front killed"));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(a, "exit_status")));
	open = 0;
	tv_record_each_open_session(doc, count_one, &open);
	assert_int_equal(open, 0);
	assert_true(tv_record_set(doc, "x", cJSON_CreateNumber(1)));
	assert_true(tv_record_set(doc, "x", cJSON_CreateString("2")));
	assert_string_equal(tv_record_text(doc, "x"), "2");
	assert_false(tv_record_set(doc, "x", NULL));
	cJSON_Delete(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(passthrough_words),
		cmocka_unit_test(admission),
		cmocka_unit_test(sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
