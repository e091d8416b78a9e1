#include "tools/authored.h"

#include <string.h>

#include "store/base/clock.h"
#include "store/base/hex.h"

#define TRACE_ID_MAX 200

static int check_text(struct tv_cli *cli, const char *name, const char *text)
{
	if (tv_utf8_ok(text, strlen(text)))
		return 0;
	return tv_cli_usage(cli, "--%s must be UTF-8", name);
}

static bool one_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20)
			return false;
	return true;
}

int tv_authored(struct tv_cli *cli, const char *default_message, struct tv_authored *out)
{
	const char *author = tv_cli_option(cli, "author");
	const char *message = tv_cli_option(cli, "message");
	const char *trace = tv_cli_option(cli, "trace-id");
	int r = tv_cli_who(out->who, sizeof(out->who), &cli->err);
	if (r == 0)
		r = tv_uuid7(out->uuid, &cli->err);
	if (r < 0)
		return r;
	out->author = author && *author ? author : out->who;
	out->message = message ? message : default_message;
	out->trace_id = trace && *trace ? trace : out->uuid;
	r = check_text(cli, "author", out->author);
	if (r == 0)
		r = check_text(cli, "message", out->message);
	if (r == 0)
		r = check_text(cli, "trace-id", out->trace_id);
	if (r == 0 && (!one_line(out->trace_id) || strlen(out->trace_id) > TRACE_ID_MAX))
		r = tv_cli_usage(cli, "--trace-id must be one line of at most %d bytes",
				 TRACE_ID_MAX);
	if (r == 0 && !one_line(out->author))
		r = tv_cli_usage(cli, "--author must be one line");
	return r;
}
