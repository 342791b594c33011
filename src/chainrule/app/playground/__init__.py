"""The playground: a page to build, train and inspect a network. Every number on it is computed by chainrule.

Data flows one way. A `Setup` (settings) holds the state of all controls, a `Sample` (plane) the data for it; `building`
turns both into a network and a run, and `Training` executes the run batch by batch. `picture`, `steps`, `explain` and
`doctor` read the training. A `Session` is one tab: it answers messages with these. `server` transports the messages.

The page in `page/` is plain JavaScript in modules, without a library: browsers have all it needs, SVG for the edges,
canvas for the maps, MathML for the formulas, a WebSocket for the numbers. Nothing is compiled or downloaded.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from chainrule.errors import MissingExtraError

if TYPE_CHECKING:
    from chainrule.app.options import PlaygroundOptions


def run(options: "PlaygroundOptions") -> None:
    """Serve the playground until Ctrl-C."""
    for package in ("starlette", "uvicorn", "websockets"):
        if find_spec(package) is None:
            raise MissingExtraError("the playground", "playground")
    from chainrule.app.playground.server import serve

    serve(options.port, options.lesson, options.browser)
