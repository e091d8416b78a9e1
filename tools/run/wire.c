#include "tools/run/wire.h"

#include <string.h>
#include <sys/socket.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"

/* The longest message: the settings' routes and a few paths. Below the sockets' default buffer. */
#define WIRE_MAX 131072

int tv_wire_pair(int pair[2], struct tv_err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return tv_err_sys(err, -errno, "cannot make a pair of sockets");
	return 0;
}

static int send_bytes(int sock, const char *text, size_t n, const int *fds, unsigned n_fds)
{
	union {
		char bytes[CMSG_SPACE(TV_WIRE_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { .iov_base = (char *)(uintptr_t)text, .iov_len = n };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

	if (n_fds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&m);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(head), fds, n_fds * sizeof(int));
	}
	ssize_t sent;
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int tv_wire_send(int sock, cJSON *doc, const int *fds, unsigned n_fds, struct tv_err *err)
{
	tv_autojson cJSON *own = doc;
	tv_autofree char *text = own ? cJSON_PrintUnformatted(own) : NULL;
	if (!text)
		return tv_err_nomem(err);
	size_t n = strlen(text);
	if (n > WIRE_MAX || n_fds > TV_WIRE_FDS)
		return tv_err_set(err, -EMSGSIZE, "a message of %zu bytes is too long", n);
	int r = send_bytes(sock, text, n, fds, n_fds);
	if (r == -ECONNRESET)
		r = -EPIPE;
	return r < 0 ? tv_err_sys(err, r, "cannot talk to another process of the run") : 0;
}

int tv_wire_tell(int sock, const char *what, const char *key, const char *value, struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (!doc || !cJSON_AddStringToObject(doc, "what", what) ||
	    (key && !cJSON_AddStringToObject(doc, key, value)))
		return tv_err_nomem(err);
	return tv_wire_send(sock, tv_steal_ptr(&doc), NULL, 0, err);
}

int tv_wire_send_error(int sock, const struct tv_err *what, struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (!doc || !cJSON_AddStringToObject(doc, "what", "error") ||
	    !cJSON_AddNumberToObject(doc, "code", -what->code) ||
	    !cJSON_AddStringToObject(doc, "text", what->text))
		return tv_err_nomem(err);
	return tv_wire_send(sock, tv_steal_ptr(&doc), NULL, 0, err);
}

int tv_wire_error(const struct tv_wire_message *m, struct tv_err *err)
{
	int code = -(int)tv_wire_number(m, "code");
	return tv_err_set(err, code < 0 ? code : -EIO, "%s", tv_wire_text(m, "text"));
}

static void take_fds(struct msghdr *m, struct tv_wire_message *out)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		unsigned n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(out->fds, CMSG_DATA(h), n * sizeof(int));
		out->n_fds = n;
	}
}

int tv_wire_receive(int sock, struct tv_wire_message *out, struct tv_err *err)
{
	union {
		char bytes[CMSG_SPACE(TV_WIRE_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	tv_autofree char *text = malloc(WIRE_MAX + 1);
	if (!text)
		return tv_err_nomem(err);
	struct iovec part = { .iov_base = text, .iov_len = WIRE_MAX };
	struct msghdr m = { .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	/* ECONNRESET: the other side closed without having read everything from us. It is told once;
	 * what the other side said before comes after it. */
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n == 0)
		return 0;
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot hear another process of the run");

	tv_autowire struct tv_wire_message got = TV_WIRE_INIT;
	take_fds(&m, &got);
	text[n] = '\0';
	int r = tv_json_parse(text, (size_t)n, &got.doc, err);
	if (r < 0)
		return tv_err_wrap(err, r, "a message between processes of the run");
	*out = got;
	got = (struct tv_wire_message)TV_WIRE_INIT;
	return 1;
}

int tv_wire_expect(int sock, const char *what, struct tv_wire_message *out, struct tv_err *err)
{
	tv_autowire struct tv_wire_message got = TV_WIRE_INIT;
	int r = tv_wire_receive(sock, &got, err);
	if (r < 0)
		return r;
	if (r == 0)
		return tv_err_set(err, -EPIPE, "another process of the run is gone");
	if (tv_wire_is(&got, "error"))
		return tv_wire_error(&got, err);
	if (!tv_wire_is(&got, what))
		return tv_err_set(err, -EPROTO, "'%s' came where '%s' was expected",
				  tv_wire_text(&got, "what"), what);
	if (out) {
		*out = got;
		got = (struct tv_wire_message)TV_WIRE_INIT;
	}
	return 0;
}

void tv_wire_clear(struct tv_wire_message *m)
{
	cJSON_Delete(m->doc);
	for (unsigned i = 0; i < m->n_fds; i++)
		tv_close_p(&m->fds[i]);
	*m = (struct tv_wire_message)TV_WIRE_INIT;
}

bool tv_wire_is(const struct tv_wire_message *m, const char *what)
{
	return strcmp(tv_wire_text(m, "what"), what) == 0;
}

const char *tv_wire_text(const struct tv_wire_message *m, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(m->doc, key);
	return cJSON_IsString(item) ? item->valuestring : "";
}

double tv_wire_number(const struct tv_wire_message *m, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(m->doc, key);
	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}
