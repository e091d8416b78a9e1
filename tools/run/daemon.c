/* How a daemon is started and configured, from the outside. */
#include "tools/run/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/run/record.h"
#include "tools/run/wire.h"

#define DAEMON_SOCK 3

/* In the child: nothing inherited but the socket and the log, no signal blocked or ignored. */
static _Noreturn void become_daemon(const char *label, int sock, int log)
{
	char name[] = "tvfs", verb[] = "serve";
	char *const argv[] = { name, verb, (char *)(uintptr_t)label, NULL };
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high_sock = fcntl(sock, F_DUPFD_CLOEXEC, 10);
	int high_log = fcntl(log, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || high_sock < 0 || high_log < 0)
		_exit(125);
	setsid();
	dup2(null, 0);
	dup2(null, 1);
	dup2(high_log, 2);
	dup2(high_sock, DAEMON_SOCK);
	close_range(DAEMON_SOCK + 1, ~0U, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") == 0)
		execv("/proc/self/exe", argv);
	_exit(125);
}

int tv_daemon_start(const char *label, int log, int *sock, struct tv_process *out,
		    struct tv_err *err)
{
	int pair[2];
	int r = tv_wire_pair(pair, err);
	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid == 0)
		become_daemon(label, pair[1], log);
	close(pair[1]);
	r = pid < 0 ? tv_err_sys(err, -errno, "cannot start the daemon")
		    : tv_process_of(pid, out, err);
	if (r < 0) {
		close(pair[0]);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		return r;
	}
	*sock = pair[0];
	return 0;
}

static bool add_routes(cJSON *doc, const struct tv_settings *s)
{
	cJSON *list = cJSON_AddArrayToObject(doc, "routes");
	for (size_t i = 0; list && s && i < s->n_routes; i++) {
		cJSON *one = cJSON_CreateObject();
		if (!one || !cJSON_AddStringToObject(one, "name", s->routes[i].name) ||
		    !cJSON_AddStringToObject(one, "data", s->routes[i].data) ||
		    !cJSON_AddItemToArray(list, one)) {
			cJSON_Delete(one);
			return false;
		}
	}
	return list;
}

static bool add_text(cJSON *doc, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(doc, key, value);
}

cJSON *tv_daemon_config(const struct tv_serve *how)
{
	char commit[TV_SHA_HEX];
	tv_autojson cJSON *doc = cJSON_CreateObject();
	tv_sha_hex(&how->commit, commit);
	if (!doc || !cJSON_AddStringToObject(doc, "what", "configure") ||
	    !cJSON_AddStringToObject(doc, "commit", commit) || !add_routes(doc, how->routes) ||
	    !add_text(doc, "store", how->store) || !add_text(doc, "mountpoint", how->mountpoint) ||
	    !add_text(doc, "lease", how->lease) || !add_text(doc, "session", how->session) ||
	    !add_text(doc, "run_id", how->run_id) || !add_text(doc, "run_dir", how->run_dir) ||
	    !add_text(doc, "data_dir", how->data_dir) ||
	    !cJSON_AddBoolToObject(doc, "overlay", how->overlay >= 0) ||
	    !cJSON_AddBoolToObject(doc, "data", how->data >= 0) ||
	    !cJSON_AddBoolToObject(doc, "figures", how->figures >= 0) ||
	    !cJSON_AddBoolToObject(doc, "route_fallback", how->route_fallback) ||
	    !cJSON_AddBoolToObject(doc, "deny", how->deny_lakehouse_writes) ||
	    !cJSON_AddBoolToObject(doc, "allow_other", how->allow_other) ||
	    !cJSON_AddNumberToObject(doc, "passthrough", how->passthrough) ||
	    !cJSON_AddNumberToObject(doc, "uid", geteuid()) ||
	    !cJSON_AddNumberToObject(doc, "gid", getegid()) ||
	    !cJSON_AddNumberToObject(doc, "parent", getpid()))
		return NULL;
	return tv_steal_ptr(&doc);
}

int tv_daemon_configure(int sock, const struct tv_serve *how, struct tv_err *err)
{
	int given[] = { how->overlay, how->data, how->figures }, fds[TV_ARRAY_LEN(given)];
	unsigned n = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(given); i++)
		if (given[i] >= 0)
			fds[n++] = given[i];
	int r = tv_wire_send(sock, tv_daemon_config(how), fds, n, err);
	return r == -EPIPE ? tv_err_set(err, -EIO, "the daemon died before it was configured") : r;
}
