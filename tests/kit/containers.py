"""PostgreSQL and Apache Kafka in containers, from the official images, as docker-compose.yml runs them."""

from collections.abc import Iterator
from contextlib import contextmanager

POSTGRES = "postgres:18"
KAFKA = "apache/kafka:4.1.0"
OUTSIDE = 9094
START_SECONDS = 120
# A broker tells its clients where it is, which is known only once the container has its port.
WAIT_FOR_ADDRESS = "while [ ! -f /tmp/address ]; do sleep 0.1; done; . /tmp/address; exec /etc/kafka/docker/run"


@contextmanager
def postgres_container() -> Iterator[str]:
    """The DSN of the superuser."""
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(POSTGRES, username="postgres", password="test", driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def kafka_container() -> Iterator[str]:
    """Its bootstrap servers. testcontainers' own class is made for another image, with other start scripts."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(KAFKA).with_exposed_ports(OUTSIDE).with_command(["sh", "-c", WAIT_FOR_ADDRESS])
    container.with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS=f"INSIDE://:9092,OUTSIDE://:{OUTSIDE},CONTROLLER://:9093",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_INTER_BROKER_LISTENER_NAME="INSIDE",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_HEAP_OPTS="-Xmx512m",
    )
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(OUTSIDE)}"
        listeners = f"export KAFKA_ADVERTISED_LISTENERS=INSIDE://localhost:9092,OUTSIDE://{address}"
        container.exec(["sh", "-c", f"echo '{listeners}' > /tmp/new && mv /tmp/new /tmp/address"])
        LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(START_SECONDS).wait_until_ready(container)
        yield address
