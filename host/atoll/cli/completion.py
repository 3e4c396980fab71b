"""`atoll completion`."""

from __future__ import annotations

import click

from .lazy import DockerCommand
from .render import out

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=DockerCommand)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes atoll's commands and flags in a shell.

    \b
    bash:  atoll completion bash > ~/.local/share/bash-completion/completions/atoll
    zsh:   atoll completion zsh > "${fpath[1]}/_atoll"
    fish:  atoll completion fish > ~/.config/fish/completions/atoll.fish
    """
    from click.shell_completion import get_completion_class

    from .app import root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    out(_without_check(kind)(root, {}, "atoll", "_ATOLL_COMPLETE").source())


def _without_check(kind: type) -> type:
    """Click asks the installed bash for its version before it prints the script; the script may be for elsewhere."""
    return type(kind.__name__, (kind,), {"_check_version": staticmethod(lambda: None)})
