#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "tools/settings.h"

/* A project folder of its own for each test. */
static int make_project(void **state)
{
	char path[] = "/tmp/tv-settings-XXXXXX";
	if (!mkdtemp(path))
		return -1;
	*state = realpath(path, NULL);
	return 0;
}

static int remove_project(void **state)
{
	int r = tv_io_remove_tree(AT_FDCWD, *state, NULL);
	free(*state);
	return r;
}

static struct tv_settings *load(const char *project, const char *text)
{
	struct tv_settings *s = NULL;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int dir = open(project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (text)
		assert_int_equal(tv_io_replace_file(dir, "tvfs.json", text, strlen(text), 0600,
						    NULL),
				 0);
	int r = tv_settings_load(project, &s, &err);
	if (r < 0)
		print_error("%s\n", err.text);
	assert_int_equal(r, 0);
	return s;
}

static void assert_refused(const char *project, const char *text, const char *message)
{
	struct tv_settings *s = NULL;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int dir = open(project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tv_io_replace_file(dir, "tvfs.json", text, strlen(text), 0600, NULL), 0);
	assert_int_equal(tv_settings_load(project, &s, &err), -EINVAL);
	assert_null(s);
	if (!strstr(err.text, message))
		print_error("'%s' is not in '%s'\n", message, err.text);
	assert_non_null(strstr(err.text, message));
}

static void defaults(void **state)
{
	const struct tv_setting_profile *p;
	struct tv_settings *s = load(*state, NULL);
	assert_string_equal(s->lakehouse, "data/lakehouse");
	assert_string_equal(s->runs, "artifacts/summaries/runs");
	assert_string_equal(s->ref, "main");
	assert_int_equal(s->settle_ns, 200000000);
	assert_int_equal(s->inputs.len, 2);
	assert_int_equal(s->n_redirects, 1);
	assert_string_equal(s->redirects[0].to, "logs");
	assert_string_equal(s->routes[0].name, "portfolio_candidates.json");
	assert_string_equal(s->routes[0].data, "portfolio_candidates.json");
	assert_string_equal(s->routes[0].env, "CANDIDATES_SELECTED");
	assert_int_equal(tv_settings_profile(s, "production", &p, NULL), 0);
	assert_true(p->strict_isolation && p->routes && !p->network && !p->deny_lakehouse_writes);
	assert_int_equal(tv_settings_profile(s, "development", &p, NULL), 0);
	assert_true(!p->strict_isolation && p->routes && p->network);
	assert_int_equal(tv_settings_profile(s, "data", &p, NULL), 0);
	assert_true(!p->routes && p->network && p->inputs_writable);
	tv_settings_free(s);

	/* what init writes reads back as the same */
	tv_autofree char *text = NULL;
	assert_int_equal(tv_settings_default_text(&text, NULL), 0);
	s = load(*state, text);
	assert_int_equal(s->n_profiles, 3);
	assert_int_equal(s->n_routes, 8);
	tv_settings_free(s);
}

static void changes(void **state)
{
	const struct tv_setting_profile *p;
	struct tv_err err = TV_ERR_INIT;
	struct tv_settings *s = load(
		*state,
		"{\"lakehouse\": \"lake//house/\", \"settle\": \"2s\", \"ignore\": [],\n"
		"\"routes\": {\"a.json\": {\"data\": \"sub/b.json\"}}, \"redirects\": {},\n"
		"\"profiles\": {\"production\": {\"network\": true},\n"
		"  \"audit\": {\"lakehouse_writes\": \"deny\",\n"
		"    \"gates\": [{\"file\": \"h.json\", \"max_age\": \"24h\"}, {\"file\": \"i\"}]}}}");
	assert_string_equal(s->lakehouse, "lake/house");
	assert_int_equal(s->settle_ns, 2000000000);
	assert_int_equal(s->ignore.len, 0);
	assert_null(s->ignore.items[0]);
	assert_int_equal(s->n_redirects, 0);
	assert_int_equal(s->n_routes, 1);
	assert_string_equal(s->routes[0].data, "sub/b.json");
	assert_string_equal(s->routes[0].env, "");
	/* a profile keeps what it does not name */
	assert_int_equal(tv_settings_profile(s, "production", &p, NULL), 0);
	assert_true(p->network && p->strict_isolation);
	assert_int_equal(tv_settings_profile(s, "audit", &p, NULL), 0);
	assert_true(p->deny_lakehouse_writes && p->routes && p->strict_isolation);
	assert_int_equal(p->n_gates, 2);
	assert_int_equal(p->gates[0].max_age_ns, INT64_C(86400000000000));
	assert_int_equal(p->gates[1].max_age_ns, 0);
	assert_int_equal(tv_settings_profile(s, "nope", &p, &err), -EINVAL);
	assert_string_equal(err.text, "there is no profile 'nope'; there are: production, "
				      "development, data, audit");
	tv_settings_free(s);
}

static void mistakes(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "[]", "tvfs.json line 1: must be an object" },
		{ "{\n\"a\": 1}", "tvfs.json line 2: key 'a': is not known here" },
		{ "{\n\n\"settle\": 3}", "tvfs.json line 3: key 'settle': must be a text" },
		{ "{\"settle\": \"soon\"}", "key 'settle': 'soon' is not a duration" },
		{ "{\"ref\": \"a b\"}", "line 1: key 'ref': " },
		{ "{\"runs\": \"../x\"}", "key 'runs': '../x' contains '..'" },
		{ "{\"lakehouse\": \"/data\"}", "key 'lakehouse': '/data' is absolute" },
		{ "{\"lakehouse\": \"\"}", "key 'lakehouse': must not be empty" },
		{ "{\"runs\": \"data/lakehouse/runs\"}", "line 1: key 'runs': " },
		{ "{\"ignore\": \"*.tmp\"}", "key 'ignore': must be a list" },
		{ "{\"ignore\": [\"a\",\n1]}", "line 2: key 'ignore.1': must be a pattern" },
		{ "{\"inputs\": [\n\"..\"]}", "line 2: key 'inputs.0': '..' contains '..'" },
		{ "{\"redirects\": {\n\"data/lakehouse/x\": \"y\"}}",
		  "line 2: key 'redirects.data/lakehouse/x': must not lie in" },
		{ "{\"inputs\": [\"export\",\n\"data/lakehouse\"]}",
		  "key 'inputs': 'data/lakehouse' must not lie in the lakehouse" },
		{ "{\"inputs\": [\"data/lakehouse/x\"]}", "key 'inputs': 'data/lakehouse/x' must" },
		{ "{\"redirects\": {\"data/logs\": \"a\",\n\"data/logs/old\": \"b\"}}",
		  "line 2: key 'redirects.data/logs/old': must not lie in 'data/logs'" },
		{ "{\"redirects\": {\"data/logs\":\n1}}", "line 2: key 'redirects.data/logs': " },
		{ "{\"routes\": {\n\"a/b\": {}}}", "line 2: key 'routes.a/b': is not a name" },
		{ "{\"routes\": {\"a\": {\n\"env\": \"x y\"}}}",
		  "line 2: key 'routes.a.env': 'x y' is no name" },
		{ "{\"profiles\": {\"production\": {\n\"netwrok\": true}}}",
		  "line 2: key 'profiles.production.netwrok': is not known here" },
		{ "{\"profiles\": {\"p\": {\"network\": 1}}}",
		  "key 'profiles.p.network': must be true or false" },
		{ "{\"profiles\": {\"p\": {\"lakehouse_writes\": \"no\"}}}",
		  "must be \"overlay\" or \"deny\"" },
		{ "{\"profiles\": {\"p\": {\"gates\": [{}]}}}",
		  "key 'profiles.p.gates.0': needs a \"file\"" },
		{ "{\"default_profile\":\n\"x\"}",
		  "line 2: key 'default_profile': there is no profile 'x'" },
		{ "{\"ref\": \"main\",\n\"ref\": \"x\"}", "line 2: key 'ref' stands there twice" },
		{ "{\n\"ref\": }", "tvfs.json: line 2: not valid JSON near '}'" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++)
		assert_refused(*state, cases[i].text, cases[i].message);
}

static void inside(void **state)
{
	const char *project = *state;
	tv_autofree char *path = NULL, *link_path = NULL, *dangling = NULL, *far = NULL;
	struct tv_err err = TV_ERR_INIT;
	struct tv_settings *s = load(project, NULL);
	assert_true(asprintf(&link_path, "%s/out", project) > 0);
	assert_true(asprintf(&dangling, "%s/gone", project) > 0);
	assert_int_equal(symlink("/usr", link_path), 0);
	assert_int_equal(symlink("/nowhere/at/all", dangling), 0);

	assert_int_equal(tv_settings_inside(s, "data/lakehouse", &path, &err), 0);
	assert_int_equal(strncmp(path, project, strlen(project)), 0);
	assert_string_equal(path + strlen(project), "/data/lakehouse");
	assert_int_equal(tv_settings_inside(s, "out/share", &far, &err), -EINVAL);
	assert_non_null(strstr(err.text, "leads out of the project"));
	assert_int_equal(tv_settings_inside(s, "out/new/folder", &far, &err), -EINVAL);
	assert_int_equal(tv_settings_inside(s, "gone/x", &far, &err), -ENOENT);
	assert_null(far);
	tv_settings_free(s);
}

#define WITH_PROJECT(test) cmocka_unit_test_setup_teardown(test, make_project, remove_project)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PROJECT(defaults),
		WITH_PROJECT(changes),
		WITH_PROJECT(mistakes),
		WITH_PROJECT(inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
