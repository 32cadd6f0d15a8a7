"""How often a test makes its fault: docs/reliability.md counts what is counted here.

    @pytest.mark.tries(30)  # for the table: at least so often in a run; 1 without the mark
    def test_damage(tried):
        for _ in range(30):
            ...
            tried()

The test fails where it has counted fewer.
"""

import pytest

count = pytest.StashKey[int]()


def pytest_configure(config):
    config.addinivalue_line("markers", "tries(number): how often a fault is made; support/tries.py")


@pytest.fixture
def tried(request):
    """Counts: `tried()` for one, `tried(n)` for several."""

    def add(number=1):
        request.node.stash[count] = request.node.stash.get(count, 0) + number

    return add


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if mark := item.get_closest_marker("tries"):
        made, said = item.stash.get(count, 0), mark.args[0]
        assert made >= said, f"its mark says {said} tries, and it made {made}"
    return result
