#include "tools/render.h"

#include <string.h>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "tools/cli.h"

void tv_render_short(const struct tv_sha *sha, char out[TV_SHORT_HEX])
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(sha, hex);
	memcpy(out, hex, TV_SHORT_HEX - 1);
	out[TV_SHORT_HEX - 1] = '\0';
}

void tv_json_sha(cJSON *object, const char *key, const struct tv_sha *sha)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(sha, hex);
	cJSON_AddStringToObject(object, key, hex);
}

void tv_json_time(cJSON *object, const char *key, int64_t ns)
{
	char text[TV_TIME_TEXT];
	tv_time_format(ns, text);
	cJSON_AddStringToObject(object, key, text);
}

void tv_json_path(cJSON *object, const char *path)
{
	tv_json_add_bytes(object, "path", path, strlen(path));
}

void tv_json_entry(cJSON *object, const struct tv_entry *e)
{
	static const char *const kinds[] = { "", "file", "directory", "symlink" };
	char mode[8], addr[TV_ADDR_HEX];
	snprintf(mode, sizeof(mode), "%04o", (unsigned)e->mode);
	cJSON_AddStringToObject(object, "type", kinds[e->kind]);
	cJSON_AddStringToObject(object, "mode", mode);
	tv_json_time(object, "mtime", e->mtime_ns);
	tv_json_add_u64(object, "size", e->size);
	if (e->kind == TV_DIR) {
		tv_json_add_u64(object, "files", e->files);
		tv_json_sha(object, "folder_hash", &e->sha);
		return;
	}
	tv_json_sha(object, "sha256", &e->sha);
	if (e->kind == TV_FILE) {
		tv_addr_hex(&e->addr, addr);
		cJSON_AddStringToObject(object, "xxh128", addr);
	} else if (e->target) {
		tv_json_add_bytes(object, "target", e->target, strlen(e->target));
	}
}

void tv_json_commit(cJSON *object, const struct tv_commit *c)
{
	tv_json_sha(object, "commit", &c->id);
	tv_json_sha(object, "foundation_hash", &c->root.sha);
	cJSON *parents = cJSON_AddArrayToObject(object, "parents");
	for (size_t i = 0; i < c->n_parents; i++) {
		char hex[TV_SHA_HEX];
		tv_sha_hex(&c->parents[i], hex);
		cJSON_AddItemToArray(parents, cJSON_CreateString(hex));
	}
	tv_json_time(object, "time", c->time_ns);
	cJSON_AddStringToObject(object, "author", c->author);
	cJSON_AddStringToObject(object, "message", c->message);
	cJSON_AddStringToObject(object, "trace_id", c->trace_id);
	tv_json_add_u64(object, "generation", c->generation);
	tv_json_add_u64(object, "sequence", c->sequence);
	tv_json_add_u64(object, "files", c->root.files);
	tv_json_add_u64(object, "size", c->root.size);
	cJSON *meta = cJSON_Parse(c->meta);
	if (meta)
		cJSON_AddItemToObject(object, "meta", meta);
}

const char *tv_render_change(enum tv_change change)
{
	switch (change) {
	case TV_ADDED:
		return "added";
	case TV_REMOVED:
		return "removed";
	case TV_CHANGED:
		return "changed";
	case TV_TOUCHED:
		break;
	}
	return "touched";
}

cJSON *tv_json_change(const struct tv_diff_item *item)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "change", tv_render_change(item->change));
	tv_json_path(o, item->path);
	if (item->before)
		tv_json_entry(cJSON_AddObjectToObject(o, "before"), item->before);
	if (item->after)
		tv_json_entry(cJSON_AddObjectToObject(o, "after"), item->after);
	return o;
}

void tv_render_mode(const struct tv_entry *e, char out[11])
{
	static const char letters[] = "rwxrwxrwx";
	out[0] = e->kind == TV_DIR ? 'd' : e->kind == TV_SYMLINK ? 'l' : '-';
	for (int i = 0; i < 9; i++)
		out[1 + i] = e->mode & (0400 >> i) ? letters[i] : '-';
	out[10] = '\0';
}

void tv_render_seconds(int64_t ns, char out[32])
{
	char text[TV_TIME_TEXT];
	int64_t rest = ns % 1000000000;
	tv_time_format(ns - rest - (rest < 0 ? 1000000000 : 0), text);
	snprintf(out, 32, "%.31s", text);
}

void tv_render_first_line(FILE *out, const char *message)
{
	char line[256];
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(message, "\r\n"), message);
	tv_cli_put_name(out, line);
}
