"""The root command: global options, the table of commands, errors and exit codes."""

from __future__ import annotations

import click

from . import render
from .exits import FAILED, INTERRUPTED, guarded
from .lazy import DockerCommand, Entry, LazyGroup
from .quick import COMPLETION
from .target import Target

COMMANDS = {
    "run": Entry("run:run", "Create and run a new container from an image"),
    "exec": Entry("execs:exec_", "Run a command in a running container"),
    "ps": Entry("ps:ps", "List containers"),
    "logs": Entry("logs:logs", "Show what a container wrote"),
    "create": Entry("run:create", "Create a container without starting it"),
    "start": Entry("start:start", "Start one or more stopped containers"),
    "attach": Entry("start:attach", "Connect the terminal to a running container"),
    "stop": Entry("containers:stop", "Stop one or more running containers"),
    "restart": Entry("containers:restart", "Restart one or more containers"),
    "kill": Entry("containers:kill", "Send a signal to one or more containers"),
    "pause": Entry("alter:pause", "Stop all processes of containers where they are"),
    "unpause": Entry("alter:unpause", "Let paused containers go on"),
    "wait": Entry("containers:wait", "Wait until containers stop, then print their exit codes"),
    "rm": Entry("containers:rm", "Remove one or more containers"),
    "rename": Entry("alter:rename", "Give a container another name"),
    "update": Entry("alter:update", "Change limits and restart policy of containers"),
    "cp": Entry("cp:cp", "Copy files between a container and here"),
    "diff": Entry("look:diff", "Show which files a container changed"),
    "port": Entry("look:port", "Show where a container's ports are reached"),
    "top": Entry("look:top", "Show the processes of a container"),
    "stats": Entry("stats:stats", "Show what containers use"),
    "inspect": Entry("inspect:inspect", "Show everything about containers, images, networks, volumes"),
    "images": Entry("images:images", "List images"),
    "load": Entry("images:load", "Load images from an archive or stdin"),
    "save": Entry("making:save", "Write images as an archive"),
    "commit": Entry("making:commit", "Make an image of a container's files"),
    "export": Entry("making:export", "Write a container's files as a tar archive"),
    "import": Entry("making:import_", "Make an image of a tar archive of files"),
    "history": Entry("history:history", "Show how an image was made"),
    "tag": Entry("images:tag", "Give an image another name"),
    "rmi": Entry("images:rmi", "Remove one or more images"),
    "events": Entry("system:events", "Follow what happens in the engine"),
    "info": Entry("info:info", "Show numbers and abilities of the engine"),
    "version": Entry("system:version", "Show the versions of atoll and its engine"),
    "container": Entry("groups:container", "Manage containers"),
    "image": Entry("groups:image", "Manage images"),
    "volume": Entry("groups:volume", "Manage volumes"),
    "network": Entry("groups:network", "Manage networks"),
    "system": Entry("groups:system", "Manage the engine as a whole: df, prune ..."),
    "context": Entry("groups:context", "Manage Docker's contexts"),
    "machine": Entry("machine:machine_group", "Manage the machines that containers run in"),
    "doctor": Entry("doctor:doctor", "Check this computer for what atoll needs"),
    "completion": Entry("completion:completion", "Print the completion script for a shell"),
}

EXAMPLES = """\b
Examples:
  atoll run --rm atoll/base echo hello      run a command in a new container
  atoll run --rm -it atoll/base sh          the same, interactively
  atoll run -d --name web -m 256m IMAGE     in the background, with 256 MiB
  atoll exec -it web sh                     look into it
  atoll logs -f web                         follow its output
  eval "$(atoll machine env)"; docker ps    use other Docker clients
"""


@click.command(cls=LazyGroup, table=COMMANDS, epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.option(
    "--machine",
    envvar="ATOLL_MACHINE",
    default="default",
    metavar="NAME",
    help="Machine to use.",
    show_default=True,
    show_envvar=True,
)
@click.option(
    "--driver",
    envvar="ATOLL_DRIVER",
    type=click.Choice(["qemu", "native"]),
    help="How to run the engine of a new machine: in QEMU, or straight on this Linux host as root.",
    show_envvar=True,
)
@click.option(
    "-H",
    "--host",
    envvar="ATOLL_HOST",
    metavar="ADDRESS",
    help="Speak to the engine at this address instead of a machine's (unix://, tcp://, npipe://).",
    show_envvar=True,
)
@click.pass_context
def root(ctx: click.Context, machine: str, driver: str | None, host: str | None) -> None:
    """Linux containers on any computer.

    Atoll runs containers in a lightweight QEMU machine. `atoll run` makes and starts the machine when there is none;
    commands and flags are spelled as Docker's.
    """
    target = Target(machine=machine, driver=driver, host=host)
    ctx.obj = target
    ctx.call_on_close(target.close)


def run(args: list[str]) -> int:
    """Run the command line; returns its exit code, having said what went wrong."""
    return guarded(lambda: _run(args))


def _run(args: list[str]) -> int:
    try:
        # Not standalone: click would print and exit itself, with codes that are not Docker's.
        result = root.main(args=args, prog_name="atoll", standalone_mode=False, complete_var=COMPLETION)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit as error:  # click's completion leaves this way
        return error.code if isinstance(error.code, int) else 0
    except click.UsageError as error:
        return _tell_usage(error)
    except click.ClickException as error:
        render.fail(_lower(error.format_message()))
        return FAILED
    except click.Abort:
        return INTERRUPTED


def _tell_usage(error: click.UsageError) -> int:
    command = error.ctx.command if error.ctx else None
    path = error.ctx.command_path if error.ctx else "atoll"
    render.fail(_lower(error.format_message()), f"see `{path} --help`")
    return command.failure_code if isinstance(command, DockerCommand) else error.exit_code


def _lower(text: str) -> str:
    """Messages begin in lower case and end without a full stop, click's own too."""
    message = text.rstrip(".")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
