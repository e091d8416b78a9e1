/* A validation as the gate of a publishing: it judges what is about to be published, from blobs that no commit
 * has yet; and a lakehouse that is only for reading. */
#include <stdlib.h>
#include <sys/mman.h>

#include "ingest/duck.h"
#include "ingest/validate.h"
#include "tests/unit/support.h"

struct gate {
	struct tv_store *store;
	struct tv_duck *duck;
	struct tv_validated found;
	unsigned times;
};

static int judge(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		 struct tv_err *err)
{
	struct gate *g = arg;
	const struct tv_validate_how how = {
		.now_s = 1800000000, .cache = g->store, .duck = g->duck, .threads = 2
	};
	tv_validated_free(&g->found);
	g->times++;
	return tv_validate_tree(g->store, nodes, merged, &how, &g->found, err);
}

#define CATALOG                                                                                    \
	"{\"NYSE:KO\":{\"freshness\":\"2026-01-19T12:00:00Z\",\"start_date\":\"2026-01-16\","      \
	"\"end_date\":\"2026-01-16\",\"data_quality_score\":1}}"

static void as_the_gate_of_a_publishing(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct gate g = { .store = f->store };
	struct tv_ref ref;
	struct tv_published out;
	const struct tv_publish p = {
		.ref = "main", .author = "a", .message = "m", .gate = judge, .gate_arg = &g
	};
	const struct file one[] = { { "catalog.json", "{}", 0 } };
	const struct file two[] = { { "catalog.json", CATALOG, 0 },
				    { "NYSE_KO_1d.parquet", "PAR1 no PAR1", 0 } };
	ok(tv_duck_open(NULL, &g.duck, &err));
	fails(-TV_E_MISSING, publish_with(f->store, &p, one, 1, &out, NULL, &err));
	is(g.times == 1 && g.found.n == 2);
	is(strcmp(g.found.findings[0].subject, "features_matrix.parquet") == 0);
	is(g.found.findings[1].check == TV_CHECK_MISSING);
	fails(-TV_E_GATE, publish_with(f->store, &p, two, 2, &out, NULL, &err));
	is(g.found.n == 3 && g.found.assets == 1 && g.found.judged == 2);
	is(strcmp(g.found.findings[0].subject, "NYSE:KO") == 0);
	is(g.found.findings[0].check == TV_CHECK_SCHEMA);
	fails(-ENOENT, tv_ref_get(f->store, "main", &ref, &err));
	fails(-TV_E_GATE, publish_with(f->store, &p, two, 2, &out, NULL, &err));
	is(g.found.n == 3 && g.found.judged == 0 && g.found.known == 2);
	tv_validated_free(&g.found);
	tv_duck_close(g.duck);
}

static void only_for_reading(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_lakehouse *l = NULL;
	struct tv_lakehouse_file file;
	struct tv_sha sha;
	const struct tv_lakehouse_publish how = { .message = "m" };
	struct tv_lakehouse_published done;
	struct tv_sha id = publish_one(f->store, NULL, "d/a", "text");
	ok(tv_commit_get(f->store, &id, &c, &err));
	ok(tv_lakehouse_of_tree(f->store, tv_store_nodes(f->store), &c.root, &l, &err));
	ok(tv_lakehouse_stat(l, "d/a", &file, &err));
	ok(tv_sha_of("text", 4, &sha, &err));
	is(file.stored && file.size == 4 && tv_sha_eq(&file.sha, &sha));
	int fd = tv_lakehouse_open(l, "d/a", &err);
	char text[8] = "";
	is(fd >= 0 && read(fd, text, 7) == 4 && strcmp(text, "text") == 0);
	fails(-ENOENT, tv_lakehouse_stat(l, "d/b", &file, &err));
	fails(-ENOENT, tv_lakehouse_stat(l, "d/a/b", &file, &err));
	fails(-EINVAL, tv_lakehouse_stat(l, "d", &file, &err));
	fails(-EROFS, tv_lakehouse_put(l, "x", fd, NULL, NULL, &err));
	fails(-EROFS, tv_lakehouse_put_bytes(l, "x", "y", 1, NULL, &err));
	fails(-EROFS, tv_lakehouse_remove(l, "d/a", &err));
	fails(-EROFS, tv_lakehouse_open_before(l, "d/a", &err));
	fails(-EROFS, tv_lakehouse_publish(l, &how, &done, &err));
	close(fd);
	tv_lakehouse_free(l);
}

/* A folder that is no view is none, whatever its files are. */
static void no_view(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_lakehouse *l = NULL;
	const struct tv_sha foundation = { { 1 } };
	fails(-EINVAL, tv_lakehouse_of_view(f->dir, &foundation, &l, &err));
	fails(-ENOENT, tv_lakehouse_of_view("/no/such/folder", &foundation, &l, &err));
	is(!l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(as_the_gate_of_a_publishing),
		store_test(only_for_reading),
		store_test(no_view),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
