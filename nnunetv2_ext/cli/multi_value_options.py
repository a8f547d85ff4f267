"""Options that take several values, as those of nnU-Net's own commands do."""

import click


class MultiValueCommand(click.Command):
    """A command whose repeatable options may also be followed by several values: ``-c 2d 3d_fullres``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, _repeated(args, repeatable))


def _repeated(arguments: list[str], repeatable: set[str]) -> list[str]:
    """``-c a b`` as click reads it: ``-c a -c b``."""
    spread: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in repeatable else None
        elif option and spread[-1] != option:
            spread.append(option)
        spread.append(argument)
    return spread


def fold_name(text: str) -> str:
    """A fold as nnU-Net names its folder: ``all``, or a number without leading zeros.

    Raises:
        click.BadParameter: if it is neither.
    """
    if text == "all":
        return text
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number nor 'all'", param_hint="-f")
    return str(int(text))
