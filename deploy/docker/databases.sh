#!/bin/sh
# Runs once, when PostgreSQL makes its data directory: a database a service, its owner (who migrates) and the
# service's own role (who works). Passwords come from the environment.
set -eu
for name in profile engagement loyalty churn; do
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set name="$name" --set owner="${name}_owner" \
        --set owner_password="$ROOST_OWNER_PASSWORD" --set password="$ROOST_SERVICE_PASSWORD" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"owner";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"name" TO :"name";
\connect :"name"
GRANT USAGE ON SCHEMA public TO :"name";
SQL
done
