/* tools/run/environment.c: the variables that a run's command gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "tools/run/environment.h"

struct env_fixture {
	char project[64];
	struct tv_settings *settings;
	struct tv_surroundings run;
};

static int setup(void **state)
{
	struct env_fixture *f = calloc(1, sizeof(*f));
	struct tv_err err = TV_ERR_INIT;
	snprintf(f->project, sizeof(f->project), "/tmp/tvfs-env-XXXXXX");
	if (!mkdtemp(f->project) || tv_settings_load(f->project, &f->settings, &err) < 0)
		return -1;
	f->run = (struct tv_surroundings){ .settings = f->settings,
					   .run_id = "r1",
					   .run_dir = "/p/runs/r1",
					   .trace_id = "trace",
					   .lakehouse = "/p/data/lakehouse" };
	memset(f->run.foundation.b, 0xab, sizeof(f->run.foundation.b));
	tv_settings_profile(f->settings, "production", &f->run.profile, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct env_fixture *f = *state;
	tv_settings_free(f->settings);
	rmdir(f->project);
	free(f);
	return 0;
}

static char **make(struct env_fixture *f, char *const *base)
{
	struct tv_err err = TV_ERR_INIT;
	char **env = NULL;
	if (tv_environment_make(base, &f->run, &env, &err) < 0)
		fail_msg("%s", err.text);
	return env;
}

static unsigned count(char *const *env, const char *name)
{
	unsigned n = 0;
	for (; *env; env++)
		n += strncmp(*env, name, strlen(name)) == 0 && (*env)[strlen(name)] == '=';
	return n;
}

#define BASE(...) ((char *[]){ __VA_ARGS__, NULL })
#define TEXT(s) ((char *)(uintptr_t)(s))

static void variables(void **state)
{
	char **env =
		make(*state, BASE(TEXT("PATH=/bin"), TEXT("TV_RUN_ID=old"), TEXT("TV_RUN_ID=older"),
				  TEXT("TV_RUN_IDS=kept"), TEXT("TVFS_STORE=/s")));
	static const char *const wanted[][2] = {
		{ "PATH", "/bin" },
		{ "TV_RUN_ID", "r1" },
		{ "TV_RUN_IDS", "kept" },
		{ "TV_RUN_DIR", "/p/runs/r1" },
		{ "TV_PROFILE", "production" },
		{ "TV_TRACE_ID", "trace" },
		{ "TV_LAKEHOUSE_DIR", "/p/data/lakehouse" },
		{ "PORTFOLIO_DATA_SOURCE", "lakehouse_only" },
		{ "TV_STRICT_HEALTH", "1" },
		{ "TV_STRICT_ISOLATION", "1" },
		{ "CANDIDATES_SELECTED", "/p/runs/r1/data/portfolio_candidates.json" },
		{ "CANDIDATES_RAW", "/p/runs/r1/data/portfolio_candidates_raw.json" },
		{ "CANDIDATES_FILE", "/p/runs/r1/data/portfolio_candidates.json" },
		{ "SELECTION_AUDIT", "/p/runs/r1/data/selection_audit.json" },
		{ "RETURNS_MATRIX", "/p/runs/r1/data/returns_matrix.parquet" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(wanted); i++) {
		const char *value = tv_environment_get(env, wanted[i][0]);
		assert_non_null(value);
		assert_string_equal(value, wanted[i][1]);
	}
	assert_int_equal(count(env, "TV_RUN_ID"), 1);
	assert_null(tv_environment_get(env, "TVFS_STORE"));
	assert_int_equal(strlen(tv_environment_get(env, "TV_FOUNDATION_HASH")), 64);
	tv_environment_free(env);
}

static void scan_dir(void **state)
{
	struct env_fixture *f = *state;
	char wanted[128], path[128];

	/* nothing there: the first of the inputs */
	char **env = make(f, BASE(TEXT("A=1")));
	snprintf(wanted, sizeof(wanted), "%s/export/r1", f->project);
	assert_string_equal(tv_environment_get(env, "TV_SCAN_DIR"), wanted);
	tv_environment_free(env);

	/* the input folder that exists, the export run's id */
	snprintf(path, sizeof(path), "%s/data", f->project);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/data/export", f->project);
	mkdir(path, 0755);
	env = make(f, BASE(TEXT("TV_EXPORT_RUN_ID=e7")));
	snprintf(wanted, sizeof(wanted), "%s/data/export/e7", f->project);
	assert_string_equal(tv_environment_get(env, "TV_SCAN_DIR"), wanted);
	tv_environment_free(env);
	rmdir(path);
	path[strlen(path) - strlen("/export")] = '\0';
	rmdir(path);

	/* given: relative to the project, or as it is */
	env = make(f, BASE(TEXT("TV_SCAN_DIR=scans/x")));
	snprintf(wanted, sizeof(wanted), "%s/scans/x", f->project);
	assert_string_equal(tv_environment_get(env, "TV_SCAN_DIR"), wanted);
	tv_environment_free(env);
	env = make(f, BASE(TEXT("TV_SCAN_DIR=/abs")));
	assert_string_equal(tv_environment_get(env, "TV_SCAN_DIR"), "/abs");
	tv_environment_free(env);
}

static void data_profile(void **state)
{
	struct env_fixture *f = *state;
	assert_int_equal(tv_settings_profile(f->settings, "data", &f->run.profile, NULL), 0);
	char **env =
		make(f, BASE(TEXT("PORTFOLIO_DATA_SOURCE=exchange"), TEXT("CANDIDATES_RAW=x")));
	assert_string_equal(tv_environment_get(env, "PORTFOLIO_DATA_SOURCE"), "exchange");
	assert_string_equal(tv_environment_get(env, "CANDIDATES_RAW"), "x");
	assert_null(tv_environment_get(env, "CANDIDATES_SELECTED"));
	assert_null(tv_environment_get(env, "CANDIDATES_FILE"));
	tv_environment_free(env);

	assert_int_equal(tv_settings_profile(f->settings, "development", &f->run.profile, NULL), 0);
	env = make(f, BASE(TEXT("A=1")));
	assert_string_equal(tv_environment_get(env, "TV_STRICT_ISOLATION"), "0");
	tv_environment_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(variables, setup, teardown),
		cmocka_unit_test_setup_teardown(scan_dir, setup, teardown),
		cmocka_unit_test_setup_teardown(data_profile, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
