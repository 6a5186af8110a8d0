"""Kernels and the ways into them, by name; and what each is booted with."""

from tests.vm.kernels import Hooks, security_modules, ways_named


def test_lsm_is_what_the_kernel_was_built_with_and_bpf_or_not() -> None:
    """No other security module is lost."""
    config = 'CONFIG_X=y\nCONFIG_LSM="landlock,yama,bpf"\n'
    assert [security_modules(config, hooks) for hooks in Hooks] == [
        "landlock,yama,bpf",
        "landlock,yama",
    ]


def test_kernels_are_chosen_by_name() -> None:
    """A kernel stands for all ways into it."""
    assert [str(way) for way in ways_named("6.1, 5.10-stop")] == [
        "6.1-lsm",
        "6.1-fmod_ret",
        "5.10-stop",
    ]
    assert len(ways_named("")) == 5
