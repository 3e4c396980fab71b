"""The groups by noun: `atoll container ls` is `atoll ps`, `atoll image rm` is `atoll rmi`, and so on, as Docker's."""

from __future__ import annotations

from .lazy import Entry, LazyGroup

CONTAINER = {
    "attach": Entry("start:attach", "Connect the terminal to a running container"),
    "commit": Entry("making:commit", "Make an image of a container's files"),
    "cp": Entry("cp:cp", "Copy files between a container and here"),
    "create": Entry("run:create", "Create a container without starting it"),
    "diff": Entry("look:diff", "Show which files a container changed"),
    "exec": Entry("execs:exec_", "Run a command in a running container"),
    "export": Entry("making:export", "Write a container's files as a tar archive"),
    "inspect": Entry("inspect:inspect_containers", "Show everything about containers"),
    "kill": Entry("containers:kill", "Send a signal to one or more containers"),
    "logs": Entry("logs:logs", "Show what a container wrote"),
    "ls": Entry("ps:ps", "List containers"),
    "list": Entry("ps:ps", "List containers", hidden=True),
    "ps": Entry("ps:ps", "List containers", hidden=True),
    "pause": Entry("alter:pause", "Stop all processes of containers where they are"),
    "port": Entry("look:port", "Show where a container's ports are reached"),
    "prune": Entry("prune:containers", "Remove all containers that do not run"),
    "rename": Entry("alter:rename", "Give a container another name"),
    "restart": Entry("containers:restart", "Restart one or more containers"),
    "rm": Entry("containers:rm", "Remove one or more containers"),
    "remove": Entry("containers:rm", "Remove one or more containers", hidden=True),
    "run": Entry("run:run", "Create and run a new container from an image"),
    "start": Entry("start:start", "Start one or more stopped containers"),
    "stats": Entry("stats:stats", "Show what containers use"),
    "stop": Entry("containers:stop", "Stop one or more running containers"),
    "top": Entry("look:top", "Show the processes of a container"),
    "unpause": Entry("alter:unpause", "Let paused containers go on"),
    "update": Entry("alter:update", "Change limits and restart policy of containers"),
    "wait": Entry("containers:wait", "Wait until containers stop, then print their exit codes"),
}
IMAGE = {
    "history": Entry("history:history", "Show how an image was made"),
    "import": Entry("making:import_", "Make an image of a tar archive of files"),
    "inspect": Entry("inspect:inspect_images", "Show everything about images"),
    "load": Entry("images:load", "Load images from an archive or stdin"),
    "ls": Entry("images:images", "List images"),
    "list": Entry("images:images", "List images", hidden=True),
    "prune": Entry("prune:images", "Remove images that nothing needs"),
    "rm": Entry("images:rmi", "Remove one or more images"),
    "remove": Entry("images:rmi", "Remove one or more images", hidden=True),
    "save": Entry("making:save", "Write images as an archive"),
    "tag": Entry("images:tag", "Give an image another name"),
}
VOLUME = {
    "create": Entry("volumes:create", "Create a volume"),
    "inspect": Entry("volumes:inspect", "Show everything about volumes"),
    "ls": Entry("volumes:ls", "List volumes"),
    "list": Entry("volumes:ls", "List volumes", hidden=True),
    "prune": Entry("prune:volumes", "Remove volumes that no container uses"),
    "rm": Entry("volumes:rm", "Remove one or more volumes"),
    "remove": Entry("volumes:rm", "Remove one or more volumes", hidden=True),
}
NETWORK = {
    "connect": Entry("networks:connect", "Let a container join a network"),
    "create": Entry("networks:create", "Create a network"),
    "disconnect": Entry("networks:disconnect", "Let a container leave a network"),
    "inspect": Entry("networks:inspect", "Show everything about networks"),
    "ls": Entry("networks:ls", "List networks"),
    "list": Entry("networks:ls", "List networks", hidden=True),
    "prune": Entry("prune:networks", "Remove networks that nobody is in"),
    "rm": Entry("networks:rm", "Remove one or more networks"),
    "remove": Entry("networks:rm", "Remove one or more networks", hidden=True),
}
SYSTEM = {
    "df": Entry("df:df", "Show what takes room on the disk"),
    "events": Entry("system:events", "Follow what happens in the engine"),
    "info": Entry("info:info", "Show numbers and abilities of the engine"),
    "prune": Entry("prune:system", "Remove what nothing needs"),
}
CONTEXT = {
    "create": Entry("contexts:create", "Make a context, of a machine or of an address"),
    "export": Entry("contexts:export", "Write a context as a tar archive"),
    "import": Entry("contexts:import_", "Make a context of such an archive"),
    "inspect": Entry("contexts:inspect", "Show everything about contexts"),
    "ls": Entry("contexts:ls", "List contexts"),
    "list": Entry("contexts:ls", "List contexts", hidden=True),
    "rm": Entry("contexts:rm", "Remove one or more contexts"),
    "remove": Entry("contexts:rm", "Remove one or more contexts", hidden=True),
    "show": Entry("contexts:show", "Print the name of the current context"),
    "update": Entry("contexts:update", "Change a context"),
    "use": Entry("contexts:use", "Choose the context that docker uses"),
}

container = LazyGroup("container", table=CONTAINER, help="Manage containers.")
image = LazyGroup("image", table=IMAGE, help="Manage images.")
volume = LazyGroup("volume", table=VOLUME, help="Manage volumes.")
network = LazyGroup("network", table=NETWORK, help="Manage networks.")
system = LazyGroup("system", table=SYSTEM, help="Manage the engine as a whole.")
context = LazyGroup(
    "context",
    table=CONTEXT,
    help="Manage Docker's contexts: which engine the docker command speaks to.",
    epilog="""\b
Examples:
  atoll context create dev            a context for the machine "dev", or the default one
  atoll context use dev; docker ps    the docker command speaks to it from now on
  atoll context use default           and no longer
""",
)
