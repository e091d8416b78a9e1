"""A pytest plugin: markers the suites share, and what a skip may be.

In CI (TVFS_CI=1) a test may be skipped only for a reason that starts with "machine cannot:", such as
`pytest.skip("machine cannot: no /dev/fuse")`. Any other skip fails the run.
"""

import os

ALLOWED = "machine cannot:"


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "smoke: the few tests that are also run on a build without passthrough"
    )
    config.addinivalue_line("markers", "slow: takes more than some seconds")


def pytest_runtest_logreport(report):
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    _note(report.nodeid, reason)


def pytest_collectreport(report):
    if report.skipped:
        _note(report.nodeid, report.longrepr[2])


_bad = []


def _note(where, reason):
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED):
        _bad.append(f"{where}: {reason}")


def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("TVFS_CI") and _bad and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if os.environ.get("TVFS_CI") and _bad:
        terminalreporter.section("skipped without 'machine cannot:'", red=True)
        for line in _bad:
            terminalreporter.line(line)
