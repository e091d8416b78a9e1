#include "tools/cli-help.h"
#include "tools/cli-private.h"
#include "tools/commands.h"

static cJSON *command_json(const struct tv_command *c)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", c->name);
	cJSON_AddStringToObject(o, "summary", c->summary);
	cJSON_AddStringToObject(o, "synopsis", c->synopsis);
	cJSON *options = cJSON_AddArrayToObject(o, "options");
	for (const struct tv_option *p = c->options; p && p->name; p++) {
		cJSON *option = cJSON_CreateObject();
		cJSON_AddStringToObject(option, "name", p->name);
		if (p->letter)
			cJSON_AddStringToObject(option, "letter", (char[]){ p->letter, '\0' });
		if (p->value)
			cJSON_AddStringToObject(option, "value", p->value);
		if (p->value)
			cJSON_AddBoolToObject(option, "value_optional", p->optional_value);
		cJSON_AddStringToObject(option, "help", p->help);
		cJSON_AddItemToArray(options, option);
	}
	return o;
}

static int help_json(struct tv_cli *cli, const struct tv_command *one)
{
	if (one)
		return tv_cli_json(cli, command_json(one));
	cJSON *doc = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(doc, "commands");
	for (const struct tv_command *c = tv_commands(); c->name; c++)
		if (!c->hidden)
			cJSON_AddItemToArray(list, command_json(c));
	return tv_cli_json(cli, doc);
}

int tv_cmd_help(struct tv_cli *cli)
{
	const struct tv_command *one = NULL;
	if (cli->n_args) {
		one = tv_cli_find(cli->args[0]);
		if (!one)
			return tv_cli_usage(cli, "there is no command '%s'", cli->args[0]);
	}
	if (cli->json)
		return help_json(cli, one);
	if (one)
		tv_cli_help_command(tv_cli_out(cli), one);
	else
		tv_cli_help_all(tv_cli_out(cli));
	return 0;
}
