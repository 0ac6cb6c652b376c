"""What holds for all tests: properties are judged by their answers, never by the speed of the machine."""

from hypothesis import HealthCheck, settings

# The same examples in every run: a failure can be seen again, and a green run says the same everywhere.
settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
# For whoever wants to search longer: pytest --hypothesis-profile=search
settings.register_profile(
    "search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("project")
