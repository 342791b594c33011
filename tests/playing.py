"""A playground server in a thread, for tests."""

from contextlib import contextmanager
from threading import Thread
from time import sleep

from chainrule.app.playground.server import listen, server


@contextmanager
def served(token="token", port=None):
    """Serve the playground; yield its address. At the end the server has stopped."""
    listener = listen(port)
    running = server(token, listener)
    thread = Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not running.started:
            sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
    finally:
        running.should_exit = True
        thread.join()
        listener.close()
