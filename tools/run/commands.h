/*
 * The commands of runs and mounts, for the table in tools/commands.c: functions, and their options,
 * which are defined beside them. `serve` is hidden: tvfs starts it itself.
 *
 *	run	"tvfs run [OPTION...] [--] COMMAND [ARG...]"
 *	mount	"tvfs mount [OPTION...] MOUNTPOINT"
 *	umount	"tvfs umount [--lazy] MOUNTPOINT"
 *	seal	"tvfs seal RUN_ID"
 *	ps	"tvfs ps"
 *	prune	"tvfs prune"
 *	serve	"tvfs serve LABEL"
 */
#ifndef TV_TOOLS_RUN_COMMANDS_H
#define TV_TOOLS_RUN_COMMANDS_H

struct tv_cli;
struct tv_option;

extern const struct tv_option tv_run_options[];
extern const struct tv_option tv_mount_options[];
extern const struct tv_option tv_umount_options[];

int tv_cmd_serve(struct tv_cli *cli);

#endif
