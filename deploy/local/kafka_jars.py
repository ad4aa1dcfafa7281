"""The published jars of Apache Kafka, fetched once by Maven into a cache."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM
from tempfile import mkdtemp

from deploy.local.process import ended, last_lines, spawn, stop

KAFKA_VERSION = "4.1.2"
LOG4J_VERSION = "2.24.3"  # the one that this Kafka brings
# Kafka logs through slf4j 1.7 and brings no binding: without this one its warnings go nowhere.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>roost</groupId><artifactId>local-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


class KafkaUnavailable(RuntimeError):
    """Apache Kafka cannot be had on this machine; the message says why."""


async def resolve(seconds: float = 120) -> Path:
    """The folder of Kafka's jars, fetched by `mvn` on first use within `seconds`.

    Kept under `$ROOST_CACHE`, by default `~/.cache/roost`. Raises KafkaUnavailable without Java 17 or later,
    and where Maven is missing, cannot resolve the jars or takes too long. A filled cache needs no Maven.
    """
    java()
    cache = Path(os.environ.get("ROOST_CACHE") or Path.home() / ".cache" / "roost") / f"kafka-{KAFKA_VERSION}"
    jars = cache / "jars"
    if jars.exists():
        return jars
    mvn = shutil.which("mvn")
    if mvn is None:
        raise KafkaUnavailable("Maven (mvn) is not installed, and Kafka's jars are not in the cache yet")
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(dir=cache, prefix="fetching-"))
    try:
        await _fetch(mvn, draft, seconds)
        # Who fetched at the same time may have been quicker; the jars are the same.
        if not jars.exists():
            (draft / "jars").rename(jars)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return jars


def java() -> str:
    """The path of `java`, version 17 or later; KafkaUnavailable otherwise."""
    path = shutil.which("java")
    if path is None:
        raise KafkaUnavailable("Java is not installed")
    answer = subprocess.run([path, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < 17:
        raise KafkaUnavailable(f"Apache Kafka needs Java 17 or later; {path} says: {answer.strip()}")
    return path


async def _fetch(mvn: str, draft: Path, seconds: float) -> None:
    (draft / "pom.xml").write_text(POM)
    log = draft / "mvn.log"
    fetching = spawn(
        [mvn, "-q", "-B", COPY_DEPENDENCIES, "-DincludeScope=runtime", f"-DoutputDirectory={draft / 'jars'}"],
        log=log,
        cwd=draft,
        environment={
            name: os.environ[name]
            for name in ("HOME", "JAVA_HOME", "MAVEN_OPTS", "MAVEN_ARGS", "http_proxy", "https_proxy")
            if name in os.environ
        },
    )
    try:
        if not await ended(fetching, seconds):
            raise KafkaUnavailable(f"Maven did not resolve Apache Kafka {KAFKA_VERSION} within {seconds:g} s")
    finally:
        await stop(fetching, (SIGTERM, 2), (SIGKILL, 2))
    if fetching.returncode or not any((draft / "jars").glob("kafka_2.13-*.jar")):
        raise KafkaUnavailable(f"Maven cannot resolve Apache Kafka {KAFKA_VERSION}:\n{last_lines(log)}")


if __name__ == "__main__":
    # For scripts that want to know, before they start anything, whether Kafka can be had here.
    try:
        print(asyncio.run(resolve()))
    except KafkaUnavailable as error:
        sys.exit(str(error))
