#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/base/json.h"
#include "store/blob.h"
#include "tools/commands.h"
#include "tools/place.h"
#include "tools/render.h"

#define CHUNK ((size_t)1 << 20)
#define JSON_LIMIT (UINT64_C(64) << 20)

static void hasher_free_p(struct tv_hasher **h)
{
	tv_hasher_free(*h);
}

/* Copies the blob's bytes to the stream, or into a buffer, and checks what was copied. */
static int copy_checked(struct tv_cli *cli, const struct tv_entry *e, FILE *out,
			struct tv_buf *into)
{
	struct tv_err *err = &cli->err;
	tv_auto(hasher_free_p) struct tv_hasher *h = NULL;
	tv_autofree uint8_t *chunk = malloc(CHUNK);
	struct tv_addr addr;
	struct tv_sha sha;
	ssize_t n;

	tv_autoclose int fd = tv_blob_open(cli->store, &e->addr, err);
	int r = fd < 0 ? fd : tv_hasher_new(&h, err);
	if (r < 0)
		return r;
	if (!chunk)
		return tv_err_nomem(err);
	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0)
			return tv_err_sys(err, -errno, "cannot read the blob");
		r = tv_hasher_update(h, chunk, (size_t)n, err);
		if (r < 0)
			return r;
		if (into)
			tv_buf_add(into, chunk, (size_t)n);
		else if (fwrite(chunk, 1, (size_t)n, out) != (size_t)n)
			return tv_err_sys(err, -errno, "cannot write the output");
	}
	r = tv_hasher_final(h, &addr, &sha, err);
	if (r == 0 && (!tv_sha_eq(&sha, &e->sha) || !tv_addr_eq(&addr, &e->addr)))
		return tv_err_set(
			err, -TV_E_DIGEST,
			"its bytes do not match their digest; see 'tvfs fsck --read-data'");
	return r;
}

static int cat_json(struct tv_cli *cli, const struct tv_place *p)
{
	tv_autobuf struct tv_buf bytes = TV_BUF_INIT;
	if (p->entry.size > JSON_LIMIT)
		return tv_err_set(&cli->err, -EFBIG,
				  "too large for --json; use 'tvfs cat' without");
	int r = copy_checked(cli, &p->entry, NULL, &bytes);
	if (r < 0)
		return r;
	tv_autofree char *text =
		bytes.failed ? NULL
			     : tv_base64_encode(bytes.data ? bytes.data : (uint8_t *)"", bytes.len);
	if (!text)
		return tv_err_nomem(&cli->err);
	cJSON *o = cJSON_CreateObject();
	tv_json_sha(o, "foundation_hash", &p->rev.foundation);
	tv_json_sha(o, "commit", &p->rev.commit);
	tv_json_path(o, p->path);
	tv_json_entry(o, &p->entry);
	cJSON_AddStringToObject(o, "content_b64", text);
	return tv_cli_json(cli, o);
}

static int cat_one(struct tv_cli *cli, const char *word)
{
	tv_autoplace struct tv_place p = TV_PLACE_INIT;
	struct tv_err *err = &cli->err;
	int r = tv_place_find(cli, word, &p);
	if (r < 0)
		return r;
	if (p.entry.kind == TV_DIR)
		return tv_err_set(err, -EISDIR, "'%s' is a folder; name a file: REV:PATH", word);
	if (p.entry.kind == TV_SYMLINK)
		return tv_err_set(err, -EINVAL, "'%s' is a symlink to '%s'", word,
				  p.entry.target ? p.entry.target : "?");
	r = cli->json ? cat_json(cli, &p) : copy_checked(cli, &p.entry, tv_cli_out(cli), NULL);
	return r < 0 && r != -EPIPE ? tv_err_wrap(err, r, "%s", word) : r;
}

int tv_cmd_cat(struct tv_cli *cli)
{
	int r = tv_cli_open(cli);
	for (int i = 0; r == 0 && i < cli->n_args; i++)
		r = cat_one(cli, cli->args[i]);
	return r;
}
