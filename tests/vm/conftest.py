"""What of this layer runs each time: the tests inside, and not those that are about VMs."""

from tests.vm.chosen import ALL

collect_ignore = (
    [] if ALL else ["test_audit.py", "test_machine.py", "test_soak.py", "test_suite.py"]
)
