#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/base/json.h"
#include "tools/cli-private.h"

FILE *tv_cli_out(struct tv_cli *cli)
{
	tv_cli_progress_clear(cli);
	return stdout;
}

bool tv_cli_out_failed(const struct tv_cli *cli)
{
	(void)cli;
	return ferror(stdout);
}

FILE *tv_cli_errors(struct tv_cli *cli)
{
	tv_cli_progress_clear(cli);
	return stderr;
}

int tv_cli_usage(struct tv_cli *cli, const char *fmt, ...)
{
	char what[TV_ERR_TEXT];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return tv_err_set(&cli->err, -TV_E_USAGE, "%s; see 'tvfs %s%s--help'", what,
			  cli->command ? cli->command->name : "", cli->command ? " " : "");
}

int tv_cli_json(struct tv_cli *cli, cJSON *doc)
{
	tv_autojson cJSON *owned = doc;
	tv_autofree char *text = owned ? cJSON_PrintUnformatted(owned) : NULL;
	if (!text)
		return tv_err_nomem(&cli->err);
	FILE *out = tv_cli_out(cli);
	fputs(text, out);
	if (putc('\n', out) == EOF)
		return tv_err_sys(&cli->err, -errno, "cannot write the output");
	return 0;
}

void tv_cli_note(struct tv_cli *cli, const char *fmt, ...)
{
	if (cli->quiet)
		return;
	FILE *out = tv_cli_errors(cli);
	va_list ap;
	va_start(ap, fmt);
	fputs("note: ", out);
	vfprintf(out, fmt, ap);
	putc('\n', out);
	va_end(ap);
}

void tv_cli_size(uint64_t bytes, char out[16])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t unit = 0;
	/* 999.95 would be printed as 1000.0 */
	while (v >= 999.95 && unit + 1 < TV_ARRAY_LEN(units)) {
		v /= 1000;
		unit++;
	}
	snprintf(out, 16, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
}

static bool is_plain(const char *name)
{
	for (; *name; name++)
		if (*name < 0x20 || *name == 0x7f || *name == '\\')
			return false; /* negative: not ASCII */
	return true;
}

char *tv_cli_quote(const char *name)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	size_t left = strlen(name);
	while (left) {
		size_t n = 1;
		while (n < 4 && n < left && !tv_utf8_ok(name, n))
			n++;
		n = tv_utf8_ok(name, n) ? n : 1;
		unsigned char c = (unsigned char)*name;
		/* U+0080 to U+009F are control characters too. */
		bool control = c < 0x20 || c == 0x7f ||
			       (n == 2 && c == 0xc2 && (unsigned char)name[1] < 0xa0);
		if (c == '\\')
			tv_buf_add_str(&b, "\\\\");
		else if (control || !tv_utf8_ok(name, n))
			for (size_t i = 0; i < n; i++)
				tv_buf_addf(&b, "\\%03o", (unsigned char)name[i]);
		else
			tv_buf_add(&b, name, n);
		name += n;
		left -= n;
	}
	return tv_buf_steal_str(&b);
}

void tv_cli_put_name(FILE *out, const char *name)
{
	if (is_plain(name)) {
		fputs_unlocked(name, out);
		return;
	}
	tv_autofree char *quoted = tv_cli_quote(name);
	fputs(quoted ? quoted : "?", out);
}

int tv_cli_who(char *out, size_t n, struct tv_err *err)
{
	char host[256] = "";
	if (gethostname(host, sizeof(host) - 1) < 0)
		return tv_err_sys(err, -errno, "cannot tell this machine's name");
	struct passwd pw, *found = NULL;
	char room[4096];
	if (getpwuid_r(geteuid(), &pw, room, sizeof(room), &found) == 0 && found)
		snprintf(out, n, "%s@%s", found->pw_name, host);
	else
		snprintf(out, n, "%u@%s", (unsigned)geteuid(), host);
	return 0;
}
