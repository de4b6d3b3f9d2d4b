"""A fleet of one device, and the verbs that give it orders."""

from __future__ import annotations

import asyncio
import json

import pytest

from edgeconsole.cli import main


@pytest.fixture
def fleet_file(tmp_path):
    """Return a function that writes the file of a fleet of one device, by its folder and its port."""

    def write(home, port):
        file = tmp_path / "fleet.toml"
        file.write_text(
            'history = "h.db"\nstale_after_s = 30.0\ngone_after_s = 60.0\n'
            f'[[devices]]\nid = "dev-1"\nurl = "ws://127.0.0.1:{port}"\n'
            f'token_file = "{home}/state/token"\n'
        )
        return file

    return write


@pytest.fixture
def run(fleet, capsys):
    """Return a function that runs a verb on the test's fleet and returns its exit code and its JSON."""

    async def verb(*arguments):
        code = await asyncio.to_thread(main, [*arguments, "--json", "--fleet", str(fleet[1])])
        return code, json.loads(capsys.readouterr().out)

    return verb
