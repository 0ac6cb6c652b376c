"""What holds for all tests: properties are judged by their answers, and on CI everything runs or the run has failed."""

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run: a failure can be seen again, and a green run says the same everywhere.
settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
# For whoever wants to search longer: pytest --hypothesis-profile=search
settings.register_profile(
    "search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("project")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """On CI a skipped part is a failure: what was not run was not shown."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter is not None else 0
    if reporter is not None and skipped and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{skipped} tests were skipped; on CI that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
