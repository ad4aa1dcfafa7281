"""PostgreSQL and a Kafka broker on this machine, without Docker and without root's powers being needed."""
