/* Lists of candidates, in all their shapes: the symbols in order, and what is said of bad entries. */
#include "ingest/candidates.h"
#include "tests/unit/support.h"

/* "N:A@F0,F2 N:B@F1" */
static void summary(const struct tv_candidates *c, char *out, size_t room)
{
	size_t used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < c->n && used < room; i++) {
		used += (size_t)snprintf(out + used, room - used, "%s%s@", i ? " " : "",
					 c->items[i]->symbol);
		for (size_t p = 0; p < c->items[i]->n_places && used < room; p++)
			used += (size_t)snprintf(out + used, room - used, "%s%s%zu", p ? "," : "",
						 c->items[i]->places[p].file,
						 c->items[i]->places[p].index);
	}
}

static const struct {
	const char *text, *symbols, *fault; /* the first one */
} documents[] = {
	{ "[]", "", NULL },
	{ "[\"N:B\", \"N:A\", \"N:B\"]", "N:B@F0,F2 N:A@F1", NULL },
	{ "[{\"symbol\": \"N:A\", \"close\": 1.5, \"ADX\": null}]", "N:A@F0", NULL },
	{ "{\"meta\": {\"logic\": \"x\"}, \"data\": [{\"symbol\": \"FX_IDC:EURUSD\"}, "
	  "{\"symbol\": \"CME:ES1!\"}]}",
	  "FX_IDC:EURUSD@F0 CME:ES1!@F1", NULL },
	{ "[{\"symbol\": \"A\", \"exchange\": \"N\"}]", "N:A@F0", NULL },
	{ "[{\"symbol\": \"N:A\", \"exchange\": \"Other\"}]", "N:A@F0", NULL },
	{ "[{\"symbol\": \"a_1\", \"physical_symbol\": \"N:A\"}]", "N:A@F0", NULL },
	{ "[{\"symbol\": \"N:A\", \"physical_symbol\": \"N:B\"}]", "N:A@F0", NULL },
	{ "[\"n:a\", \"N:a\"]", "n:a@F0 N:a@F1", NULL },
	{ "[\"N:A\", \"A\", \"N:B\"]", "N:A@F0 N:B@F2",
	  "'F', candidate 1: 'A' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[\"N:A B\"]", "", "'F', candidate 0: 'N:A B' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[\"N:A\\n\"]", "", "'F', candidate 0: 'N:A?' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[\"N:A/B\"]", "", "'F', candidate 0: 'N:A/B' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[\"N:A:B\"]", "", "'F', candidate 0: 'N:A:B' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[\":A\"]", "", "'F', candidate 0: ':A' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[1, \"N:A\"]", "N:A@F1",
	  "'F', candidate 0: it is a number, expected is a text EXCHANGE:SYMBOL or an object with "
	  "`symbol`" },
	{ "[{\"Symbol\": \"N:A\"}]", "",
	  "'F', candidate 0: it has no text as its symbol, expected is EXCHANGE:SYMBOL" },
	{ "[{\"symbol\": 5}]", "",
	  "'F', candidate 0: it has no text as its symbol, expected is EXCHANGE:SYMBOL" },
	{ "[{\"symbol\": \"A\", \"exchange\": \"\"}]", "",
	  "'F', candidate 0: its symbol 'A' is wrong, expected is EXCHANGE:SYMBOL" },
	{ "[{\"symbol\": \"N:A\", \"sector\": 5}, \"N:A\"]", "N:A@F1",
	  "'F', candidate 0: its \"sector\" is a number, expected is a text" },
	{ "[{\"symbol\": \"N:A\", \"pricescale\": 1.5}]", "",
	  "'F', candidate 0: its \"pricescale\" is a number, expected is a number without a fraction" },
	{ "[{\"symbol\": \"N:A\", \"tick_size\": \"x\"}]", "",
	  "'F', candidate 0: its \"tick_size\" is a text, expected is a finite number" },
	{ "[{\"symbol\": \"N:A\", \"tick_size\": NaN, \"sector\": null}]", "N:A@F0", NULL },
};

static void shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(documents); i++) {
		struct tv_err err = TV_ERR_INIT;
		tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
		char text[256];
		ok(tv_candidates_add(&c, "F", documents[i].text, strlen(documents[i].text), &err));
		summary(&c, text, sizeof(text));
		assert_string_equal(text, documents[i].symbols);
		is((c.n_faults > 0) == (documents[i].fault != NULL));
		if (c.n_faults)
			assert_string_equal(c.faults[0].message, documents[i].fault);
	}
}

/* No fault shows a part of a text, which could end within a character. */
static void a_long_symbol(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	tv_buf_add_str(&text, "[\"N:");
	for (int i = 0; i < 1000; i++)
		tv_buf_add_str(&text, "\xc3\xa9");
	tv_buf_add_str(&text, "\"]");
	ok(tv_candidates_add(&c, "F", (const char *)text.data, text.len, &err));
	is(c.n == 0 && c.n_faults == 1);
	assert_string_equal(c.faults[0].message,
			    "'F', candidate 0: a text of 2002 bytes is wrong, expected is "
			    "EXCHANGE:SYMBOL");
}

static void other_shapes(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	static const char *const bad[] = {
		"", "{}", "\"N:A\"", "{\"data\": {}}", "[\"N:A\"", "null"
	};
	ok(tv_candidates_add(&c, "G", "[\"N:A\"]", 7, &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		fails(-EINVAL, tv_candidates_add(&c, "F", bad[i], strlen(bad[i]), &err));
		is(strstr(err.text, "'F' is ") == err.text);
	}
	is(c.n == 1 && c.n_faults == 0);
}

static void is_text(const struct tv_candidate *c, const char *fact, const char *wanted)
{
	const struct tv_cell *cell = &c->facts.cells[tv_fact_named(fact)];
	is(cell->known == (wanted != NULL));
	if (wanted)
		assert_string_equal(cell->text, wanted);
}

static void facts(void **state)
{
	(void)state;
	static const char text[] =
		"[{\"symbol\": \"N:A\", \"sector\": \"\", \"type\": \"stock\", \"currency\": \"USD\"},"
		"{\"symbol\": \"N:A\", \"sector\": \"Tech\", \"type\": \"fund\", \"asset_class\": "
		"\"EQUITY\", \"pricescale\": 100.0, \"tick_size\": 0.01, \"description\": \"A \\u00e9\"}]";
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	ok(tv_candidates_add(&c, "F", text, strlen(text), &err));
	const struct tv_candidate *a = tv_candidates_find(&c, "N:A");
	is(a && c.n == 1 && !tv_candidates_find(&c, "N:B"));
	is_text(a, "sector", "Tech");
	is_text(a, "type", "stock");
	is_text(a, "quote", "USD");
	is_text(a, "profile", "EQUITY");
	is_text(a, "description", "A \xc3\xa9");
	is_text(a, "industry", NULL);
	is(a->facts.cells[tv_fact_named("pricescale")].i64 == 100);
	is(a->facts.cells[tv_fact_named("tick_size")].f64 == 0.01);
	is(!a->facts.cells[tv_fact_named("minmov")].known);
	is(tv_fact_named("symbol") < 0 && tv_fact_named("active") < 0);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autofree char *path = tv_path_join(f->dir, name);
	ok(tv_io_replace_file(AT_FDCWD, path, text, strlen(text), 0644, &err));
}

static void folders(void **state)
{
	const struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	tv_autoclose int dir = open(f->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	char text[256];
	ok(tv_io_mkdirs(dir, "run/sub.json", 0755, &err));
	put(f, "run/notes.txt", "x");
	put(f, "run/.hidden.json", "x");
	fails(-EINVAL, tv_candidates_load(&c, dir, "run", &err));
	put(f, "run/b.json", "{\"meta\": {}, \"data\": [{\"symbol\": \"N:B\"}]}");
	put(f, "run/a.json", "{\"data\": [{\"symbol\": \"N:C\"}, {\"symbol\": \"N:B\"}]}");
	put(f, "run/Z.json", "[\"N:Z\"]");
	ok(tv_candidates_load(&c, dir, "run", &err));
	summary(&c, text, sizeof(text));
	assert_string_equal(text, "N:Z@run/Z.json0 N:C@run/a.json0 N:B@run/a.json1,run/b.json0");
	ok(tv_candidates_load(&c, dir, "run/Z.json", &err));
	is(c.n == 3 && c.items[0]->n_places == 2);
	fails(-ENOENT, tv_candidates_load(&c, dir, "none", &err));
	put(f, "run/c.json", "{");
	fails(-EINVAL, tv_candidates_load(&c, dir, "run", &err));
	is(strstr(err.text, "'run/c.json' is not valid JSON: line 1") == err.text);
	ok(mkfifoat(dir, "fifo.json", 0644));
	fails(-EINVAL, tv_candidates_load(&c, dir, "fifo.json", &err));
}

static void many(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	for (int i = 0; i < 20000; i++)
		tv_buf_addf(&text, "%s\"N:%d\"", i ? "," : "[", i * 7919 % 10000);
	tv_buf_add_str(&text, "]");
	ok(tv_candidates_add(&c, "F", (const char *)text.data, text.len, &err));
	is(c.n == 10000 && c.n_faults == 0);
	for (size_t i = 0; i < c.n; i++) {
		char symbol[16];
		snprintf(symbol, sizeof(symbol), "N:%zu", i * 7919 % 10000);
		assert_string_equal(c.items[i]->symbol, symbol);
		is(c.items[i]->n_places == 2 && c.items[i]->places[1].index == i + 10000);
		is(tv_candidates_find(&c, symbol) == c.items[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(other_shapes),
		cmocka_unit_test(a_long_symbol),
		cmocka_unit_test(facts),
		dir_test(folders),
		cmocka_unit_test(many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
