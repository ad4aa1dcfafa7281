"""Apache Kafka without Docker: one KRaft node from its published jars."""

import subprocess
from pathlib import Path
from signal import SIGTERM
from typing import Self

from deploy.local import kafka_jars
from deploy.local.broker import until_it_answers
from deploy.local.lock import DirectoryLock
from deploy.local.ports import free_port
from deploy.local.process import run, spawn, stop

START_SECONDS = 90.0
# One node of ours alone has a cluster id of no importance; 16 bytes in base64, as Kafka wants it.
CLUSTER_ID = "cm9vc3QtbG9jYWwta2Fma2E"
# Serial collection and the first compiler alone start fastest on two cores.
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
LOG4J = """<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


class LocalKafka:
    """One Apache Kafka node on 127.0.0.1 that dies with this process; its topics and offsets stay on disk."""

    durable = True
    idempotent_producer = True

    def __init__(self, lock: DirectoryLock) -> None:
        self._lock = lock
        self._broker: subprocess.Popen[bytes] | None = None
        self.bootstrap_servers = ""

    @classmethod
    async def start(cls, data_dir: Path, port: int = 0) -> Self:
        """Start it on `data_dir/kafka`, on a free port if 0; returns when it answers.

        Its output goes to `data_dir/broker.log`. Raises KafkaUnavailable (see `kafka_jars.resolve`),
        DirectoryInUse if another live process serves the directory, PortTaken, and ProcessFailed with the
        log's end if the broker cannot start.
        """
        jars = await kafka_jars.resolve()
        home, log = _places(data_dir)
        kafka = cls(DirectoryLock(home).acquire())
        try:
            await kafka._launch(jars, home, log, free_port(port), free_port())
        except BaseException:
            await kafka.stop()
            raise
        return kafka

    @property
    def pid(self) -> int | None:
        """The JVM's process, while it runs."""
        return self._broker.pid if self._broker else None

    async def stop(self, seconds: float = 20) -> None:
        """Controlled shutdown; killed after `seconds`, which costs the next start a recovery of its logs."""
        try:
            if self._broker is not None:
                await stop(self._broker, (SIGTERM, seconds))
        finally:
            self._broker = None
            self._lock.release()

    async def _launch(self, jars: Path, home: Path, log: Path, port: int, controller: int) -> None:
        properties = home / "server.properties"
        properties.write_text(_properties(home / "logs", port, controller))
        (home / "log4j2.xml").write_text(LOG4J)
        logging = f"-Dlog4j2.configurationFile={home / 'log4j2.xml'}"
        java = [kafka_jars.java(), *JVM, logging, "-cp", f"{jars}/*"]
        if not (home / "logs" / "meta.properties").exists():
            tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
            await run([*java, *tool], log=log, seconds=START_SECONDS)
        self._broker = spawn([*java, "kafka.Kafka", properties], log=log)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        await until_it_answers(self._broker, port, log, START_SECONDS)


def _places(data_dir: Path) -> tuple[Path, Path]:
    resolved = data_dir.resolve()
    return resolved / "kafka", resolved / "broker.log"


def _properties(logs: Path, port: int, controller: int) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": logs,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        # An idle group keeps its place longer than the topics keep their records (30 days).
        "offsets.retention.minutes": 60 * 24 * 60,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
