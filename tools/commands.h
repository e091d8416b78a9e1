/* The commands: one function each, in cmd-<name>.c, listed in commands.c. */
#ifndef TV_TOOLS_COMMANDS_H
#define TV_TOOLS_COMMANDS_H

struct tv_cli;

int tv_cmd_init(struct tv_cli *cli);
int tv_cmd_commit(struct tv_cli *cli);
int tv_cmd_sync(struct tv_cli *cli);
int tv_cmd_status(struct tv_cli *cli);
int tv_cmd_ls(struct tv_cli *cli);
int tv_cmd_cat(struct tv_cli *cli);
int tv_cmd_checkout(struct tv_cli *cli);
int tv_cmd_log(struct tv_cli *cli);
int tv_cmd_show(struct tv_cli *cli);
int tv_cmd_diff(struct tv_cli *cli);
int tv_cmd_tag(struct tv_cli *cli);
int tv_cmd_branch(struct tv_cli *cli);
int tv_cmd_revert(struct tv_cli *cli);
int tv_cmd_run(struct tv_cli *cli);
int tv_cmd_seal(struct tv_cli *cli);
int tv_cmd_ps(struct tv_cli *cli);
int tv_cmd_stats(struct tv_cli *cli);
int tv_cmd_prune(struct tv_cli *cli);
int tv_cmd_mount(struct tv_cli *cli);
int tv_cmd_umount(struct tv_cli *cli);
int tv_cmd_flow(struct tv_cli *cli);
int tv_cmd_gc(struct tv_cli *cli);
int tv_cmd_forget(struct tv_cli *cli);
int tv_cmd_fsck(struct tv_cli *cli);
int tv_cmd_doctor(struct tv_cli *cli);
int tv_cmd_help(struct tv_cli *cli);
int tv_cmd_version(struct tv_cli *cli);

#endif
