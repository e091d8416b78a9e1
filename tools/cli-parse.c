#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "tools/cli-private.h"

static const struct tv_option common[] = {
	{ "json", 0, NULL, "print JSON for programs", false },
	{ "store", 0, "DIR", "the store, or the project that holds it", false },
	{ "quiet", 'q', NULL, "no notes and no progress bar", false },
	{ "help", 'h', NULL, "print this help", false },
	{ NULL, 0, NULL, NULL, false },
};

const struct tv_option *tv_cli_common_options(void)
{
	return common;
}

/* Compares --name with n bytes, or a letter when name is NULL. */
static const struct tv_option *find_in(const struct tv_option *o, const char *name, size_t n,
				       char letter)
{
	for (; o && o->name; o++)
		if (name ? strncmp(o->name, name, n) == 0 && !o->name[n] : o->letter == letter)
			return o;
	return NULL;
}

static const struct tv_option *find_option(const struct tv_cli *cli, const char *name, size_t n,
					   char letter)
{
	const struct tv_option *own =
		cli->command ? find_in(cli->command->options, name, n, letter) : NULL;
	return own ? own : find_in(common, name, n, letter);
}

static void add_value(struct tv_cli *cli, const struct tv_option *option, const char *value)
{
	struct tv_value *v = cli->values;
	while (v->option)
		v++;
	*v = (struct tv_value){ option, value };
	if (option == &common[0])
		cli->json = true;
	else if (option == &common[1])
		cli->store_option = value;
	else if (option == &common[2])
		cli->quiet = true;
}

/* One word "--name" or "--name=value". *used is set when the next word was its value. */
static int parse_long(struct tv_cli *cli, const char *word, const char *next, bool *used)
{
	const char *name = word + 2;
	size_t n = strcspn(name, "=");
	const char *value = name[n] ? name + n + 1 : NULL;
	const struct tv_option *o = find_option(cli, name, n, 0);
	if (!o)
		return tv_cli_usage(cli, "there is no option '--%.*s'", (int)n, name);
	if (!o->value && value)
		return tv_cli_usage(cli, "option '--%s' takes no value", o->name);
	if (o->value && !value && !o->optional_value) {
		if (!next)
			return tv_cli_usage(cli, "option '--%s' needs a value (%s)", o->name,
					    o->value);
		value = next;
		*used = true;
	}
	add_value(cli, o, value ? value : "");
	return 0;
}

/* One word "-x", "-xy" (switches) or "-xVALUE". */
static int parse_letters(struct tv_cli *cli, const char *word, const char *next, bool *used)
{
	for (const char *p = word + 1; *p; p++) {
		const struct tv_option *o = find_option(cli, NULL, 0, *p);
		if (!o)
			return tv_cli_usage(cli, "there is no option '-%c'", *p);
		if (!o->value || o->optional_value) {
			add_value(cli, o, "");
			continue;
		}
		if (!p[1] && !next)
			return tv_cli_usage(cli, "option '-%c' needs a value (%s)", *p, o->value);
		*used = !p[1];
		add_value(cli, o, p[1] ? p + 1 : next);
		return 0;
	}
	return 0;
}

int tv_cli_parse(struct tv_cli *cli, int argc, char **argv)
{
	cli->values = calloc((size_t)argc * 8 + 64, sizeof(*cli->values));
	cli->args = calloc((size_t)argc + 1, sizeof(*cli->args));
	if (!cli->values || !cli->args)
		return tv_err_nomem(&cli->err);
	bool rest_is_command = cli->command && cli->command->rest_is_command;
	bool options = true;
	size_t room = (size_t)argc * 8 + 63;
	for (int i = 0; i < argc; i++) {
		char *word = argv[i];
		bool used = false;
		int r = 0;
		if (!options || word[0] != '-' || !word[1]) {
			cli->args[cli->n_args++] = word;
			options = options && !rest_is_command;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			options = false;
			continue;
		}
		size_t values = word[1] == '-' ? 1 : strlen(word) - 1; /* at most */
		if (values > room)
			return tv_cli_usage(cli, "too many options");
		room -= values;
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		r = word[1] == '-' ? parse_long(cli, word, next, &used)
				   : parse_letters(cli, word, next, &used);
		if (r < 0)
			return r;
		i += used;
	}
	return 0;
}

int tv_cli_check_args(struct tv_cli *cli)
{
	const struct tv_command *c = cli->command;
	if (cli->n_args < c->min_args)
		return tv_cli_usage(cli, "more words are needed: %s", c->synopsis);
	if (c->max_args >= 0 && cli->n_args > c->max_args)
		return tv_cli_usage(cli, "'%s' is one word too many: %s", cli->args[c->max_args],
				    c->synopsis);
	return 0;
}

const char *tv_cli_option_at(const struct tv_cli *cli, const char *name, unsigned index)
{
	for (const struct tv_value *v = cli->values; v && v->option; v++)
		if (strcmp(v->option->name, name) == 0 && index-- == 0)
			return v->value;
	return NULL;
}

const char *tv_cli_option(const struct tv_cli *cli, const char *name)
{
	const char *last = NULL;
	for (const struct tv_value *v = cli->values; v && v->option; v++)
		if (strcmp(v->option->name, name) == 0)
			last = v->value;
	return last;
}

bool tv_cli_has(const struct tv_cli *cli, const char *name)
{
	return tv_cli_option(cli, name) != NULL;
}
