#include "tools/cli-help.h"

#include <string.h>

#include "tools/cli-private.h"

static void print_option(FILE *out, const struct tv_option *o)
{
	char left[80], letter[8] = "    ";
	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s%s%s", letter, o->name,
		 o->optional_value ? "[="
		 : o->value	   ? " "
				   : "",
		 o->value ? o->value : "", o->optional_value ? "]" : "", "");
	fprintf(out, "  %-28s %s\n", left, o->help);
}

void tv_cli_help_command(FILE *out, const struct tv_command *c)
{
	fprintf(out, "tvfs %s - %s\n\nusage: %s\n\n", c->name, c->summary, c->synopsis);
	for (const struct tv_option *o = c->options; o && o->name; o++)
		print_option(out, o);
	for (const struct tv_option *o = tv_cli_common_options(); o->name; o++)
		print_option(out, o);
}

void tv_cli_help_all(FILE *out)
{
	const char *group = "";
	fputs("tvfs - frozen views of a data lakehouse, one a run\n\n"
	      "usage: tvfs COMMAND [OPTION…] [WORD…]\n",
	      out);
	for (const struct tv_command *c = tv_commands(); c->name; c++) {
		if (c->hidden)
			continue;
		if (strcmp(group, c->group) != 0)
			fprintf(out, "\n%s\n", c->group);
		group = c->group;
		fprintf(out, "  %-10s %s\n", c->name, c->summary);
	}
	fputs("\n'tvfs COMMAND --help' tells more. Each command is also a program: tvfs-commit, tvfs-ls, …\n"
	      "Exit codes: 0 ok, 1 failure, 2 usage, 10 no store, 11 locked, 12 conflict, 13 refused by a\n"
	      "check, 14 damaged, 15 stale or missing data, 130 interrupted.\n",
	      out);
}
