#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/inode.h"
#include "fs/route.h"
#include "store/base/cleanup.h"

static int make(const struct tv_route *routes, size_t n, struct tv_routes *out, struct tv_err *err)
{
	tv_err_clear(err);
	return tv_routes_make(routes, n, "lakehouse", out, err);
}

static void test_found(void **state)
{
	(void)state;
	const struct tv_route given[] = {
		{ "portfolio_candidates.json", "portfolio_candidates.json" },
		{ "a", "deep/er//x" },
		{ "portfolio_candidates", "y" },
		{ "caf\xe9\n", "odd\\name" },
	};
	struct tv_err err = TV_ERR_INIT;
	struct tv_routes r;
	struct tv_inode dir, other;
	assert_int_equal(make(given, TV_ARRAY_LEN(given), &r, &err), 0);
	assert_int_equal(r.len, 4);
	for (size_t i = 0; i < TV_ARRAY_LEN(given); i++) {
		const char *name = given[i].lakehouse_name;
		const struct tv_routed *found = tv_route_by_name(&r, name, strlen(name));
		assert_non_null(found);
		assert_string_equal(found->lakehouse_name, name);
	}
	const struct tv_routed *a = tv_route_by_name(&r, "a", 1);
	assert_string_equal(a->folder, "deep/er");
	assert_string_equal(a->name, "x");
	assert_int_equal(a->len, 1);
	static const char *const absent[] = {
		"",    "b", "portfolio", "portfolio_candidates.jso", "portfolio_candidates.json2",
		"zzz", "A"
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(absent); i++)
		assert_null(tv_route_by_name(&r, absent[i], strlen(absent[i])));
	assert_ptr_equal(tv_route_by_name(&r, "abc", 1), a); /* only n bytes count */

	for (size_t i = 0; i < r.len; i++)
		r.of[i].dir = &dir;
	assert_ptr_equal(tv_route_by_place(&r, &dir, "x", 1), a);
	assert_null(tv_route_by_place(&r, &other, "x", 1));
	assert_null(tv_route_by_place(&r, &dir, "x2", 2));
	tv_routes_free(&r);
	tv_routes_free(&r);
	tv_routes_free(NULL);
}

static void test_none(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_routes r;
	assert_int_equal(make(NULL, 0, &r, &err), 0);
	assert_null(tv_route_by_name(&r, "a", 1));
	tv_routes_free(&r);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		struct tv_route routes[2];
		size_t n;
		const char *says;
	} cases[] = {
		{ { { "a/b", "x" } }, 1, "not a name" },
		{ { { "", "x" } }, 1, "not a name" },
		{ { { "..", "x" } }, 1, "not a name" },
		{ { { ".wh.a", "x" } }, 1, "not a name" },
		{ { { "a", "/etc/passwd" } }, 1, "route 'a'" },
		{ { { "a", "../x" } }, 1, "route 'a'" },
		{ { { "a", "x/../../y" } }, 1, "route 'a'" },
		{ { { "a", "" } }, 1, "empty" },
		{ { { "a", "./" } }, 1, "empty" },
		{ { { "a", "lakehouse" } }, 1, "overlay" },
		{ { { "a", "lakehouse/a" } }, 1, "overlay" },
		{ { { "a", "x" }, { "a", "y" } }, 2, "given twice" },
		{ { { "a", "x" }, { "b", "./x" } }, 2, "same data path" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		struct tv_routes untouched = { NULL, 77 };
		struct tv_err err = TV_ERR_INIT;
		assert_int_equal(make(cases[i].routes, cases[i].n, &untouched, &err), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(untouched.len, 77);
	}
	char name[300];
	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	struct tv_route long_one = { name, "x" };
	struct tv_err err = TV_ERR_INIT;
	struct tv_routes r;
	assert_int_equal(make(&long_one, 1, &r, &err), -EINVAL);
	long_one = (struct tv_route){ "a", name };
	assert_int_equal(make(&long_one, 1, &r, &err), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
