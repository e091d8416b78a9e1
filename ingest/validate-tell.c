#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/validate-priv.h"
#include "store/base/cleanup.h"
#include "store/base/json.h"

static const struct {
	const char *text;
	int code;
} checks[TV_CHECKS] = {
	[TV_CHECK_MISSING] = { "missing", -TV_E_MISSING },
	[TV_CHECK_STALE] = { "stale", -TV_E_MISSING },
	[TV_CHECK_SCHEMA] = { "schema", -TV_E_GATE },
	[TV_CHECK_CATALOG] = { "catalog", -TV_E_GATE },
	[TV_CHECK_QUARANTINE] = { "quarantine", -TV_E_GATE },
	[TV_CHECK_BARS] = { "bars", -TV_E_GATE },
};

const char *tv_check_text(enum tv_check check)
{
	return checks[check].text;
}

int tv_check_code(enum tv_check check)
{
	return checks[check].code;
}

void tv_validated_free(struct tv_validated *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++) {
		free(v->findings[i].subject);
		free(v->findings[i].reason);
	}
	free(v->findings);
	*v = (struct tv_validated){ .findings = NULL };
}

int tv_validate_tell(struct tv_validation *v, const char *subject, enum tv_check check,
		     struct tv_err *err, const char *fmt, ...)
{
	struct tv_validated *out = v->out;
	struct tv_validate_finding f = { .check = check };
	va_list args;
	if (!out->findings || out->n == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 64;
		void *grown = reallocarray(out->findings, cap, sizeof(*out->findings));
		if (!grown)
			return tv_err_nomem(err);
		out->findings = grown;
		out->cap = cap;
	}
	va_start(args, fmt);
	int n = vasprintf(&f.reason, fmt, args);
	va_end(args);
	f.subject = strdup(subject);
	if (n < 0 || !f.subject) {
		free(n < 0 ? NULL : f.reason);
		free(f.subject);
		return tv_err_nomem(err);
	}
	out->findings[out->n++] = f;
	return 0;
}

static int order(const void *a, const void *b)
{
	const struct tv_validate_finding *x = a, *y = b;
	int by = strcmp(x->subject, y->subject);
	if (!by)
		by = (x->check > y->check) - (x->check < y->check);
	return by ? by : strcmp(x->reason, y->reason);
}

int tv_validate_verdict(struct tv_validated *out, struct tv_err *err)
{
	const struct tv_validate_finding *worst = NULL;
	if (out->n)
		qsort(out->findings, out->n, sizeof(*out->findings), order);
	out->failing = 0;
	for (size_t i = 0; i < out->n; i++) {
		const struct tv_validate_finding *f = &out->findings[i];
		out->failing += i == 0 || strcmp(f->subject, f[-1].subject) != 0;
		if (!worst || (tv_check_code(worst->check) != -TV_E_GATE &&
			       tv_check_code(f->check) == -TV_E_GATE))
			worst = f;
	}
	if (!worst)
		return 0;
	return tv_err_set(err, tv_check_code(worst->check),
			  "the foundation is not good: %zu findings in %zu assets and files, such "
			  "as %s: %s: %s",
			  out->n, out->failing, worst->subject, tv_check_text(worst->check),
			  worst->reason);
}

cJSON *tv_validated_json(const struct tv_validated *v)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; list && i < v->n; i++) {
		const struct tv_validate_finding *f = &v->findings[i];
		cJSON *o = cJSON_CreateObject();
		tv_json_add_bytes(o, "subject", f->subject, strlen(f->subject));
		cJSON_AddStringToObject(o, "check", tv_check_text(f->check));
		cJSON_AddNumberToObject(o, "exit", tv_err_exit_code(tv_check_code(f->check)));
		tv_json_add_bytes(o, "reason", f->reason, strlen(f->reason));
		if (!cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			cJSON_Delete(list);
			return NULL;
		}
	}
	return list;
}
