/* tvfs doctor: runs the checks of doctor-*.c and prints one line each. */
#include "tools/doctor.h"

#include "store/base/cleanup.h"
#include "tools/commands.h"

static const struct {
	const char *name;
	tv_doctor_check *look;
} checks[] = {
	{ "kernel", tv_doctor_kernel },
	{ "/dev/fuse", tv_doctor_dev_fuse },
	{ "libfuse", tv_doctor_libfuse },
	{ "passthrough", tv_doctor_passthrough },
	{ "user namespaces", tv_doctor_namespaces },
	{ "AppArmor", tv_doctor_apparmor },
	{ "fusermount3", tv_doctor_fusermount },
	{ "cgroup", tv_doctor_cgroup },
	{ "store", tv_doctor_store },
	{ "filesystem", tv_doctor_filesystem },
	{ "index", tv_doctor_index },
	{ "leases", tv_doctor_leases },
	{ "lakehouse", tv_doctor_lakehouse },
};

static const char *const level_names[] = { "ok", "warn", "fail" };

static void print_result(struct tv_cli *cli, const char *name, const struct tv_doctor_result *r)
{
	static const char *const colors[] = { "\033[32m", "\033[33m", "\033[31m" };
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%s%-4s%s  %-16s ", cli->color ? colors[r->level] : "", level_names[r->level],
		cli->color ? "\033[0m" : "", name);
	tv_cli_put_name(out, r->message);
	putc('\n', out);
	if (r->advice[0]) {
		fprintf(out, "%24s", "");
		tv_cli_put_name(out, r->advice);
		putc('\n', out);
	}
}

static cJSON *result_json(const char *name, const struct tv_doctor_result *r)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddStringToObject(o, "level", level_names[r->level]);
	cJSON_AddStringToObject(o, "message", r->message);
	if (r->advice[0])
		cJSON_AddStringToObject(o, "advice", r->advice);
	return o;
}

int tv_cmd_doctor(struct tv_cli *cli)
{
	struct tv_doctor d = { .cli = cli };
	tv_autojson cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	cJSON *list = doc ? cJSON_AddArrayToObject(doc, "checks") : NULL;
	bool failed = false;

	tv_mount_abilities(&d.can);
	/* Without a store the machine can still be judged. */
	d.opened = tv_cli_open(cli);
	d.why_not = cli->err;
	tv_err_clear(&cli->err);
	for (size_t i = 0; i < TV_ARRAY_LEN(checks); i++) {
		struct tv_doctor_result result = { .level = TV_DOCTOR_OK };
		checks[i].look(&d, &result);
		if (!result.message[0])
			continue;
		failed = failed || result.level == TV_DOCTOR_FAIL;
		if (list)
			cJSON_AddItemToArray(list, result_json(checks[i].name, &result));
		else
			print_result(cli, checks[i].name, &result);
	}
	cli->status = failed ? 1 : 0;
	if (!doc)
		return 0;
	cJSON_AddBoolToObject(doc, "ok", !failed);
	return tv_cli_json(cli, tv_steal_ptr(&doc));
}
