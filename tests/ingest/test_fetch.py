"""The batch fetch against a server that misbehaves. Time is virtual where waiting would be long."""

import email.utils
import errno
import signal
import subprocess
import time

import pytest

from ingest_support import call, clean_environment, helper
from price_server import Answer, closed_port, serving


KEY = "planted+key/0123456789"


def one(fetch, *words, **more):
    """The answer to a single request, and the summary of the run."""
    lines, _ = fetch(*words, **more)
    assert len(lines) == 2, lines
    assert lines[1]["code"] == 0, lines
    return lines


def test_many_requests_keep_to_the_hosts_limit(fetch, server):
    server.routes = {f"/{n}": Answer(str(n).encode(), delay=0.01) for n in range(40)}
    lines, _ = fetch("--host-connections", 3, "--per-second", 100000,
                     *(f"{server.base}/{n}" for n in range(40)))
    assert sorted(int(line["body"]) for line in lines[:-1]) == list(range(40))
    assert 2 <= server.most_busy <= 3
    assert all(line["tries"] == 1 and line["status"] == 200 for line in lines[:-1])


def test_requests_a_second_are_limited(server):
    server.routes = {"/a": Answer()}
    call("fetch", "--real-time", "--per-second", 50, *[f"{server.base}/a"] * 11)
    times = sorted(request.at for request in server.seen)
    assert times[-1] - times[0] >= 0.19, "ten gaps of 20 ms"


def test_two_hosts_do_not_wait_for_each_other(fetch, server):
    with serving() as other:
        server.routes = {"/a": [Answer(status=429, headers={"Retry-After": "60"}), Answer(b"slow")]}
        other.routes = {"/a": Answer(b"quick")}
        lines, _ = fetch(f"{server.base}/a", f"{other.base}/a")
    assert [line["body"] for line in lines[:-1]] == ["quick", "slow"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_passing_errors_are_tried_again(fetch, server, status):
    server.routes = {"/a": [Answer(b"no", status), Answer(b"no", status), Answer(b"yes")]}
    answer, total = one(fetch, f"{server.base}/a")
    assert (answer["body"], answer["tries"], answer["code"]) == ("yes", 3, 0)
    assert 0.7 < total["waited_s"] <= 0.8, "halves of 0.5 s and 1 s"


@pytest.mark.parametrize("status, code", [
    (500, errno.EREMOTEIO), (429, errno.EBUSY), (404, errno.ENODATA), (401, errno.EACCES),
    (403, errno.EACCES), (400, errno.EPROTO), (451, errno.EPROTO),
])
def test_errors_that_stay(fetch, server, status, code):
    server.routes = {"/x/y": Answer(b'{"why": "because"}', status)}
    answer, _ = one(fetch, "--tries", 3, f"{server.base}/x/y?apikey=planted")
    assert answer["code"] == code and answer["status"] == status
    assert answer["tries"] == (3 if status in (429, 500) else 1)
    assert f"{server.base[7:]}/x/y: HTTP {status}" in answer["error"]
    assert "planted" not in answer["error"]
    assert answer["body"] == '{"why": "because"}', "a source may say why"


def test_retry_after_in_seconds_holds_the_whole_host(fetch, server):
    server.routes = {"/a": [Answer(status=429, headers={"Retry-After": "30"}), Answer(b"a")],
                     "/b": Answer(b"b")}
    lines, _ = fetch("--host-connections", 1, f"{server.base}/a", f"{server.base}/b")
    assert {line["body"] for line in lines[:-1]} == {"a", "b"}
    assert 29 < lines[-1]["waited_s"] < 31
    assert server.paths()[0] == "/a" and sorted(server.paths()[1:]) == ["/a", "/b"]


def test_retry_after_as_a_date(fetch, server):
    when = email.utils.formatdate(time.time() + 60, usegmt=True)
    server.routes = {"/a": [Answer(status=503, headers={"Retry-After": when}), Answer(b"a")]}
    answer, total = one(fetch, f"{server.base}/a")
    assert answer["body"] == "a" and 50 < total["waited_s"] <= 61


def test_retry_after_that_is_too_long_fails_at_once(fetch, server):
    server.routes = {"/a": Answer(status=429, headers={"Retry-After": "86400"})}
    answer, total = one(fetch, "--retry-after-max-s", 60, f"{server.base}/a")
    assert answer["code"] == errno.EBUSY and "asks to wait 86400 s" in answer["error"]
    assert len(server.seen) == 1 and total["waited_s"] == 0


def test_a_truncated_answer_is_tried_again(fetch, server):
    server.routes = {"/a": [Answer(b'{"a": 1}', cut=4), Answer(b'{"a": 1}')]}
    answer, _ = one(fetch, f"{server.base}/a")
    assert answer["body"] == '{"a": 1}' and answer["tries"] == 2


def test_an_answer_that_stays_truncated(fetch, server):
    server.routes = {"/a": Answer(b'{"a": 1}', cut=4)}
    answer, _ = one(fetch, "--tries", 2, f"{server.base}/a")
    assert answer["code"] == errno.ECONNABORTED and answer["len"] <= 4


def test_a_body_that_is_not_what_it_should_be_is_tried_again(fetch, server):
    server.routes = {"/a": [Answer(b'{"a": '), Answer(b"{}")], "/b": Answer(b"{")}
    lines, _ = fetch("--json", "--tries", 3, f"{server.base}/a", f"{server.base}/b")
    bodies = {line["address"][-2:]: (line["body"], line["tries"]) for line in lines[:-1]}
    assert bodies == {"/a": ("{}", 2), "/b": ("{", 3)}


def test_a_slow_answer_ends_at_its_deadline(fetch, server):
    server.routes = {"/a": [Answer(delay=20), Answer(b"now")]}
    answer, _ = one(fetch, "--request-ms", 200, f"{server.base}/a")
    assert answer["body"] == "now" and answer["tries"] == 2


def test_the_deadline_of_the_whole(fetch, server):
    server.routes = {"/a": Answer(status=500), "/b": Answer(b"b")}
    lines, _ = fetch("--total-ms", 2000, "--tries", 100, f"{server.base}/a", f"{server.base}/b")
    answers = {line["address"][-2:]: line for line in lines[:-1]}
    assert answers["/b"]["code"] == 0
    assert answers["/a"]["code"] == errno.EREMOTEIO and "deadline of the whole" in answers["/a"]["error"]
    assert lines[-1]["waited_s"] < 2


def test_requests_that_never_got_their_turn_are_told(fetch, server):
    server.routes = {"/a": Answer(delay=0.05)}
    lines, _ = fetch("--total-ms", 300, "--host-connections", 1, "--request-ms", 5000,
                     *[f"{server.base}/a"] * 30)
    assert len(lines) == 31, "each has its answer"
    codes = {line["code"] for line in lines[:-1]}
    assert codes == {0, errno.ETIMEDOUT}
    assert any("before it was asked for" in line["error"] for line in lines[:-1])


@pytest.mark.parametrize("answer", [
    Answer(b"x" * 65536, endless=True),
    Answer(b"x" * 100001),
    Answer(b"x", declared=1 << 40),
    Answer(b"0" * (1 << 24), gzipped=True),
], ids=["endless", "large", "declared", "bomb"])
def test_bodies_have_a_limit(fetch, server, answer):
    server.routes = {"/a": answer}
    words = ["--request-ms", 2000] if answer.declared else []
    got, _ = one(fetch, "--tries", 1, "--body-max", 100000, *words, f"{server.base}/a")
    if not answer.declared:
        assert got["code"] == errno.EFBIG and "more than 100000 bytes" in got["error"]
    else:
        assert got["code"] == errno.ECONNABORTED
    assert got["len"] <= 1


def test_gzip_is_asked_for_and_decoded(fetch, server):
    server.routes = {"/a": Answer(b"prices" * 100, gzipped=True)}
    answer, _ = one(fetch, f"{server.base}/a")
    assert answer["body"] == "prices" * 100
    assert server.seen[0].headers["Accept-Encoding"] == "gzip"
    assert "Cookie" not in server.seen[0].headers


def test_cookies_are_not_kept(fetch, server):
    server.routes = {"/a": [Answer(status=500, headers={"Set-Cookie": "id=1; Path=/"}), Answer()]}
    one(fetch, f"{server.base}/a")
    assert len(server.seen) == 2 and "Cookie" not in server.seen[1].headers


def test_a_redirect_on_the_same_host_is_followed(fetch, server):
    server.routes = {"/a": Answer(status=302, headers={"Location": "/b?x=1"}), "/b": Answer(b"there")}
    answer, _ = one(fetch, f"{server.base}/a")
    assert answer["body"] == "there" and answer["tries"] == 1
    assert server.seen[1].query == {"x": "1"}


def test_a_redirect_loop_ends(fetch, server):
    server.routes = {"/a": Answer(status=302, headers={"Location": "/a"})}
    answer, _ = one(fetch, f"{server.base}/a")
    assert answer["code"] == errno.EPROTO and "more than 3 redirects" in answer["error"]
    assert len(server.seen) == 4


def test_a_redirect_to_another_host_is_refused(fetch, server):
    with serving() as other:
        other.routes = {"/a": Answer(b"stolen")}
        server.routes = {"/a": Answer(status=307, headers={"Location": f"{other.base}/a"})}
        answer, _ = one(fetch, "--header", "X-Key: planted", f"{server.base}/a")
        assert answer["code"] == errno.EXDEV and "another host" in answer["error"]
        assert other.seen == []


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x",
                                    "http://user:planted@127.0.0.1/a"])
def test_a_redirect_to_another_protocol_is_refused(fetch, server, target):
    server.routes = {"/a": Answer(b"", 302, headers={"Location": target})}
    answer, _ = one(fetch, f"{server.base}/a")
    assert answer["code"] == errno.EXDEV and answer["len"] == 0 and len(server.seen) == 1
    assert "planted" not in answer["error"]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/", "http://a:b@127.0.0.1/",
                                 "nonsense with spaces", "dict://127.0.0.1/"])
def test_urls_that_are_refused(fetch, url):
    lines, _ = fetch(url, status=1)
    assert lines[-1]["code"] == errno.EINVAL


def test_nobody_listens(fetch):
    answer, _ = one(fetch, "--tries", 2, f"http://127.0.0.1:{closed_port()}/a")
    assert answer["code"] == errno.ECONNABORTED and answer["tries"] == 2 and answer["status"] == 0


def test_a_certificate_nobody_vouches_for(fetch, tmp_path):
    pem = tmp_path / "own.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out",
                    tmp_path / "certificate"], check=True, capture_output=True, timeout=60)
    pem.write_text(pem.read_text() + (tmp_path / "certificate").read_text())
    with serving(pem) as secure:
        secure.routes = {"/a": Answer(b"prices")}
        answer, _ = one(fetch, "--key-env", "PLANTED", "--header", "X-Key: {key}", f"{secure.base}/a",
                        env={"PLANTED": KEY})
        assert answer["code"] == errno.EPROTO and answer["tries"] == 1 and answer["len"] == 0
        assert "certificate" in answer["error"] and secure.seen == []


def test_https_never_falls_back_to_plain_text(fetch, server):
    answer, _ = one(fetch, "--tries", 1, server.base.replace("http", "https") + "/a")
    assert answer["code"] != 0 and server.seen == []


@pytest.mark.parametrize("words", [
    ["{base}/a?apikey={{key}}"],
    ["{base}/{{key}}/a"],
    ["--header", "X-Key: {{key}}", "{base}/a"],
])
def test_keys_are_sent_and_never_shown(fetch, server, words):
    server.routes = {"/a": Answer(b"", 500)}
    words = [word.format(base=server.base) for word in words]
    lines, printed = fetch("--tries", 2, "--key-env", "PLANTED", *words, env={"PLANTED": KEY})
    sent = server.seen[0]
    assert KEY in (sent.query.get("apikey"), sent.headers.get("X-Key")) or "planted%2B" in sent.path
    assert lines[0]["code"] != 0
    assert KEY not in printed and "planted" not in printed, printed


def test_a_key_does_not_travel_in_plain_text(fetch):
    lines, printed = fetch("--key-env", "PLANTED", "http://prices.invalid/?k={key}", status=1,
                           env={"PLANTED": KEY})
    assert "without encryption" in lines[-1]["error"] and KEY not in printed


def test_a_name_that_only_looks_like_this_machine(fetch):
    lines, _ = fetch("--key-env", "PLANTED", "http://127.0.0.1.invalid/?k={key}", status=1,
                     env={"PLANTED": KEY})
    assert "without encryption" in lines[-1]["error"]


def test_cancelling(fetch, server):
    server.routes = {"/a": Answer()}
    lines, _ = fetch("--host-connections", 1, "--stop-after", 3, *[f"{server.base}/a"] * 20,
                     status=130)
    assert lines[-1]["code"] == errno.EINTR and 3 <= len(lines) - 1 < 20


def test_the_helper_dies_of_a_signal_while_it_waits(server):
    """Nothing in the library holds signals back."""
    server.routes = {"/a": Answer(delay=20)}
    with subprocess.Popen([helper("fetch"), "--real-time", f"{server.base}/a"],
                          stdout=subprocess.DEVNULL, env=clean_environment()) as process:
        until = time.monotonic() + 10
        while not server.seen and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
