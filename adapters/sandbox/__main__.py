"""`python -m adapters.sandbox`: the exchange on its own, for any client of the protocol."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from adapters.sandbox.account_settings import account_from
from adapters.sandbox.config import SandboxConfig, parse_instance
from adapters.sandbox.protocols import LOOPBACK
from adapters.sandbox.server import SandboxServer
from domain.errors import TomicError

EXIT_FAULT = 2


def main(arguments: list[str] | None = None) -> int:
    """Serves until Ctrl-C or SIGTERM; 2 when a setting or a port is wrong."""
    try:
        server = SandboxServer(_configuration(arguments))
    except TomicError as fault:
        sys.stderr.write(f"sandbox: {fault}\n")
        return EXIT_FAULT
    asyncio.run(_serve(server))
    return 0


async def _serve(server: SandboxServer) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.serve(lambda: _introduce(server))


def _introduce(server: SandboxServer) -> None:
    lines = [
        f"{name}: {address.rest_url} {address.websocket_url}"
        for name, address in server.addresses.items()
    ]
    lines.append(f"control: http://{LOOPBACK}:{server.control_port}")
    if server.market.always_open:
        lines.append("always open: market hours and square-off are ignored")
    lines += [f"derived: {name}" for name in server.market.source.derived]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _configuration(arguments: list[str] | None) -> SandboxConfig:
    parser = argparse.ArgumentParser(prog="python -m adapters.sandbox", description=__doc__)
    parser.add_argument(
        "--instance", action="append", required=True, metavar="NAME:REST:WS[:KEY]",
        help="a broker's instance; port 0 takes a free one; without KEY the environment's",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=7, help="of the generated prices")
    parser.add_argument("--scenario", default="calm", help="how generated prices behave")
    parser.add_argument(
        "--replay", type=Path, help="a recorded session instead of generated prices"
    )
    parser.add_argument("--history", type=Path, help="folder of recorded history")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="of a replay; 0 = as fast as it goes"
    )
    parser.add_argument(
        "--stepped", action="store_true", help="the clock moves by the control port"
    )
    parser.add_argument("--always-open", action="store_true", help="ignore hours and square-off")
    parser.add_argument("--data-dir", type=Path, help="where the books are kept; memory without")
    parser.add_argument("--control-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--account", action="append", default=[], metavar="FIELD=VALUE",
        help="a rule of every account, as starting_capital=500000 or square_off.NFO=15:00",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    return SandboxConfig(
        instances=tuple(parse_instance(text) for text in given.instance),
        seed=given.seed,
        scenario=given.scenario,
        replay=given.replay,
        history_dir=given.history,
        speed=given.speed,
        stepped=given.stepped,
        always_open=given.always_open,
        data_dir=given.data_dir,
        control_port=given.control_port,
        account=account_from(given.account),
    )


if __name__ == "__main__":
    sys.exit(main())
