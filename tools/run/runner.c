#include "tools/run/runner.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/run/environment.h"
#include "tools/run/record.h"
#include "tools/run/wire.h"

#define EXIT_OWN 125
#define EXIT_CANNOT 126
#define EXIT_NOT_FOUND 127

/* "mounted": hands the FUSE device to the daemon and the namespaces to the supervisor, by way of it. */
static int send_mounted(int sock, int fuse_fd, const struct tv_namespaces *n, dev_t device,
			struct tv_err *err)
{
	int fds[4] = { fuse_fd, n->mount };
	unsigned count = 2;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (!doc || !cJSON_AddStringToObject(doc, "what", "mounted") ||
	    !cJSON_AddBoolToObject(doc, "user", n->user >= 0) ||
	    !cJSON_AddBoolToObject(doc, "net", n->net >= 0) ||
	    !cJSON_AddNumberToObject(doc, "device", (double)device))
		return tv_err_nomem(err);
	if (n->user >= 0)
		fds[count++] = n->user;
	if (n->net >= 0)
		fds[count++] = n->net;
	return tv_wire_send(sock, tv_steal_ptr(&doc), fds, count, err);
}

/* Who it is stays the same through the exec, and may be gone before anybody could look it up. */
static int send_exec(int sock, struct tv_err *err)
{
	struct tv_process self;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	int r = tv_process_self(&self, err);
	if (r < 0)
		return r;
	if (!doc || !cJSON_AddStringToObject(doc, "what", "exec") ||
	    !tv_record_set(doc, "process", tv_process_json(&self)))
		return tv_err_nomem(err);
	return tv_wire_send(sock, tv_steal_ptr(&doc), NULL, 0, err);
}

/* New namespaces with everything mounted in them. */
static int make_place(const struct tv_runner *how, struct tv_err *err)
{
	bool user_made;
	dev_t device = 0;
	tv_auto(tv_namespaces_close) struct tv_namespaces own = TV_NAMESPACES_NONE;
	/* What needs nobody's help comes first: the supervisor and the daemon start meanwhile. */
	int r = tv_namespace_enter(how->plan->network, &user_made, err);
	if (r < 0)
		return r;
	tv_autoclose int fuse_fd = tv_namespace_fuse(err);
	if (fuse_fd < 0)
		return fuse_fd;
	r = tv_wire_expect(how->sock, "go", NULL, err);
	if (r == 0)
		r = tv_namespace_before(how->plan, fuse_fd, &device, err);
	if (r == 0)
		r = tv_namespace_open(user_made, how->plan->network, &own, err);
	if (r == 0)
		r = send_mounted(how->sock, fuse_fd, &own, device, err);
	/* Only the daemon may hold it: the connection has to end with the daemon. */
	close(tv_steal_fd(&fuse_fd));
	if (r == 0)
		r = tv_wire_expect(how->sock, "ready", NULL, err);
	return r < 0 ? r : tv_namespace_after(how->plan, device, err);
}

static int make_environment(const struct tv_plan *p, char ***out, struct tv_err *err)
{
	struct tv_surroundings run = { .settings = p->settings,
				       .profile = p->profile,
				       .run_id = p->run_id,
				       .run_dir = p->run_dir,
				       .trace_id = p->trace_id,
				       .lakehouse = p->lakehouse,
				       .foundation = p->commit.root.sha };
	return tv_environment_make(environ, &run, out, err);
}

static int prepare(const struct tv_runner *how, char ***env, struct tv_err *err)
{
	int r = how->join ? tv_namespace_join(how->join, err) : make_place(how, err);
	if (r < 0)
		return r;
	/* By its path and not by the old descriptor: a working directory inside data/lakehouse is then
	 * inside the view. */
	if (chdir(how->plan->cwd) < 0)
		return tv_err_sys(err, -errno, "cannot enter '%s' inside the run", how->plan->cwd);
	r = make_environment(how->plan, env, err);
	if (r < 0)
		return r;
	/* Killed with the front process: nobody would wait for the command any more. Set after the
	 * change of credentials, which would clear it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return tv_err_sys(err, -errno, "cannot tie the command to its front process");
	if (getppid() != how->front)
		return tv_err_set(err, -ESRCH, "the front process is gone");
	return send_exec(how->sock, err);
}

static int execute(const struct tv_runner *how, char **env, struct tv_err *err)
{
	char *const *argv = how->plan->request.argv;
	environ = env; /* execvp looks for the command on the PATH of its environment */
	sigprocmask(SIG_SETMASK, &how->mask, NULL);
	execvp(argv[0], argv);
	int code = -errno;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return tv_err_sys(err, code, "cannot execute '%s'", argv[0]);
}

void tv_runner_start(const struct tv_runner *how)
{
	struct tv_err err = TV_ERR_INIT;
	char **env = NULL;
	int status = EXIT_OWN;
	int r = prepare(how, &env, &err);
	if (r == 0) {
		r = execute(how, env, &err);
		status = r == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;
	}
	err.code = r;
	tv_wire_send_error(how->sock, &err, NULL);
	_exit(status);
}
