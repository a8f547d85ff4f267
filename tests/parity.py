"""Our ports of the published implementations under their published names, for comparison with golden vectors.

``build(name, config)`` gives our module for a published one, ``key(name, official_key)`` our state-dict key, a list of them, or
None where ours has no such tensor. The ports are in ``tests/ports``, one module per publication.
"""

from torch import nn

from tests.ports import ege, mca, medt, seeds

PORTS = {**ege.PORTS, **mca.PORTS, **medt.PORTS, **seeds.PORTS}


def build(name: str, config: dict) -> nn.Module | None:
    """Our module for the published one with these published arguments, or None if there is no port."""
    return PORTS[name].build(**config) if name in PORTS else None


def key(name: str, official_key: str) -> str | list[str] | None:
    """Our state-dict key for the published one."""
    return PORTS[name].key(official_key)


def build_fast(name: str, config: dict) -> nn.Module | None:
    """The same with activations recomputed (``recompute="selective"``)."""
    return _with_recompute(build(name, config), "selective")


def build_frugal(name: str, config: dict) -> nn.Module | None:
    """The same with whole blocks recomputed (``recompute="full"``)."""
    return _with_recompute(build(name, config), "full")


def _with_recompute(module: nn.Module | None, mode: str) -> nn.Module | None:
    for part in module.modules() if module is not None else ():
        if hasattr(part, "recompute"):
            part.recompute = mode
    return module
