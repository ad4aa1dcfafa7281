"""The AsyncAPI 3.0 description of the topics, from their one declaration."""

from typing import Any

from shared.contracts.topics import SERVICES, TOPICS, Service, Topic, dead_letter_topic
from shared.settings import KafkaSettings

_BINDING = "0.5.0"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_DAY_MS = 24 * 60 * 60 * 1000


def document() -> dict[str, Any]:
    """Channels, messages, and what each service sends and receives.

    The topics that other systems publish are received by every service; who else reads is not declared.
    """
    operations: dict[str, Any] = {}
    for topic in TOPICS.values():
        for service in (*topic.publishers, *topic.also):
            operations[f"{service}.sends.{topic.name}"] = _operation("send", service, topic)
        for service in () if topic.publishers else SERVICES:
            operations[f"{service}.receives.{topic.name}"] = _operation("receive", service, topic)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Roost events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0 over Kafka, structured mode; the binary mode is accepted too. "
                f"An event that a service cannot apply goes to {dead_letter_topic('<topic>', '<service>')}."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": operations,
        "components": {"messages": {topic.type: _message(topic) for topic in TOPICS.values()}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    partitions = KafkaSettings.model_fields["partitions"].default
    return {
        "address": topic.name,
        "description": (
            f"Keyed by data.{topic.key}: the events of one {topic.key} share a partition, in order. "
            f"{partitions} partitions unless the deployment sets another number."
        ),
        "messages": {topic.type: {"$ref": f"#/components/messages/{topic.type}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["compact"] if topic.compacted else ["delete"],
                    "retention.ms": topic.retention_days * _DAY_MS,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _message(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.type,
        "title": topic.name,
        "summary": (topic.data.__doc__ or "").partition("\n")[0],
        "contentType": "application/cloudevents+json",
        "payload": {
            "schemaFormat": _SCHEMA_FORMAT,
            "schema": {"$ref": f"./schemas/{topic.type}.json"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"data.{topic.key} in UTF-8"},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(action: str, service: Service, topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{topic.name}"
    return {
        "action": action,
        "title": f"{service} {action}s {topic.name}",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{topic.type}"}],
        "bindings": {
            "kafka": {
                "groupId": {"type": "string", "description": "a consumer group of the service's own"},
                "bindingVersion": _BINDING,
            }
        }
        if action == "receive"
        else {},
    }
