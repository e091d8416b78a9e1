/*
 * The project's settings: tvfs.json, in the folder that also holds .tvfs/.
 *
 * Every key has a default, and `tvfs init` writes them all out. Unknown keys, wrong types, double
 * keys and paths that leave the project are errors that name file, line and key. Paths in the file
 * are relative to the project (absolute ones are allowed where they say so in docs/guide.md).
 * Settings are read once and never changed afterwards.
 */
#ifndef TV_TOOLS_SETTINGS_H
#define TV_TOOLS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

struct tv_strings {
	char **items; /* owned; NULL-terminated */
	size_t len;
};

struct tv_setting_route {
	char *name; /* in the lakehouse: "portfolio_candidates.json" */
	char *data; /* in <run dir>/data: the same by default */
	char *env;  /* variable that gets its absolute path, or "" */
};

struct tv_setting_redirect {
	char *path; /* shared folder that scripts write: "data/logs" */
	char *to;   /* inside the run directory: "logs" */
};

struct tv_setting_gate {
	char *file;	    /* in the lakehouse; must exist */
	int64_t max_age_ns; /* 0: any age */
};

struct tv_setting_profile {
	char *name;
	bool strict_isolation; /* routed names never fall back to the foundation's copy */
	bool routes;
	bool network;		    /* false: only `lo` (refused when it cannot be had) */
	bool deny_lakehouse_writes; /* "lakehouse_writes": "overlay" | "deny" */
	bool inputs_writable;	    /* the input folders stay writable */
	int64_t max_age_ns;	    /* of a foundation that `tvfs validate` lets pass; 0: any */
	struct tv_setting_gate *gates;
	size_t n_gates;
};

struct tv_settings {
	char *project;	       /* absolute folder of tvfs.json; owned, as all strings here */
	char *file;	       /* absolute path of tvfs.json */
	char *lakehouse;       /* "data/lakehouse" */
	char *runs;	       /* "artifacts/summaries/runs" */
	char *ref;	       /* "main" */
	char *engine_version;  /* the platform's, or "" */
	char *writers_group;   /* or "" */
	char *default_profile; /* "production" */
	int64_t settle_ns;
	struct tv_strings ignore; /* patterns */
	struct tv_strings inputs; /* read-only in runs: "export", "data/export" */
	struct tv_setting_redirect *redirects;
	size_t n_redirects;
	struct tv_setting_route *routes;
	size_t n_routes;
	struct tv_setting_profile *profiles;
	size_t n_profiles;
	/* Objects whose members are the data cycle's to judge (docs/sources.md, docs/gates.md,
	 * docs/ingest.md); NULL when they are not given. Owned. */
	struct cJSON *sources, *gates, *ingest;
};

/* Reads <project>/tvfs.json; when there is none, the defaults. -EINVAL with "tvfs.json line 7: key
 * 'settle': …". */
int tv_settings_load(const char *project, struct tv_settings **out, struct tv_err *err);
void tv_settings_free(struct tv_settings *s);

/* The defaults as the text of a new tvfs.json; owned by the caller. */
int tv_settings_default_text(char **out, struct tv_err *err);

/* A profile by name (built in: production, development, data; the file may add or change). The
 * pointer lives as long as the settings. -EINVAL lists the known ones. */
int tv_settings_profile(const struct tv_settings *s, const char *name,
			const struct tv_setting_profile **out, struct tv_err *err);

/* Checks that a configured folder, links resolved, lies inside the project. */
int tv_settings_inside(const struct tv_settings *s, const char *relative, char **absolute,
		       struct tv_err *err);

#endif
