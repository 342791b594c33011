"""The playground: a page on which a network is built, trained and taken apart, and every number is the engine's.

Data walks one way. A `Setup` (settings) is all that the controls say; a `Sample` (plane) is the data that it asks for;
`building` turns both into a network and a run; `Training` takes the run batch by batch; `picture`, `steps`, `explain`
and `doctor` read it. A `Session` is one tab, which answers messages with these, and `server` carries the messages.

The page in `page/` is plain JavaScript in modules without a library: a browser has all that it needs, SVG for the
edges, canvas for the maps, MathML for the formulas, WebSocket for the numbers. Nothing is compiled or downloaded.
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
