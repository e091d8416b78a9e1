/*
 * Reading one tvfs.json into settings: what each key takes, checked strictly. Private to settings.c.
 *
 * The document is applied on top of what the settings hold: lists, routes and redirects replace what
 * was there, a profile changes only the keys it names.
 */
#ifndef TV_TOOLS_SETTINGS_READ_H
#define TV_TOOLS_SETTINGS_READ_H

#include "tools/settings.h"

/* `name` is how errors call the text ("tvfs.json"). -EINVAL; the settings are then half changed and
 * can only be freed. */
int tv_settings_read(struct tv_settings *s, const char *name, const char *text, size_t n,
		     struct tv_err *err);

/* Release parts, for replacing and for tv_settings_free. */
void tv_settings_free_strings(struct tv_strings *list);
void tv_settings_free_routes(struct tv_settings *s);
void tv_settings_free_redirects(struct tv_settings *s);
void tv_settings_free_gates(struct tv_setting_profile *p);

#endif
