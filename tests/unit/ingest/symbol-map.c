/* catalog.json and the like: what is kept, under which name, and merging any changes of any maps. */
#include "ingest/symbol-map.h"
#include "tests/unit/support.h"

static struct tv_symbol_map *parsed(const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_symbol_map *map = NULL;
	ok(tv_symbol_map_parse("F", text, strlen(text), &map, &err));
	return map;
}

static char *printed(const struct tv_symbol_map *map)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	ok(tv_symbol_map_print(map, &out, &err));
	return tv_buf_steal_str(&out);
}

static void prints(const struct tv_symbol_map *map, const char *wanted)
{
	tv_autofree char *text = printed(map);
	assert_string_equal(text, wanted);
}

static void set_number(struct tv_symbol_map *map, const char *symbol, const char *name, double v)
{
	struct tv_err err = TV_ERR_INIT;
	const struct tv_symbol_value value = { name, TV_VALUE_NUMBER, NULL, v };
	ok(tv_symbol_map_set(map, symbol, &value, 1, &err));
}

static void what_is_kept(void **state)
{
	(void)state;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed(
		"{\"b:\\u00e9\": {\"x\":12345678901234567890, \"y\" : [1.10,NaN]},\"_note\":\"hi\",\n"
		"\"A:B\":{\"x\":1.0,\"t\":\"2026-01-19T12:00:00\",\"s\":\"\\u0041\"}}");
	const struct tv_symbol_value same[] = {
		{ "x", TV_VALUE_NUMBER, NULL, 1 },
		{ "t", TV_VALUE_TIME, "2026-01-19T12:00:00Z", 0 },
		{ "s", TV_VALUE_TEXT, "A", 0 },
		{ "none", TV_VALUE_NONE, NULL, 0 },
	};
	struct tv_err err = TV_ERR_INIT;
	ok(tv_symbol_map_set(map, "A:B", same, TV_ARRAY_LEN(same), &err));
	is(!tv_symbol_map_changed(map));
	prints(map,
	       "{\n  \"A:B\": {\"x\": 1.0, \"t\": \"2026-01-19T12:00:00\", \"s\": \"\\u0041\"},\n"
	       "  \"_note\": \"hi\",\n"
	       "  \"b:\\u00e9\": {\"x\": 12345678901234567890, \"y\": [1.10, NaN]}\n}\n");
	set_number(map, "A:B", "x", 0.1);
	set_number(map, "b:\xc3\xa9", "z", 3);
	set_number(map, "_note", "z", 3);
	is(tv_symbol_map_changed(map));
	prints(map,
	       "{\n  \"A:B\": {\"x\": 0.1, \"t\": \"2026-01-19T12:00:00\", \"s\": \"\\u0041\"},\n"
	       "  \"_note\": {\"z\": 3},\n"
	       "  \"b:\\u00e9\": {\"x\": 12345678901234567890, \"y\": [1.10, NaN], \"z\": 3}\n}\n");
	const struct tv_symbol_value json = { "y", TV_VALUE_JSON, "[1.10, NaN]", 0 };
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *other =
		parsed("{\"A:B\": {\"y\": [1.10,NaN], \"n\": 1}}");
	ok(tv_symbol_map_set(other, "A:B", &json, 1, &err));
	is(!tv_symbol_map_changed(other));
	const struct tv_symbol_value longer = { "y", TV_VALUE_JSON, "[{\"a\": 1}]", 0 };
	ok(tv_symbol_map_set(other, "A:B", &longer, 1, &err));
	prints(other, "{\n  \"A:B\": {\"y\": [{\"a\": 1}], \"n\": 1}\n}\n");
	const struct tv_symbol_value less = { "t", TV_VALUE_NONE, NULL, 0 };
	ok(tv_symbol_map_set(map, "A:B", &less, 1, &err));
	tv_symbol_map_remove(map, "_note");
	tv_symbol_map_remove(map, "b:\xc3\xa9");
	prints(map, "{\n  \"A:B\": {\"x\": 0.1, \"s\": \"\\u0041\"}\n}\n");
	tv_symbol_map_remove(map, "A:B");
	prints(map, "{}\n");
}

static void empty_and_bad(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed("");
	struct tv_symbol_map *none = NULL;
	is(tv_symbol_map_count(map) == 0 && !tv_symbol_map_changed(map));
	set_number(map, "X:\"Y", "v", -0.0);
	prints(map, "{\n  \"X:\\\"Y\": {\"v\": -0}\n}\n");
	static const char *const bad[][2] = {
		{ "[]", "'F': it is a list" },
		{ "{\"a\": 1, \"b\": 2, \"\\u0061\": 3}", "'F': 'a' occurs twice" },
		{ "{", "'F': is not valid JSON: line 1" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		fails(-EINVAL, tv_symbol_map_parse("F", bad[i][0], strlen(bad[i][0]), &none, &err));
		is(strstr(err.text, bad[i][1]) == err.text && !none);
	}
}

/* Which member is a symbol's: documented in docs/lakehouse_schema_registry.md. */
static void older_names(void **state)
{
	(void)state;
	static const struct {
		const char *text, *symbol, *member; /* NULL: none */
	} rows[] = {
		{ "{\"E:S\": {}, \"E_S\": {}, \"S\": {}}", "E:S", "E:S" },
		{ "{\"E_S\": {}, \"S\": {}}", "E:S", "E_S" },
		{ "{\"E_S\": {\"symbol\": \"E:S\"}}", "E:S", "E_S" },
		{ "{\"A_B_C\": {}}", "A_B:C", "A_B_C" },
		{ "{\"A_B_C\": {\"symbol\": \"A_B:C\"}}", "A:B_C", NULL },
		{ "{\"A_B_C\": {\"exchange\": \"A_B\"}}", "A:B_C", NULL },
		{ "{\"S\": {}}", "E:S", NULL },
		{ "{\"S\": {\"symbol\": \"S\"}}", "E:S", NULL },
		{ "{\"S\": {\"exchange\": \"E\"}}", "E:S", "S" },
		{ "{\"S\": {\"exchange\": \"F\"}}", "E:S", NULL },
		{ "{\"S\": {\"symbol\": \"E:S\"}}", "E:S", "S" },
		{ "{\"S\": {\"symbol\": \"S\", \"exchange\": \"E\"}}", "E:S", "S" },
		{ "{\"S\": 1}", "E:S", NULL },
		{ "{\"S\": {}}", "S", "S" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(rows); i++) {
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed(rows[i].text);
		size_t before = tv_symbol_map_count(map);
		ptrdiff_t at = tv_symbol_map_find(map, rows[i].symbol);
		is((at >= 0) == (rows[i].member != NULL));
		is(at < 0 || strcmp(tv_symbol_map_name(map, (size_t)at), rows[i].member) == 0);
		/* It is set where it stands, or gets the documented name. */
		set_number(map, rows[i].symbol, "v", 1);
		is(tv_symbol_map_count(map) == before + (at < 0));
		ptrdiff_t now = tv_symbol_map_find(map, rows[i].symbol);
		is(now >= 0 && strcmp(tv_symbol_map_name(map, (size_t)now),
				      at < 0 ? rows[i].symbol : rows[i].member) == 0);
	}
}

/* --- merging ----------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13; /* xorshift64 (Marsaglia, 2003) */
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

#define SYMBOLS 24

/* Sets or removes some of the symbols of a class (number % 3); any of them with class 3. */
static struct tv_symbol_map *changed(const struct tv_symbol_map *base, unsigned class, uint64_t *x)
{
	tv_autofree char *text = printed(base);
	struct tv_symbol_map *map = parsed(text);
	for (unsigned i = 0; i < SYMBOLS; i++) {
		char symbol[16];
		snprintf(symbol, sizeof(symbol), "E:%u", i);
		if ((class < 3 && i % 3 != class) || next(x) % 2)
			continue;
		if (next(x) % 4 == 0)
			tv_symbol_map_remove(map, symbol);
		else
			set_number(map, symbol, next(x) % 2 ? "a" : "b", (double)(next(x) % 3));
	}
	return map;
}

static char *merged(const struct tv_symbol_map *base, const struct tv_symbol_map *theirs,
		    const struct tv_symbol_map *ours, struct tv_name_list *conflicts,
		    bool *is_changed)
{
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *out = NULL;
	ok(tv_symbol_map_merge(base, theirs, ours, &out, conflicts, &err));
	if (is_changed)
		*is_changed = tv_symbol_map_changed(out);
	return printed(out);
}

/* What one symbol's entry is, "" for none. */
static const char *entry(const struct tv_symbol_map *map, const char *symbol)
{
	ptrdiff_t at = tv_symbol_map_find(map, symbol);
	return at < 0 ? "" : tv_symbol_map_entry(map, (size_t)at).at;
}

static void disjoint_changes_merge(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252;
	for (int round = 0; round < 300; round++) {
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *none = parsed("");
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *base = changed(none, 3, &x);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *a = changed(base, 0, &x);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *b = changed(base, 1, &x);
		tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
		bool unlike;
		tv_autofree char *ab = merged(base, a, b, &conflicts, NULL);
		tv_autofree char *ba = merged(base, b, a, &conflicts, NULL);
		assert_string_equal(ab, ba);
		/* Merging nothing changes nothing. */
		tv_autofree char *a_alone = merged(base, a, base, &conflicts, &unlike);
		tv_autofree char *a_text = printed(a);
		assert_string_equal(a_alone, a_text);
		is(!unlike);
		tv_autofree char *twice = merged(base, a, a, &conflicts, &unlike);
		assert_string_equal(twice, a_text);
		is(!unlike && conflicts.n == 0);
		for (unsigned i = 0; i < SYMBOLS; i++) {
			char symbol[16];
			snprintf(symbol, sizeof(symbol), "E:%u", i);
			tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *m = parsed(ab);
			assert_string_equal(entry(m, symbol), entry(i % 3 == 1 ? b : a, symbol));
		}
	}
}

/* Three ingestions that came one after another, in any order, end the same. */
static void order_does_not_matter(void **state)
{
	(void)state;
	static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					 { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	uint64_t x = 4101842887655102017;
	for (int round = 0; round < 60; round++) {
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *none = parsed("");
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *base = changed(none, 3, &x);
		struct tv_symbol_map *sides[3] = { changed(base, 0, &x), changed(base, 1, &x),
						   changed(base, 2, &x) };
		tv_autofree char *first = NULL;
		for (size_t o = 0; o < TV_ARRAY_LEN(orders); o++) {
			tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
			tv_autofree char *text = printed(sides[orders[o][0]]);
			for (int i = 1; i < 3; i++) {
				tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *published =
					parsed(text);
				free(text);
				text = merged(base, published, sides[orders[o][i]], &conflicts,
					      NULL);
			}
			is(conflicts.n == 0);
			if (!first)
				first = tv_steal_ptr(&text);
			else
				assert_string_equal(text, first);
		}
		for (int i = 0; i < 3; i++)
			tv_symbol_map_free(sides[i]);
	}
}

/* Any changes: exactly the symbols that both changed differently conflict, and theirs stands. */
static void conflicts_are_exact(void **state)
{
	(void)state;
	uint64_t x = 1181783497276652981;
	size_t seen = 0;
	for (int round = 0; round < 300; round++) {
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *none = parsed("");
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *base = changed(none, 3, &x);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *a = changed(base, 3, &x);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *b = changed(base, 3, &x);
		tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
		tv_autofree char *text = merged(base, a, b, &conflicts, NULL);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *m = parsed(text);
		size_t at = 0;
		static const unsigned by_bytes[SYMBOLS] = { 0,	1,  10, 11, 12, 13, 14, 15,
							    16, 17, 18, 19, 2,	20, 21, 22,
							    23, 3,  4,	5,  6,	7,  8,	9 };
		for (unsigned i = 0; i < SYMBOLS; i++) {
			char symbol[16];
			snprintf(symbol, sizeof(symbol), "E:%u", by_bytes[i]);
			const char *o = entry(base, symbol), *t = entry(a, symbol),
				   *u = entry(b, symbol);
			bool theirs = strcmp(o, t) != 0, differ = strcmp(t, u) != 0;
			bool both = theirs && differ && strcmp(o, u) != 0;
			assert_string_equal(entry(m, symbol), theirs ? t : u);
			is(!both || (at < conflicts.n && strcmp(conflicts.items[at], symbol) == 0));
			at += both;
		}
		is(at == conflicts.n);
		seen += at;
	}
	is(seen > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept),		 cmocka_unit_test(empty_and_bad),
		cmocka_unit_test(older_names),		 cmocka_unit_test(disjoint_changes_merge),
		cmocka_unit_test(order_does_not_matter), cmocka_unit_test(conflicts_are_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
