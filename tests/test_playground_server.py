"""The playground's server and command: who may come in, what a tab gets, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chainrule.app import commands, playground
from chainrule.app.playground import frames
from chainrule.app.playground import server as server_module
from playing import served


@pytest.fixture(scope="module")
def address():
    with served() as address:
        yield address


def tab(address, origin=None, **options):
    """Connect as the page of this address does."""
    socket = address.replace("http", "ws") + "socket"
    return connect(socket, origin=origin or re.match(r"http://[^/]+", address)[0], max_size=None, **options)


def read(connection, kind):
    """Return the next message of a type."""
    while True:
        message = connection.recv(timeout=60)
        header = json.loads(message) if isinstance(message, str) else frames.decode(message)[0]
        if header["type"] == kind:
            return header


def sessions():
    return [thread for thread in threading.enumerate() if thread.name == "playground session"]


def test_the_page_and_its_modules_are_served(address):
    with urlopen(address) as answer:
        page = answer.read().decode()
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert loaded
    assert not [link for link in loaded if ":" in link], "nothing comes from the network"
    for link in loaded:
        with urlopen(address + link) as answer:
            assert answer.status == 200
            imported = re.findall(r'from "\./([^"]+)"', answer.read().decode())
        for module in imported:
            with urlopen(address + module) as answer:
                assert "javascript" in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("wrong/", {}),
        ("", {}),
        ("token", {}),
        ("token/", {"Host": "evil.example"}),
        ("token/", {"Origin": "http://evil.example"}),
    ],
    ids=["wrong token", "no token", "no slash", "wrong host", "wrong origin"],
)
def test_others_are_refused(address, path, headers):
    with pytest.raises(HTTPError) as error:
        urlopen(Request(address.replace("token/", path), headers=headers))
    assert error.value.code == 403
    error.value.close()


def test_other_pages_get_no_session(address):
    n = len(sessions())
    with pytest.raises(InvalidStatus):
        tab(address, origin="http://evil.example")
    with pytest.raises(InvalidStatus):
        tab(address.replace("token", "other"))
    assert len(sessions()) == n


def test_files_outside_the_page_are_not_served(address):
    for path in ("../session.py", "%2e%2e/session.py", "../../../__init__.py"):
        with pytest.raises(HTTPError) as error:
            urlopen(address + path)
        assert error.value.code in (403, 404)
        error.value.close()


def test_each_tab_has_a_session_that_ends_with_it(address):
    n = len(sessions())
    with tab(address) as first, tab(address) as second:
        for connection in (first, second):
            connection.send('{"type": "open"}')
            assert read(connection, "hello")["lessons"]
            read(connection, "frame")
        first.send('{"type": "set", "changes": {"data": "xor"}}')
        assert read(first, "setup")["setup"]["data"] == "xor"
        first.send('{"type": "ack"}')
        second.send('{"type": "play"}')
        second.send('{"type": "ack"}')
        assert read(second, "frame")["steps"] > 0
        assert read(first, "frame")["steps"] == 0
        assert len(sessions()) == n + 2
        ended = sessions()
    for thread in ended:
        thread.join(timeout=60)
    assert len(sessions()) == n


def test_the_server_answers_while_tabs_train(address):
    with tab(address) as connection:
        connection.send(json.dumps({"type": "open", "link": "layers=16,16,16&batch=1"}))
        connection.send('{"type": "play"}')
        with tab(address) as other:
            other.send('{"type": "open"}')
            assert read(other, "hello")
        connection.send('{"type": "pause"}')
        assert read(connection, "findings") is not None


# The command.


def test_it_ends_quietly_with_ctrl_c():
    command = [sys.executable, "-m", "chainrule", "playground", "--no-browser", "--lesson", "xor"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        line, hint = process.stdout.readline(), process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/\S+/\?lesson=xor$", line)[0]
        with urlopen(address) as answer, tab(address.partition("?")[0]) as connection:
            assert answer.status == 200
            connection.send('{"type": "open"}')
            read(connection, "hello")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == ""
    assert (hint, out) == ("Press Ctrl-C to stop.\n", "")


def run(*arguments):
    return CliRunner().invoke(commands.app, ["playground", *arguments])


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(playground, "find_spec", lambda package: None if package == "uvicorn" else package)
    done = run("--no-browser")
    assert done.exit_code == 2
    assert "pip install 'chainrule[playground]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lesson", "xorr"], "--lesson must be one of .* got 'xorr'. Did you mean 'xor'?"),
        (["--port", "0"], "--port must be a port from 1 to 65535, got 0"),
        (["--port", "x"], "--port must be a port from 1 to 65535, got 'x'"),
    ],
)
def test_wrong_options_are_refused(arguments, message):
    done = run("--no-browser", *arguments)
    assert done.exit_code == 2
    assert re.search(message, done.stderr)


def test_a_port_in_use_is_refused(address):
    port = re.search(r":(\d+)/", address)[1]
    done = run("--no-browser", "--port", port)
    assert done.exit_code == 2
    assert f"--port must be a free port, got {port}" in done.stderr


def test_the_browser_gets_the_address(monkeypatch):
    opened = []
    monkeypatch.setattr(server_module, "server", lambda token, listener: Ending())
    server_module.serve(None, None, browser=True, opening=opened.append)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\S{20,}/", opened[0])


class Ending:
    """A server that Ctrl-C ends at once."""

    def run(self, sockets):
        sockets[0].close()
        raise KeyboardInterrupt
